import { jsonEqual } from '#kinds/json-equal.ts';
import type { CommitResult, Condition, Store, Transaction } from '#store/store.ts';
import { settleTimes } from './apply/managed-fields.ts';
import type { Stored } from './resources.ts';
import { StoredObject } from './stored-object.ts';
import type { Claims, Write } from './write.ts';

export interface CommitsOptions {
  store: Store;
  claims: readonly Claims[];
}

/** Something else stood there than the write was made for. */
export type Failed = CommitResult & { ok: false; failed: Condition };
/** The object as it is now stored; the one that was when nothing changed. */
export type Committed = { ok: true; object: StoredObject };

/** The last part of a write's way: claims what it needs of the cluster, and brings it to the store with that in one transaction. */
export class Commits {
  readonly #store: Store;
  readonly #claims: readonly Claims[];
  /** By the object's full key; they never reject. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor({ store, claims }: CommitsOptions) {
    this.#store = store;
    this.#claims = claims;
  }

  /** What stands there when the commit that is under way to it has ended: what is made of an object that is about to change is made in vain. */
  async settled({ cache }: Stored, key: string): Promise<StoredObject | undefined> {
    await this.#underWay.get(cache.prefix + key);
    return cache.get(key);
  }

  /** Stores the write's object if `revision` (0: nothing) still stands there; `stored` is that, to find out that nothing changes. */
  async put(write: Write, key: string, revision: number, stored?: StoredObject): Promise<Committed | Failed> {
    let committed = false;
    try {
      const result = await this.#putClaimed(write, key, revision, stored);
      committed = result.ok && result.object !== stored && !write.dryRun;
      return result;
    } finally {
      if (!committed) for (const claims of this.#claims) claims.release?.(write);
    }
  }

  async #putClaimed(write: Write, key: string, revision: number, stored?: StoredObject): Promise<Committed | Failed> {
    const { cache, converter } = write.served;
    await this.#claim(write);
    if (write.old) settleTimes(write.object, write.old);
    const { layout = cache.layout } = converter ?? {};
    const value = layout.encode(write.object);
    if (stored && (stored.value.equals(value) || (stored.value.length === value.length && jsonEqual(write.object, write.old)))) {
      return { ok: true, object: stored };
    }
    if (write.dryRun) return { ok: true, object: new StoredObject(layout, key, value, revision) };
    const fullKey = cache.prefix + key;
    const kept = converter ? await converter.encode(write.object) : value;
    const result = await this.#commit(fullKey, {
      conditions: [{ key: fullKey, revision }, ...write.conditions],
      writes: [{ key: fullKey, value: kept }, ...write.writes],
    });
    if (!result.ok) return result;
    const seen = converter ? undefined : cache.get(key);
    return { ok: true, object: seen?.revision === result.revision ? seen : new StoredObject(layout, key, value, result.revision) };
  }

  /** Takes the object away. Its last form is `write.object`; what it had claimed is given back with it. */
  async remove(write: Write, stored: StoredObject): Promise<Committed | Failed> {
    const { cache, converter } = write.served;
    const { layout = cache.layout } = converter ?? {};
    const removal: Write = { ...write, operation: 'DELETE' };
    await this.#claim(removal);
    const last = layout.encode(write.object);
    if (write.dryRun) return { ok: true, object: new StoredObject(layout, stored.key, last, stored.revision) };
    const fullKey = cache.prefix + stored.key;
    const result = await this.#commit(fullKey, {
      conditions: [{ key: fullKey, revision: stored.revision }, ...removal.conditions],
      writes: [{ key: fullKey, value: null }, ...removal.writes],
    });
    return result.ok ? { ok: true, object: new StoredObject(layout, stored.key, last, result.revision) } : result;
  }

  /** What stands there now: the store's answer may be ahead of the cache. */
  newest(served: Stored, key: string, { failed, current }: Failed): StoredObject | undefined {
    const cached = served.cache.get(key);
    if (failed.key !== served.cache.prefix + key) return cached;
    if (!current) return undefined;
    return cached && cached.revision >= current.revision
      ? cached
      : new StoredObject(served.cache.layout, key, current.value, current.revision);
  }

  async #claim(write: Write): Promise<void> {
    for (const claims of this.#claims) {
      const pending = claims.claim(write);
      if (pending) await pending;
    }
  }

  async #commit(fullKey: string, transaction: Transaction): Promise<CommitResult> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#underWay.set(fullKey, promise);
    try {
      const result = await this.#store.commit(transaction);
      if (!result.ok) for (const claims of this.#claims) claims.lost?.(result.failed);
      return result;
    } finally {
      if (this.#underWay.get(fullKey) === promise) this.#underWay.delete(fullKey);
      resolve();
    }
  }
}
