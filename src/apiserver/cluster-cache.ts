import { UmiakError } from '#base/errors.ts';
import type { Store, StoreEvent, WatchBatch } from '#store/store.ts';
import type { ResourceCache } from './resource-cache.ts';

/** Keys read at a time while the cache fills. */
const PAGE = 2000;
/** Revisions from before the start that watches can still resume from. */
const RECALLED = 1000;
const NONE: StoreEvent[] = [];

/**
 * All resources' caches, fed by one watch of the store: they move on together, so one revision holds for the whole cluster.
 */
export class ClusterCache implements AsyncDisposable {
  readonly #store: Store;
  readonly #root: string;
  readonly #byPrefix = new Map<string, ResourceCache>();
  readonly #stop = new AbortController();
  readonly #onFailure: (error: unknown) => void;
  #watching: Promise<void> = Promise.resolve();
  #revision = 0;

  private constructor(options: ClusterCacheOptions) {
    this.#store = options.store;
    this.#root = options.root;
    this.#onFailure = options.onFailure;
    for (const cache of options.caches) this.#byPrefix.set(cache.prefix, cache);
  }

  /** Reads everything, then follows the store until disposed. */
  static async open(options: ClusterCacheOptions): Promise<ClusterCache> {
    const cluster = new ClusterCache(options);
    await cluster.#load();
    cluster.#follow();
    return cluster;
  }

  get revision(): number {
    return this.#revision;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #load(): Promise<void> {
    let from: string | undefined;
    let at: number | undefined;
    do {
      const page = await this.#store.list(this.#root, {
        limit: PAGE,
        ...(from !== undefined && { from }),
        ...(at !== undefined && { at }),
      });
      for (const { key, value, revision } of page.entries) this.#cacheOf(key)?.load(key, value, revision);
      at ??= page.revision;
      from = page.next;
    } while (from !== undefined);
    this.#revision = at;
    for (const cache of this.#byPrefix.values()) cache.loaded(at);
  }

  #follow(): void {
    const { signal } = this.#stop;
    const loaded = this.#revision;
    const after = Math.min(loaded, Math.max(this.#store.compactedRevision, loaded - RECALLED));
    let recalling = after < loaded;
    const receive = (batch: WatchBatch) => {
      if (recalling) {
        this.#recall(batch.events.filter(({ revision }) => revision <= loaded));
        if (batch.revision < loaded) return;
        recalling = false;
        for (const cache of this.#byPrefix.values()) cache.recalled(after);
        if (batch.revision === loaded) return;
        this.#apply({ ...batch, events: batch.events.filter(({ revision }) => revision > loaded) });
      } else this.#apply(batch);
    };
    this.#watching = this.#store.watch(this.#root, { after, receive, signal }).then(
      () => {
        if (!signal.aborted) this.#onFailure(new UmiakError('InternalError', "the store's watch ended by itself"));
      },
      error => {
        if (!signal.aborted) this.#onFailure(error);
      },
    );
  }

  #recall(events: StoreEvent[]): void {
    for (const [cache, own] of this.#sorted(events)) cache.recall(own);
  }

  #apply({ events, revision }: WatchBatch): void {
    this.#revision = revision;
    const byCache = this.#sorted(events);
    for (const cache of this.#byPrefix.values()) cache.apply(byCache.get(cache) ?? NONE, revision);
  }

  #sorted(events: StoreEvent[]): Map<ResourceCache, StoreEvent[]> {
    const byCache = new Map<ResourceCache, StoreEvent[]>();
    for (const event of events) {
      const cache = this.#cacheOf(event.key);
      if (!cache) continue;
      const own = byCache.get(cache);
      if (own) own.push(event);
      else byCache.set(cache, [event]);
    }
    return byCache;
  }

  #cacheOf(key: string): ResourceCache | undefined {
    const group = key.indexOf('/', this.#root.length);
    const plural = key.indexOf('/', group + 1);
    return this.#byPrefix.get(key.slice(0, plural + 1));
  }
}

export interface ClusterCacheOptions {
  store: Store;
  /** What all keys begin with: `/registry/`. */
  root: string;
  caches: Iterable<ResourceCache>;
  /** The store's watch broke: nothing read from here on would be true. */
  onFailure: (error: unknown) => void;
}
