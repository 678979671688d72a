import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { groupResourceOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';
import { EventRecorder } from './event-recorder.ts';
import { controllerOf, type Informer, keyText, type Project, parseKey } from './informer.ts';
import { Informers } from './informers.ts';
import { trackWrites } from './own-writes.ts';
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
  /** What the controller needs of each object; absent: all. */
  project?: Project<T>;
}

export interface Controller<T extends KubeObject = KubeObject> {
  name: string;
  watches: Kind<T>;
  /** Kinds whose objects bear a controlling owner reference to the watched kind. */
  owns?: readonly Kind[];
  alsoWatches?: readonly AlsoWatches[];
  /** What tells of keys besides the watches: called once they are complete, until disposed. */
  hears?(add: (key: Key) => void): Disposable;
  /** Keys worked on at the same time; default 4. */
  concurrency?: number;
  /** Level-based: brings the world to what the object of `key` asks for, from whatever state. A throw means again with back-off. */
  reconcile(key: Key, context: Reconciling): Promise<Outcome>;
}

/**
 * The client in a reconcile: `get` of a kind that the controller watches whole comes from the local picture, which has seen all the
 * controller's own writes and deletions.
 */
export interface ReconcileClient extends Client {
  /** Objects controlled by `owner`; shared, don't change them. */
  listOwned<T extends KubeObject>(kind: Kind<T>, owner: KubeObject): T[];
  /** The local picture of a kind that the controller watches. */
  cached<T extends KubeObject>(kind: Kind<T>): Informer<T>;
  /** Asks the API, not the picture: before something that a stale picture would make wrong. */
  getLive<T extends KubeObject>(kind: Kind<T>, key: Key): Promise<T | undefined>;
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
export function alsoWatch<T extends KubeObject>(
  kind: Kind<T>,
  keysOf: (object: T, context: Reconciling) => Key[],
  project?: Project<T>,
): AlsoWatches {
  return {
    kind,
    keysOf: (object, context) => keysOf(object as T, context),
    ...(project ? { project: object => project(object as T) } : {}),
  };
}

export interface RunControllersOptions {
  client: Client;
  controllers: readonly Controller[];
  clock: Clock;
  log: Log;
  /** Shared with other parts of the process, and theirs to end; absent: its own. */
  informers?: Informers;
}

export interface RunningControllers extends AsyncDisposable {
  /** The informer of a kind that the controllers watch. */
  informer<T extends KubeObject>(kind: Kind<T>): Informer<T>;
}

/** Starts the controllers; returns once all know what there is. Nothing is reconciled before that. A restart at any line is harmless. */
export async function runControllers({ client, controllers, clock, log, informers }: RunControllersOptions): Promise<RunningControllers> {
  await using stack = new AsyncDisposableStack();
  const shared = informers ?? stack.use(new Informers({ client, clock, log }));
  const runs = controllers.map(controller =>
    stack.use(new ControllerRun(controller, { client, clock, log: log.part(controller.name), informers: shared })),
  );
  await Promise.all(runs.map(run => run.start()));
  const owned = stack.move();
  return {
    informer: kind => shared.known(kind),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** True for a refusal to make something in a namespace that is being emptied: it passes with the namespace, and is nobody's mistake. */
export function isNamespaceEnding(error: unknown): boolean {
  return isUmiakError(error, 'Forbidden') && error.details.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true;
}

interface ControllerRunOptions {
  client: Client;
  clock: Clock;
  log: Log;
  informers: Informers;
}

/** One controller at work: what is watched becomes keys in its queue. */
class ControllerRun implements AsyncDisposable {
  readonly #controller: Controller;
  readonly #context: Reconciling;
  readonly #abort = new AbortController();
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #subscriptions = new DisposableStack();
  readonly #queue: WorkQueue;

  constructor(controller: Controller, { client: plain, clock, log, informers }: ControllerRunOptions) {
    this.#controller = controller;
    const watch = (kind: Kind, project?: Project<KubeObject>) =>
      this.#informers.set(groupResourceOf(kind.resource), informers.of(kind, project));
    watch(controller.watches);
    for (const kind of controller.owns ?? []) watch(kind);
    for (const { kind, project } of controller.alsoWatches ?? []) watch(kind, project);
    const { signal } = this.#abort;
    const { client, caughtUp } = trackWrites(plain, this.#informers, signal);
    const events = new EventRecorder({ client: plain, component: controller.name, clock, log });
    this.#context = { client, events, clock, log, signal };
    this.#queue = new WorkQueue({
      clock,
      concurrency: controller.concurrency ?? 4,
      work: async key => {
        await caughtUp();
        return signal.aborted ? undefined : (await controller.reconcile(parseKey(key), this.#context)).againInMs;
      },
      onError: (key, error, againInMs) => {
        if (isUmiakError(error, 'Conflict') || isNamespaceEnding(error) || signal.aborted) return;
        log.warn(`reconcile of ${key} failed`, { error: messageOf(error), againInMs });
      },
    });
  }

  /** Waits until every picture is complete, and only then lets keys in: half a picture would look like a world where the rest is gone. */
  async start(): Promise<void> {
    await Promise.all([...this.#informers.values()].map(informer => informer.start()));
    const { watches, owns = [], alsoWatches = [] } = this.#controller;
    this.#subscribe(watches, ({ metadata }) => [metadata]);
    for (const kind of owns) this.#subscribe(kind, object => this.#ownersOf(object));
    for (const also of alsoWatches) this.#subscribe(also.kind, object => also.keysOf(object, this.#context));
    this.#subscriptions.use(this.#controller.hears?.(key => this.#queue.add(keyText(key))));
  }

  #subscribe(kind: Kind, keysOf: (object: KubeObject) => Key[]): void {
    const informer = this.#informers.get(groupResourceOf(kind.resource));
    const subscription = informer?.subscribe(
      ({ object, previous }) => {
        for (const each of [previous, object]) if (each) for (const key of keysOf(each)) this.#queue.add(keyText(key));
      },
      { replay: true },
    );
    this.#subscriptions.use(subscription);
  }

  #ownersOf(object: KubeObject): Key[] {
    const owner = controllerOf(object);
    if (owner?.kind !== this.#controller.watches.resource.kind) return [];
    return [{ namespace: object.metadata.namespace, name: owner.name }];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#subscriptions.dispose();
    await this.#queue[Symbol.asyncDispose]();
    await this.#context.events[Symbol.asyncDispose]();
  }
}
