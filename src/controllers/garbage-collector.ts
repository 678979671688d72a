import { type Clock, isUmiakError, type Log, messageOf, UmiakError } from '#base/index.ts';
import { type Client, Informer, keyText, WorkQueue } from '#client/index.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { kindOf } from '#kinds/registry.ts';
import { ignoreAbsent } from './absence.ts';
import { type GraphNode, OwnerGraph } from './owner-graph.ts';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

export interface GarbageCollectorOptions {
  client: Client;
  /** All kinds whose objects may own or be owned. */
  kinds: readonly Kind[];
  clock: Clock;
  log: Log;
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

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    const { client, kinds, clock, log } = options;
    this.#queue = new WorkQueue({
      clock,
      concurrency: 8,
      work: uid => this.#attend(uid),
      onError: (uid, error, againInMs) => {
        if (!isUmiakError(error, 'Conflict')) log.warn('garbage collection failed', { uid, error: messageOf(error), againInMs });
      },
    });
    this.#informers = kinds.map(kind => new Informer({ client, kind, clock, log, project: metadataOnly }));
  }

  async start(): Promise<void> {
    let complete = false;
    for (const informer of this.#informers)
      informer.subscribe(({ object, previous }) => {
        const touched = object ? this.#graph.put(informer.kind, object) : previous ? this.#graph.remove(previous.metadata.uid) : [];
        if (complete) for (const uid of touched) this.#queue.add(uid);
      });
    await Promise.all(this.#informers.map(informer => informer.start()));
    complete = true;
    for (const uid of this.#graph.uids()) this.#queue.add(uid);
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
      if (known?.deleting && known.finalizers.includes(FOREGROUND)) waiting.push(owner.uid);
      else if (!known && !(await this.#exists(node, owner))) dead.add(owner.uid);
    }
    if (dead.size === 0 && waiting.length === 0) return;
    if (dead.size + waiting.length < node.owners.length) {
      await this.#dropOwners(node, new Set([...dead, ...waiting]));
      return;
    }
    const foreground = waiting.length > 0 && this.#graph.dependentsOf(node.uid).length > 0;
    if (node.deleting) return;
    const propagationPolicy = foreground ? 'Foreground' : 'Background';
    await ignoreAbsent(this.#options.client.delete(node.kind, node.key, { propagationPolicy, preconditions: { uid: node.uid } }));
  }

  /** Asks the API whether the owner that the reference means is there: another object of its name is not it. */
  async #exists(node: GraphNode, owner: { apiVersion: string; kind: string; name: string; uid: string }): Promise<boolean> {
    const kind = kindOf(owner.apiVersion, owner.kind);
    if (!kind) {
      throw new UmiakError(
        'NotFound',
        `${keyText(node.key)} is owned by a ${owner.apiVersion} ${owner.kind}, a kind this API does not serve`,
      );
    }
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

  async #removeFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const { client } = this.#options;
    const object = await client.get(node.kind, node.key);
    if (!object || object.metadata.uid !== node.uid) return;
    const finalizers = (object.metadata.finalizers ?? []).filter(name => name !== finalizer);
    const { uid, resourceVersion } = object.metadata;
    await ignoreAbsent(client.patch(node.kind, node.key, { metadata: { uid, resourceVersion, finalizers } }, { type: 'merge' }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#informers.map(informer => informer[Symbol.asyncDispose]()));
    await this.#queue[Symbol.asyncDispose]();
  }
}

function metadataOnly({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, ownerReferences, finalizers } = metadata;
  const kept = { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, ownerReferences, finalizers };
  return { apiVersion, kind, metadata: kept };
}
