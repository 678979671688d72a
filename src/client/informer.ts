import { type Clock, isUmiakError, type Log, messageOf, UmiakError } from '#base/index.ts';
import type { Key, Kind, KubeObject } from '#kinds/kind.ts';
import type { Client, ListQuery, WatchEvent } from './client.ts';

/** `namespace/name`, or `name` for cluster-scoped objects. */
export function keyText({ namespace, name }: Key): string {
  return namespace ? `${namespace}/${name}` : name;
}

export function parseKey(text: string): Key {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** One step of an object's life as an informer saw it; `object` is absent once deleted. Both are of the same UID. */
export interface Change<T> {
  key: string;
  object?: T;
  previous?: T;
}

/** Takes of an object what is needed of it; of the metadata at least name, namespace, UID, resourceVersion and owners. */
export type Project<T extends KubeObject> = (object: T) => T;

export interface InformerOptions<T extends KubeObject> {
  client: Client;
  kind: Kind<T>;
  query?: Pick<ListQuery, 'namespace' | 'labelSelector' | 'fieldSelector'>;
  clock: Clock;
  log: Log;
  /** Keeps less than the whole object, where that is enough. */
  project?: Project<T>;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 10_000;
/** Who waits longer than this for the watch to bring something makes it start over … */
const LATE_MS = 5_000;
/** … and is told after this that it did not help. */
const TOO_LATE_MS = 30_000;

interface Waiter {
  isSeen: () => boolean;
  /** The watch that ran when the wait began: a picture taken by a later one is newer than what is waited for. */
  round: number;
  end: (error?: UmiakError) => void;
}

/**
 * A local, read-only picture of one kind, kept by a watch that resumes where it broke off and starts over when its revision is gone.
 * Objects it gives out are shared: don't change them.
 */
export class Informer<T extends KubeObject> implements AsyncDisposable {
  readonly kind: Kind<T>;
  readonly #options: InformerOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #byOwner = new Map<string, Map<string, T>>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #abort = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #waiters = new Set<Waiter>();
  /** What is kept of each object; undefined: all of it. */
  #projections: Project<T>[] | undefined;
  #watch = new AbortController();
  #round = 0;
  #resumeAt: string | undefined;
  #revision = 0;
  #running: Promise<void> | undefined;

  constructor(options: InformerOptions<T>) {
    this.kind = options.kind;
    this.#options = options;
    this.#projections = options.project && [options.project];
  }

  /** Starts the watch; resolves when the first picture is complete. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#synced.promise;
  }

  /** True while it keeps objects whole. */
  get keepsWhole(): boolean {
    return this.#projections === undefined;
  }

  /** Keeps also what `project` takes, or whole objects; before the start. What several users need adds up, field by field. */
  keepAlso(project?: Project<T>): void {
    if (this.#projections === undefined || (project && this.#projections.includes(project))) return;
    if (this.#running) throw new TypeError(`the informer of ${this.kind.resource.plural} already runs and does not keep whole objects`);
    this.#projections = project && [...this.#projections, project];
  }

  get(key: Key | string): T | undefined {
    return this.#objects.get(typeof key === 'string' ? key : keyText(key));
  }

  /** All objects, or one namespace's. */
  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter(object => object.metadata.namespace === namespace);
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Everything up to this has been seen. */
  get revision(): number {
    return this.#revision;
  }

  /** Objects whose controlling owner has this UID; with the empty string, those that no controller owns. */
  ownedBy(uid: string): T[] {
    return [...(this.#byOwner.get(uid)?.values() ?? [])];
  }

  /** Calls `listener` for every change from now on; with `replay`, first for each present object. */
  subscribe(listener: (change: Change<T>) => void, { replay = false }: { replay?: boolean } = {}): Disposable {
    if (replay) for (const [key, object] of this.#objects) listener({ key, object });
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Resolves once everything up to `revision` has been seen; `until` says what bounds the wait. */
  reached(revision: number, signal?: AbortSignal): Promise<void> {
    return this.until(() => revision <= this.#revision, signal);
  }

  /**
   * Resolves once `isSeen`, which is asked after every step; when that takes long, once a whole picture has been taken since; at once
   * when `signal` or the informer ends. @throws `Timeout` when the API can't be followed.
   */
  until(isSeen: () => boolean, signal?: AbortSignal): Promise<void> {
    if (isSeen() || this.#abort.signal.aborted || signal?.aborted) return Promise.resolve();
    const { clock, kind } = this.#options;
    return new Promise((resolve, reject) => {
      const late = clock.after(LATE_MS, () => waiter.round === this.#round && this.#startOver());
      const tooLate = clock.after(TOO_LATE_MS, () =>
        waiter.end(new UmiakError('Timeout', `the watch of ${kind.resource.plural} did not bring what has been written`)),
      );
      const leave = () => waiter.end();
      const waiter: Waiter = {
        isSeen,
        round: this.#round,
        end: error => {
          this.#waiters.delete(waiter);
          late[Symbol.dispose]();
          tooLate[Symbol.dispose]();
          signal?.removeEventListener('abort', leave);
          if (error) reject(error);
          else resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', leave);
    });
  }

  /** Ends the present watch and takes a whole new picture. */
  #startOver(): void {
    this.#resumeAt = undefined;
    this.#watch.abort();
  }

  async #run(): Promise<void> {
    const { client, kind, query = {}, clock, log } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#abort.signal.aborted) {
      this.#watch = new AbortController();
      this.#round += 1;
      const { signal } = this.#watch;
      const from = this.#resumeAt === undefined ? {} : { resourceVersion: this.#resumeAt };
      const listing = this.#resumeAt === undefined ? new Set<string>() : undefined;
      try {
        if (await this.#follow(client.watch(kind, { ...query, ...from }, signal), listing, signal)) retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (isBeyondReach(error)) this.#resumeAt = undefined;
        const say = retryMs >= 1_000 ? log.warn : log.debug;
        if (!signal.aborted) say(`watch of ${kind.resource.plural} broke off`, { error: messageOf(error), againInMs: retryMs });
      }
      if (this.#abort.signal.aborted) return;
      if (signal.aborted) continue;
      await pause(clock, retryMs, signal);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  /** Takes in one watch to its end; true when it brought anything. */
  async #follow(events: AsyncIterable<WatchEvent<T>>, first: Set<string> | undefined, signal: AbortSignal): Promise<boolean> {
    let listing = first;
    let moved = false;
    for await (const event of events) {
      if (signal.aborted) return moved;
      moved = true;
      if (event.type === 'BOOKMARK') {
        if (listing) this.#endListing(listing);
        this.#see(event.resourceVersion, listing !== undefined);
        listing = undefined;
        this.#synced.resolve();
        continue;
      }
      const { object } = event;
      listing?.add(keyText(object.metadata));
      this.#apply(event.type === 'DELETED' ? 'delete' : 'put', object);
      if (!listing) this.#see(object.metadata.resourceVersion, false);
    }
    return moved;
  }

  /** What the new listing did not bring has been deleted while nobody watched. */
  #endListing(seen: Set<string>): void {
    for (const [key, object] of this.#objects) if (!seen.has(key)) this.#apply('delete', object);
  }

  #apply(type: 'put' | 'delete', whole: T): void {
    const key = keyText(whole.metadata);
    const previous = this.#objects.get(key);
    if (previous && (type === 'delete' || previous.metadata.uid !== whole.metadata.uid)) {
      this.#unindex(key, previous);
      this.#objects.delete(key);
      this.#tell({ key, previous });
    }
    if (type === 'delete') return;
    const before = this.#objects.get(key);
    if (before) this.#unindex(key, before);
    const object = this.#project(whole);
    this.#objects.set(key, object);
    const owner = controllerOf(object)?.uid ?? '';
    const owned = this.#byOwner.get(owner) ?? new Map<string, T>();
    this.#byOwner.set(owner, owned.set(key, object));
    if (before?.metadata.resourceVersion !== object.metadata.resourceVersion)
      this.#tell({ key, object, ...(before ? { previous: before } : {}) });
  }

  #project(whole: T): T {
    // Who owns which field is a third of an object, and nobody who watches asks for it.
    if (whole.metadata.managedFields) whole.metadata.managedFields = undefined;
    if (!this.#projections) return whole;
    const parts = this.#projections.map(project => project(whole));
    if (parts.length === 1 && parts[0]) return parts[0];
    return Object.assign({}, ...parts, { metadata: Object.assign({}, ...parts.map(({ metadata }) => metadata)) });
  }

  #unindex(key: string, object: T): void {
    const owner = controllerOf(object)?.uid ?? '';
    const owned = this.#byOwner.get(owner);
    owned?.delete(key);
    if (owned?.size === 0) this.#byOwner.delete(owner);
  }

  /** One listener's mistake must not keep the picture from the others. */
  #tell(change: Change<T>): void {
    for (const listener of this.#listeners)
      try {
        listener(change);
      } catch (error) {
        this.#options.log.error(`a listener to ${this.kind.resource.plural} failed`, { key: change.key, error });
      }
  }

  #see(resourceVersion: string, isWhole: boolean): void {
    this.#resumeAt = resourceVersion;
    this.#revision = isWhole ? Number(resourceVersion) : Math.max(this.#revision, Number(resourceVersion));
    for (const waiter of this.#waiters) if (waiter.isSeen() || (isWhole && waiter.round < this.#round)) waiter.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#watch.abort();
    this.#synced.resolve();
    for (const waiter of this.#waiters) waiter.end();
    await this.#running;
  }
}

/** The revision to resume at is too old, or one that this server never had (it was restored from a backup). */
function isBeyondReach(error: unknown): boolean {
  if (!isUmiakError(error)) return false;
  const isAhead = error.details.causes?.some(({ reason }) => reason === 'ResourceVersionTooLarge') ?? false;
  return isAhead || error.reason === 'Expired' || error.reason === 'Gone';
}

/** The owner reference with `controller: true`. */
export function controllerOf(object: KubeObject): { apiVersion: string; kind: string; name: string; uid: string } | undefined {
  return object.metadata.ownerReferences?.find(reference => reference.controller);
}

/** Resolves after `ms` or as soon as `signal` aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => {
    const end = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(ms, end);
    signal.addEventListener('abort', end);
  });
}
