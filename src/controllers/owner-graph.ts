import type { Key, Kind, KubeObject } from '#kinds/kind.ts';

export interface GraphNode {
  uid: string;
  kind: Kind;
  key: Key;
  deleting: boolean;
  finalizers: readonly string[];
  owners: readonly Owner[];
}

/** An owner as a dependent's reference names it. */
export interface Owner {
  uid: string;
  apiVersion: string;
  kind: string;
  name: string;
  /** `blockOwnerDeletion`: in a foreground deletion the owner waits for this dependent. */
  blocks: boolean;
}

/** Who owns whom, by UID. Each change returns the UIDs that deserve a look. */
export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  uids(): IterableIterator<string> {
    return this.#nodes.keys();
  }

  dependentsOf(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap(each => this.#nodes.get(each) ?? []);
  }

  /** Takes in an object's present state. */
  put(kind: Kind, { metadata }: KubeObject): string[] {
    const { uid, namespace, name, deletionTimestamp, finalizers = [], ownerReferences = [] } = metadata;
    const before = this.#nodes.get(uid)?.owners ?? [];
    this.#unlink(uid);
    const owners = ownerReferences.map(each => ({
      uid: each.uid,
      apiVersion: each.apiVersion,
      kind: each.kind,
      name: each.name,
      blocks: each.blockOwnerDeletion === true,
    }));
    this.#nodes.set(uid, { uid, kind, key: { namespace, name }, deleting: deletionTimestamp !== undefined, finalizers, owners });
    for (const owner of owners) this.#dependents.set(owner.uid, (this.#dependents.get(owner.uid) ?? new Set()).add(uid));
    const released = before.filter(old => !owners.some(each => each.uid === old.uid && each.blocks === old.blocks)).map(old => old.uid);
    return owners.length === 0 && deletionTimestamp === undefined ? released : [uid, ...released];
  }

  /** Forgets an object that is gone: its dependents may be garbage now, its owners may have waited for it. */
  remove(uid: string): string[] {
    const owners = this.#nodes.get(uid)?.owners ?? [];
    this.#unlink(uid);
    this.#nodes.delete(uid);
    return [...(this.#dependents.get(uid) ?? []), ...owners.map(owner => owner.uid)];
  }

  #unlink(uid: string): void {
    for (const owner of this.#nodes.get(uid)?.owners ?? []) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}
