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
  readonly #joining = new Map<string, WatchBatch[]>();
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

  /** Fills one more cache from the store and has it follow from then on. */
  async add(cache: ResourceCache): Promise<void> {
    const { prefix } = cache;
    const missed: WatchBatch[] = [];
    this.#joining.set(prefix, missed);
    try {
      const at = await this.#read(prefix, (key, value, revision) => cache.load(key, value, revision));
      cache.loaded(at);
      this.replace(cache);
      for (const { events, revision } of missed) this.#applyTo(cache, events, revision);
    } finally {
      this.#joining.delete(prefix);
    }
  }

  /** Has `cache`, which holds what the present one with its prefix holds, follow in its place. Not while listeners are told of changes. */
  replace(cache: ResourceCache): void {
    this.#byPrefix.set(cache.prefix, cache);
  }

  /** No longer feeds this cache. */
  remove(cache: ResourceCache): void {
    if (this.#byPrefix.get(cache.prefix) === cache) this.#byPrefix.delete(cache.prefix);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  /** Reads all keys with `prefix` as of one revision, which it gives. */
  async #read(prefix: string, take: (key: string, value: Uint8Array, revision: number) => void): Promise<number> {
    let from: string | undefined;
    let at: number | undefined;
    do {
      const page = await this.#store.list(prefix, {
        limit: PAGE,
        ...(from !== undefined && { from }),
        ...(at !== undefined && { at }),
      });
      for (const { key, value, revision } of page.entries) take(key, value, revision);
      at ??= page.revision;
      from = page.next;
    } while (from !== undefined);
    return at;
  }

  async #load(): Promise<void> {
    const at = await this.#read(this.#root, (key, value, revision) => this.#cacheOf(key)?.load(key, value, revision));
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
    for (const cache of this.#byPrefix.values()) this.#applyTo(cache, byCache.get(cache) ?? NONE, revision);
    for (const [prefix, missed] of this.#joining) missed.push({ events: events.filter(({ key }) => key.startsWith(prefix)), revision });
  }

  /** A cache that joined late has been read at a revision that the watch may not have reached yet. */
  #applyTo(cache: ResourceCache, events: StoreEvent[], revision: number): void {
    if (revision <= cache.revision) return;
    const first = events[0];
    cache.apply(first && first.revision <= cache.revision ? events.filter(event => event.revision > cache.revision) : events, revision);
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
