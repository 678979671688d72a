import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Change, type Client, type Informer, Informers, WorkQueue } from '#client/index.ts';
import { apiVersionOf, type Kind, type KubeObject } from '#kinds/kind.ts';
import { kindOf } from '#kinds/registry.ts';
import { ignoreAbsent } from './absence.ts';
import type { CustomKinds } from './custom-kinds.ts';
import { type GraphNode, type Owner, OwnerGraph } from './owner-graph.ts';
import { ownershipOnly } from './ownership-only.ts';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

export interface GarbageCollectorOptions {
  client: Client;
  /** All kinds whose objects may own or be owned. */
  kinds: readonly Kind[];
  /** Kinds that come and go; theirs to end who made them. */
  customKinds?: CustomKinds;
  clock: Clock;
  log: Log;
  /** Shared with other parts of the process, and theirs to end; absent: its own. */
  informers?: Informers;
}

/** Kinds whose objects may own or be owned: all that are stored and can be watched and deleted. Events are nobody's. */
export function ownableKinds(kinds: readonly Kind[]): Kind[] {
  const isStored = ({ refused, virtual, storage, resource }: Kind) => !refused && !virtual && !storage && resource.verbs.includes('watch');
  return kinds.filter(kind => isStored(kind) && kind.resource.kind !== 'Event');
}

/**
 * Removes objects whose owners are all gone, and carries out foreground deletion (dependents first) and orphaning (references taken
 * away). It keeps a graph of owners and dependents, metadata only, fed by informers; what it is not sure of it asks the API.
 */
export class GarbageCollector implements AsyncDisposable {
  readonly #options: GarbageCollectorOptions;
  readonly #graph = new OwnerGraph();
  readonly #informers: Informer<KubeObject>[];
  readonly #queue: WorkQueue;
  readonly #owned = new AsyncDisposableStack();

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    const { client, kinds, clock, log } = options;
    const informers = options.informers ?? this.#owned.use(new Informers({ client, clock, log }));
    this.#queue = new WorkQueue({
      clock,
      concurrency: 8,
      work: uid => this.#attend(uid),
      onError: (uid, error, againInMs) => {
        if (!isUmiakError(error, 'Conflict')) log.warn('garbage collection failed', { uid, error: messageOf(error), againInMs });
      },
    });
    this.#informers = kinds.map(kind => informers.of(kind, ownershipOnly));
  }

  /** Resolves when the whole graph is known; nothing is collected before that. */
  async start(): Promise<void> {
    const { customKinds } = this.#options;
    await Promise.all([...this.#informers.map(informer => informer.start()), customKinds?.start()]);
    for (const informer of this.#informers)
      this.#owned.use(informer.subscribe(change => this.#take(informer.kind, change), { replay: true }));
    if (customKinds) this.#owned.use(customKinds.subscribe((kind, change) => this.#take(kind, change)));
  }

  #take(kind: Kind, { object, previous }: Change<KubeObject>): void {
    const touched = object ? this.#graph.put(kind, object) : previous ? this.#graph.remove(previous.metadata.uid) : [];
    for (const uid of touched) this.#queue.add(uid);
  }

  async #attend(uid: string): Promise<undefined> {
    const node = this.#graph.get(uid);
    if (!node) return;
    const finalizers = node.deleting ? node.finalizers : [];
    if (finalizers.includes(ORPHAN)) await this.#orphan(node);
    else if (finalizers.includes(FOREGROUND)) await this.#deleteDependents(node);
    if (!node.deleting || node.owners.some(owner => this.#graph.get(owner.uid)?.finalizers.includes(FOREGROUND))) await this.#judge(node);
  }

  /** Foreground: dependents are deleted first; those that block keep the owner until they are gone. */
  async #deleteDependents(owner: GraphNode): Promise<void> {
    const dependents = this.#graph.dependentsOf(owner.uid);
    for (const dependent of dependents) if (!dependent.deleting) this.#queue.add(dependent.uid);
    const blocking = dependents.filter(each => each.owners.some(({ uid, blocks }) => uid === owner.uid && blocks));
    if (blocking.length === 0) await this.#removeFinalizer(owner, FOREGROUND);
  }

  async #orphan(owner: GraphNode): Promise<void> {
    for (const dependent of this.#graph.dependentsOf(owner.uid)) await this.#dropOwners(dependent, new Set([owner.uid]));
    await this.#removeFinalizer(owner, ORPHAN);
  }

  /** Deletes `node` if it had owners and none of them lives; drops references to the dead ones if another lives. */
  async #judge(node: GraphNode): Promise<void> {
    if (node.owners.length === 0) return;
    const dead = new Set<string>();
    const waiting: string[] = [];
    for (const owner of node.owners) {
      const known = this.#graph.get(owner.uid);
      if (known && isMeant(known, owner, node)) {
        if (known.deleting && known.finalizers.includes(FOREGROUND)) waiting.push(owner.uid);
      } else if (!(await this.#exists(node, owner))) dead.add(owner.uid);
    }
    if (dead.size === 0 && waiting.length === 0) return;
    if (dead.size + waiting.length < node.owners.length) return this.#dropOwners(node, new Set([...dead, ...waiting]));
    if (node.deleting) return;
    const dependents = this.#graph.dependentsOf(node.uid);
    const foreground = waiting.length > 0 && dependents.length > 0;
    // Owners in a circle would wait for each other for ever: one of them blocks no longer.
    if (foreground && dependents.some(isDeletedInForeground) && node.owners.some(({ blocks }) => blocks)) return this.#unblock(node);
    await this.#delete(node, foreground ? 'Foreground' : 'Background');
  }

  /** Only if the object is still owned as it was judged: somebody may have adopted it meanwhile. */
  async #delete(node: GraphNode, propagationPolicy: 'Foreground' | 'Background'): Promise<void> {
    const { client } = this.#options;
    const object = await client.get(node.kind, node.key);
    if (object?.metadata.uid !== node.uid) return;
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length !== node.owners.length || !owners.every(({ uid }) => node.owners.some(owner => owner.uid === uid))) return;
    const { uid, resourceVersion } = object.metadata;
    await ignoreAbsent(client.delete(node.kind, node.key, { propagationPolicy, preconditions: { uid, resourceVersion } }));
  }

  /**
   * Asks the API whether the owner that the reference means is there: another object of its name is not it. Of a kind that is not
   * served nothing can be said, so it counts as there.
   */
  async #exists(node: GraphNode, owner: Owner): Promise<boolean> {
    const kind = kindOf(owner.apiVersion, owner.kind) ?? this.#options.customKinds?.find(owner.apiVersion, owner.kind);
    if (!kind) return true;
    if (kind.resource.namespaced && !node.key.namespace) return false;
    const namespace = kind.resource.namespaced ? node.key.namespace : undefined;
    const found = await this.#options.client.get(kind, { namespace, name: owner.name });
    return found?.metadata.uid === owner.uid;
  }

  async #dropOwners(node: GraphNode, uids: Set<string>): Promise<void> {
    const { client } = this.#options;
    const object = await client.get(node.kind, node.key);
    if (!object || object.metadata.uid !== node.uid) return;
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.has(uid));
    const { uid, resourceVersion } = object.metadata;
    await ignoreAbsent(client.patch(node.kind, node.key, { metadata: { uid, resourceVersion, ownerReferences } }, { type: 'merge' }));
  }

  /** None of its owners waits for this object any more; it is judged again when that is known. */
  async #unblock(node: GraphNode): Promise<void> {
    const { client } = this.#options;
    const object = await client.get(node.kind, node.key);
    if (!object || object.metadata.uid !== node.uid) return;
    const ownerReferences = (object.metadata.ownerReferences ?? []).map(owner => ({ ...owner, blockOwnerDeletion: false }));
    const { uid, resourceVersion } = object.metadata;
    await ignoreAbsent(client.patch(node.kind, node.key, { metadata: { uid, resourceVersion, ownerReferences } }, { type: 'merge' }));
  }

  async #removeFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const { client } = this.#options;
    const object = await client.get(node.kind, node.key);
    if (!object || object.metadata.uid !== node.uid) return;
    const finalizers = (object.metadata.finalizers ?? []).filter(name => name !== finalizer);
    const { uid, resourceVersion } = object.metadata;
    await ignoreAbsent(client.patch(node.kind, node.key, { metadata: { uid, resourceVersion, finalizers } }, { type: 'merge' }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
    await this.#queue[Symbol.asyncDispose]();
  }
}

function isDeletedInForeground({ deleting, finalizers }: GraphNode): boolean {
  return deleting && finalizers.includes(FOREGROUND);
}

/** True when the object of the owner's UID is also what the reference says it is, where it says it is. */
function isMeant({ kind: { resource }, key }: GraphNode, owner: Owner, { key: { namespace } }: GraphNode): boolean {
  const isThere = resource.namespaced ? key.namespace === namespace : true;
  return (
    isThere && key.name === owner.name && resource.kind === owner.kind && groupOf(apiVersionOf(resource)) === groupOf(owner.apiVersion)
  );
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
}
