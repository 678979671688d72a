import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { groupResourceOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';
import { EventRecorder } from './event-recorder.ts';
import { controllerOf, Informer, keyText, parseKey } from './informer.ts';
import { WorkQueue } from './work-queue.ts';

/** The reconcile is complete until something changes. */
export const done: Outcome = {};

export interface Outcome {
  /** Come again after this even if nothing changes. */
  againInMs?: number;
}

/** Another kind whose changes concern objects of the watched kind. */
export interface AlsoWatches<T extends KubeObject = KubeObject> {
  kind: Kind<T>;
  /** The keys of the watched kind that `object` (its last state, if deleted) concerns. */
  keysOf(object: T, context: Reconciling): Key[];
}

export interface Controller<T extends KubeObject = KubeObject> {
  name: string;
  watches: Kind<T>;
  /** Kinds whose objects bear a controlling owner reference to the watched kind. */
  owns?: readonly Kind[];
  alsoWatches?: readonly AlsoWatches[];
  /** Keys worked on at the same time; default 4. */
  concurrency?: number;
  /** Level-based: brings the world to what the object of `key` asks for, from whatever state. A throw means again with back-off. */
  reconcile(key: Key, context: Reconciling): Promise<Outcome>;
}

/** The client in a reconcile: reads of kinds that the controller watches come from the local picture, which has seen all its own writes. */
export interface ReconcileClient extends Client {
  /** Objects controlled by `owner`; shared, don't change them. */
  listOwned<T extends KubeObject>(kind: Kind<T>, owner: KubeObject): T[];
  /** The local picture of a kind that the controller watches. */
  cached<T extends KubeObject>(kind: Kind<T>): Informer<T>;
}

export interface Reconciling {
  client: ReconcileClient;
  events: EventRecorder;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
}

/** Gives a controller its type; it does nothing until `runControllers` gets it. */
export function defineController<T extends KubeObject>(controller: Controller<T>): Controller<T> {
  return controller;
}

/** Another watched kind, with its type kept for `keysOf`. */
export function alsoWatch<T extends KubeObject>(kind: Kind<T>, keysOf: (object: T, context: Reconciling) => Key[]): AlsoWatches {
  return { kind, keysOf: (object, context) => keysOf(object as T, context) };
}

export interface RunControllersOptions {
  client: Client;
  controllers: readonly Controller[];
  clock: Clock;
  log: Log;
}

export interface RunningControllers extends AsyncDisposable {
  /** The informers, one a kind, that the controllers share. */
  informer<T extends KubeObject>(kind: Kind<T>): Informer<T>;
}

/** Starts the controllers on shared informers; returns once all have their first picture. A restart at any line is harmless. */
export async function runControllers({ client, controllers, clock, log }: RunControllersOptions): Promise<RunningControllers> {
  const informers = new Map<string, Informer<KubeObject>>();
  const abort = new AbortController();
  const informer = <T extends KubeObject>(kind: Kind<T>): Informer<T> => {
    const name = groupResourceOf(kind.resource);
    const found = informers.get(name) ?? new Informer<T>({ client, kind, clock, log });
    informers.set(name, found as Informer<KubeObject>);
    return found as Informer<T>;
  };
  const queues = controllers.map(controller =>
    startQueue(controller, { client, clock, log: log.part(controller.name), informer, signal: abort.signal }),
  );
  await Promise.all([...informers.values()].map(each => each.start()));
  for (const { open } of queues) open();
  return {
    informer,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await Promise.all([...informers.values()].map(each => each[Symbol.asyncDispose]()));
      await Promise.all(queues.map(({ queue }) => queue[Symbol.asyncDispose]()));
    },
  };
}

interface QueueParts {
  client: Client;
  clock: Clock;
  log: Log;
  informer: <T extends KubeObject>(kind: Kind<T>) => Informer<T>;
  signal: AbortSignal;
}

/** Wires one controller: what is watched becomes keys in its queue. `open` adds all present keys once the pictures are complete. */
function startQueue(
  controller: Controller,
  { client: plain, clock, log, informer, signal }: QueueParts,
): { queue: WorkQueue; open: () => void } {
  const kinds = [controller.watches, ...(controller.owns ?? []), ...(controller.alsoWatches ?? []).map(each => each.kind)];
  const { client, caughtUp } = trackWrites(plain, new Map(kinds.map(kind => [groupResourceOf(kind.resource), informer(kind)])));
  const context: Reconciling = {
    client,
    events: new EventRecorder({ client: plain, component: controller.name, clock, log }),
    clock,
    log,
    signal,
  };
  const queue = new WorkQueue({
    clock,
    concurrency: controller.concurrency ?? 4,
    work: async key => {
      await caughtUp();
      return signal.aborted ? undefined : (await controller.reconcile(parseKey(key), context)).againInMs;
    },
    onError: (key, error, againInMs) => {
      if (isUmiakError(error, 'Conflict') || signal.aborted) return;
      log.warn(`reconcile of ${key} failed`, { error: messageOf(error), againInMs });
    },
  });
  const watched = informer(controller.watches);
  watched.subscribe(({ key }) => queue.add(key));
  for (const kind of controller.owns ?? [])
    informer(kind).subscribe(({ object, previous }) => {
      for (const each of [object, previous]) {
        const owner = each && controllerOf(each);
        if (each && owner?.kind === controller.watches.resource.kind)
          queue.add(keyText({ namespace: each.metadata.namespace, name: owner.name }));
      }
    });
  for (const also of controller.alsoWatches ?? [])
    informer(also.kind).subscribe(({ object, previous }) => {
      for (const each of [object, previous]) if (each) for (const key of also.keysOf(each, context)) queue.add(keyText(key));
    });
  return { queue, open: () => watched.list().forEach(object => void queue.add(keyText(object.metadata))) };
}

/**
 * A client whose cached reads have seen the controller's own writes: `caughtUp` waits until each local picture has reached the newest
 * revision written to its kind. So a reconcile never acts twice on a picture from before its last act.
 */
function trackWrites(
  client: Client,
  informers: Map<string, Informer<KubeObject>>,
): { client: ReconcileClient; caughtUp: () => Promise<void> } {
  const written = new Map<string, number>();
  const nameOf = (kind: Kind) => groupResourceOf(kind.resource);
  const note = <T extends KubeObject>(kind: Kind<T>, object: T): T => {
    const revision = Number(object.metadata.resourceVersion);
    if (informers.has(nameOf(kind)) && revision > (written.get(nameOf(kind)) ?? 0)) written.set(nameOf(kind), revision);
    return object;
  };
  const cached = <T extends KubeObject>(kind: Kind<T>): Informer<T> => {
    const found = informers.get(nameOf(kind));
    if (!found) throw new TypeError(`the controller does not watch ${nameOf(kind)}`);
    return found as unknown as Informer<T>;
  };
  return {
    client: {
      ...client,
      cached,
      listOwned: (kind, owner) => cached(kind).ownedBy(owner.metadata.uid),
      get: async (kind, key) => (informers.has(nameOf(kind)) ? structuredClone(cached(kind).get(key)) : client.get(kind, key)),
      create: async (kind, object) => note(kind, await client.create(kind, object)),
      update: async (kind, object) => note(kind, await client.update(kind, object)),
      updateStatus: async (kind, object) => note(kind, await client.updateStatus(kind, object)),
      patch: async (kind, key, patch, options) => note(kind, await client.patch(kind, key, patch, options)),
    },
    caughtUp: async () => {
      for (const [name, revision] of written) await informers.get(name)?.reached(revision);
    },
  };
}
