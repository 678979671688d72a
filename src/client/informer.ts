import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { Key, Kind, KubeObject } from '#kinds/kind.ts';
import type { Client, ListQuery } from './client.ts';

/** `namespace/name`, or `name` for cluster-scoped objects. */
export function keyText({ namespace, name }: Key): string {
  return namespace ? `${namespace}/${name}` : name;
}

export function parseKey(text: string): Key {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** One step of an object's life as an informer saw it; `object` is absent once deleted. */
export interface Change<T> {
  key: string;
  object?: T;
  previous?: T;
}

export interface InformerOptions<T extends KubeObject> {
  client: Client;
  kind: Kind<T>;
  query?: Pick<ListQuery, 'namespace' | 'labelSelector' | 'fieldSelector'>;
  clock: Clock;
  log: Log;
  /** Keeps less than the whole object, where that is enough. Metadata must stay. */
  project?: (object: T) => T;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 10_000;

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
  #waiters: { revision: number; resolve: () => void }[] = [];
  #revision = 0;
  #running: Promise<void> | undefined;

  constructor(options: InformerOptions<T>) {
    this.kind = options.kind;
    this.#options = options;
  }

  /** Starts the watch; resolves when the first picture is complete. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#synced.promise;
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

  /** Resolves once everything up to `revision` has been seen. */
  reached(revision: number): Promise<void> {
    if (revision <= this.#revision) return Promise.resolve();
    return new Promise(resolve => this.#waiters.push({ revision, resolve }));
  }

  async #run(): Promise<void> {
    const { client, kind, query = {}, clock, log } = this.#options;
    const { signal } = this.#abort;
    let resumeAt: string | undefined;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const fresh: Set<string> | undefined = resumeAt === undefined ? new Set() : undefined;
      let listing = fresh;
      try {
        for await (const event of client.watch(
          kind,
          { ...query, ...(resumeAt === undefined ? {} : { resourceVersion: resumeAt }) },
          signal,
        )) {
          retryMs = FIRST_RETRY_MS;
          if (event.type === 'BOOKMARK') {
            if (listing) this.#endListing(listing);
            listing = undefined;
            resumeAt = event.resourceVersion;
            this.#see(Number(event.resourceVersion));
            this.#synced.resolve();
            continue;
          }
          const { object } = event;
          listing?.add(keyText(object.metadata));
          this.#apply(event.type === 'DELETED' ? 'delete' : 'put', object);
          if (!listing) {
            resumeAt = object.metadata.resourceVersion;
            this.#see(Number(resumeAt));
          }
        }
      } catch (error) {
        if (isUmiakError(error, 'Expired') || isUmiakError(error, 'Gone')) resumeAt = undefined;
        else log.debug(`watch of ${kind.resource.plural} broke off`, { error: messageOf(error), againInMs: retryMs });
      }
      if (signal.aborted) return;
      await pause(clock, retryMs, signal);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  /** What the new listing did not bring has been deleted while nobody watched. */
  #endListing(seen: Set<string>): void {
    for (const [key, object] of this.#objects) if (!seen.has(key)) this.#apply('delete', object);
  }

  #apply(type: 'put' | 'delete', whole: T): void {
    const key = keyText(whole.metadata);
    const previous = this.#objects.get(key);
    if (previous) this.#unindex(key, previous);
    const object = this.#options.project ? this.#options.project(whole) : whole;
    if (type === 'delete') {
      this.#objects.delete(key);
      if (previous) this.#tell({ key, previous });
      return;
    }
    this.#objects.set(key, object);
    const owner = controllerOf(object)?.uid ?? '';
    const owned = this.#byOwner.get(owner) ?? new Map<string, T>();
    this.#byOwner.set(owner, owned.set(key, object));
    if (previous?.metadata.resourceVersion !== object.metadata.resourceVersion)
      this.#tell({ key, object, ...(previous ? { previous } : {}) });
  }

  #unindex(key: string, object: T): void {
    const owner = controllerOf(object)?.uid ?? '';
    const owned = this.#byOwner.get(owner);
    owned?.delete(key);
    if (owned?.size === 0) this.#byOwner.delete(owner);
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) listener(change);
  }

  #see(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const due = this.#waiters.filter(waiter => waiter.revision <= revision);
    if (due.length === 0) return;
    this.#waiters = this.#waiters.filter(waiter => waiter.revision > revision);
    for (const waiter of due) waiter.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#synced.resolve();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
    await this.#running;
  }
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
