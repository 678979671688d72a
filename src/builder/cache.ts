import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import type { CommittedLayer, ImageStore } from '#images/index.ts';
import { Claims } from './claims.ts';

/** What one step came to, as it stands on the disk. */
export interface CacheRecord {
  version: 1;
  id: string;
  /** What it is found by; the newest record of a key counts. */
  keys: string[];
  kind: 'run' | 'copy' | 'mkdir' | 'config';
  /** How an image's history tells it. */
  createdBy: string;
  /** The result that it goes on from: a record, or an image's layers. */
  base: string;
  /** It changed files, which lie in `snapshots`, or in the image store if they are a layer. */
  hasFiles: boolean;
  layer?: Omit<CommittedLayer, 'entries'> & { mediaType?: string };
  /** Of the disk; undefined until it was counted. */
  sizeBytes?: number;
  createdAtMs: number;
  /** The boot in which its files were written; absent when they are known to be on the disk. */
  bootId?: string;
  uses: number;
  /** An image was made of it. */
  isExported?: boolean;
}

export interface BuildCacheOptions {
  directory: string;
  images: Pick<ImageStore, 'content' | 'layerDirectory' | 'commitLayer'>;
  clock: Clock;
  bootId: string;
}

const TEMPORARY = '.new';
const READ_AT_ONCE = 64;

/** Results of steps: a small record each, and the files that it wrote. They can be lost without loss; a torn one is not found. */
export class BuildCache {
  readonly #options: BuildCacheOptions;
  readonly #records = new Map<string, CacheRecord>();
  readonly #byKey = new Map<string, CacheRecord>();
  readonly #leases = new Map<string, Disposable>();
  readonly #usedAtMs = new Map<string, number>();
  readonly #claims = new Claims();
  /** Results that builds under way work with. */
  readonly #held = new Map<string, number>();

  private constructor(options: BuildCacheOptions) {
    this.#options = options;
  }

  /** Reads the records; what has none, or nothing to go on from, is removed. */
  static async open(options: BuildCacheOptions): Promise<BuildCache> {
    const cache = new BuildCache(options);
    for (const directory of [cache.#snapshots, cache.#recordsDir]) await mkdir(directory, { recursive: true, mode: 0o711 });
    const names = await readdir(cache.#recordsDir);
    for (let at = 0; at < names.length; at += READ_AT_ONCE)
      await Promise.all(names.slice(at, at + READ_AT_ONCE).map(name => cache.#read(name)));
    // A result whose base is gone can't be used, and files without a record are a killed build's.
    for (const record of cache.#records.values()) if (!cache.#isWhole(record)) cache.#forget(record);
    for (const name of await readdir(cache.#snapshots)) {
      const record = cache.#records.get(name);
      if (!record?.hasFiles || record.layer) await rm(`${cache.#snapshots}/${name}`, { recursive: true, force: true });
    }
    return cache;
  }

  get #snapshots(): string {
    return `${this.#options.directory}/snapshots`;
  }

  get #recordsDir(): string {
    return `${this.#options.directory}/records`;
  }

  async #read(name: string): Promise<void> {
    const path = `${this.#recordsDir}/${name}`;
    const record = name.endsWith('.json') ? parseRecord(await readFile(path, 'utf8')) : undefined;
    if (record?.version !== 1 || (record.bootId !== undefined && record.bootId !== this.#options.bootId && !record.layer)) {
      await rm(path, { force: true });
      return;
    }
    this.#records.set(record.id, record);
    this.#usedAtMs.set(record.id, (await stat(path)).mtimeMs);
    for (const key of record.keys) {
      const present = this.#byKey.get(key);
      if (!present || present.createdAtMs < record.createdAtMs) this.#byKey.set(key, record);
    }
    this.#lease(record);
  }

  #lease({ id, layer }: CacheRecord): void {
    if (!layer || this.#leases.has(id)) return;
    const lease = this.#options.images.content.lease();
    lease.add(layer.diffId);
    lease.add(layer.digest);
    this.#leases.set(id, lease);
  }

  #isWhole(record: CacheRecord): boolean {
    if (!record.base.startsWith('image:') && !this.#records.has(record.base)) return false;
    return !record.hasFiles || existsSync(this.#directoryOf(record));
  }

  #directoryOf({ id, layer }: CacheRecord): string {
    return layer ? this.#options.images.layerDirectory(layer.diffId) : `${this.#snapshots}/${id}`;
  }

  /** A result whose files are there. */
  find(key: string): CacheRecord | undefined {
    const record = this.#byKey.get(key);
    if (!record) return undefined;
    if (!this.#isWhole(record)) {
      this.#removeWithDependents(record);
      return undefined;
    }
    this.#touch(record);
    return record;
  }

  #touch(record: CacheRecord): void {
    const now = this.#options.clock.now();
    record.uses += 1;
    this.#usedAtMs.set(record.id, now);
    try {
      utimesSync(this.#path(record), now / 1000, now / 1000);
    } catch {} // it is only about which goes first
  }

  /** Directories of a result that are its own, top first, without its image's. To be used within `using`. */
  directories(record: CacheRecord | undefined): string[] {
    const found: string[] = [];
    for (let at = record; at; at = this.#records.get(at.base)) if (at.hasFiles) found.push(this.#directoryOf(at));
    return found;
  }

  /** Runs `work` with the directories of a result, none of which is moved meanwhile. */
  async using<T>(record: CacheRecord | undefined, work: (directories: string[]) => Promise<T>): Promise<T> {
    const ids: string[] = [];
    for (let at = record; at; at = this.#records.get(at.base)) ids.push(at.id);
    return await this.#claims.share(ids, () => work(this.directories(record)));
  }

  /** Keeps a result, and all that it is built on, from being pruned until disposed. */
  hold(record: CacheRecord): Disposable {
    const ids: string[] = [];
    for (let at: CacheRecord | undefined = record; at; at = this.#records.get(at.base)) ids.push(at.id);
    for (const id of ids) this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const id of ids) {
          const left = (this.#held.get(id) ?? 1) - 1;
          if (left > 0) this.#held.set(id, left);
          else this.#held.delete(id);
        }
      },
    };
  }

  /** Takes in a new result; `files` is a directory in overlay's upper form, which is taken over. */
  add({
    files,
    ...what
  }: Pick<CacheRecord, 'kind' | 'keys' | 'createdBy' | 'base'> & {
    files?: string | undefined;
    layer?: NonNullable<CacheRecord['layer']>;
  }): CacheRecord {
    const id = randomBytes(32).toString('hex');
    const record: CacheRecord = {
      version: 1,
      id,
      ...what,
      hasFiles: files !== undefined || what.layer !== undefined,
      createdAtMs: this.#options.clock.now(),
      uses: 1,
      ...(files !== undefined ? { bootId: this.#options.bootId } : { sizeBytes: 0 }),
    };
    if (files !== undefined) renameSync(files, `${this.#snapshots}/${id}`);
    this.#records.set(id, record);
    this.#usedAtMs.set(id, record.createdAtMs);
    for (const key of record.keys) this.#byKey.set(key, record);
    this.#lease(record);
    this.#write(record);
    return record;
  }

  /** Lets a result be found by another key, too. */
  alias(record: CacheRecord, key: string): void {
    this.#byKey.set(key, record);
    if (record.keys.includes(key)) return;
    record.keys = [...record.keys, key].slice(-MOST_KEYS);
    this.#write(record);
  }

  /** The result's files as a layer of the image store, made of them if they are not one yet. */
  async layerOf(record: CacheRecord, signal?: AbortSignal): Promise<NonNullable<CacheRecord['layer']> | undefined> {
    if (!record.hasFiles) return undefined;
    return await this.#claims.own(record.id, async () => {
      if (record.layer) return record.layer;
      const lease = this.#options.images.content.lease();
      try {
        const directory = `${this.#snapshots}/${record.id}`;
        const { entries, ...layer } = await this.#options.images.commitLayer(directory, {
          lease,
          takes: true,
          ...(signal ? { signal } : {}),
        });
        void entries;
        record.layer = layer;
        record.sizeBytes = layer.sizeBytes;
        delete record.bootId;
        this.#leases.set(record.id, lease);
        this.#write(record);
        return layer;
      } catch (error) {
        lease[Symbol.dispose]();
        throw error;
      }
    });
  }

  /** An image is made of these. */
  exported(records: readonly CacheRecord[]): void {
    for (const record of records) {
      if (record.isExported || !this.#records.has(record.id)) continue;
      record.isExported = true;
      this.#write(record);
    }
  }

  all(): { record: CacheRecord; usedAtMs: number; isHeld: boolean }[] {
    return [...this.#records.values()].map(record => ({
      record,
      usedAtMs: this.#usedAtMs.get(record.id) ?? record.createdAtMs,
      isHeld: this.#held.has(record.id),
    }));
  }

  get(id: string): CacheRecord | undefined {
    return this.#records.get(id);
  }

  /** What is known now of a record's size, or that its files are on the disk. */
  note(record: CacheRecord, change: { sizeBytes?: number; isDurable?: boolean }): void {
    if (!this.#records.has(record.id)) return;
    if (change.sizeBytes !== undefined) record.sizeBytes = change.sizeBytes;
    if (change.isDurable) delete record.bootId;
    this.#write(record);
  }

  /** Where a record's files lie while they are no layer. */
  snapshotOf({ id }: CacheRecord): string {
    return `${this.#snapshots}/${id}`;
  }

  /** Removes a result that nothing is built on; what it gave back to the disk. Undefined when a build has come to hold it, or it is gone. */
  async remove(record: CacheRecord): Promise<number | undefined> {
    if (this.#held.has(record.id) || !this.#records.has(record.id)) return undefined;
    const directory = record.hasFiles && !record.layer ? this.snapshotOf(record) : undefined;
    this.#forget(record);
    if (directory !== undefined) {
      const trash = `${this.#snapshots}/${record.id}${TEMPORARY}`;
      renameSync(directory, trash);
      await rm(trash, { recursive: true, force: true });
    }
    return record.sizeBytes ?? 0;
  }

  #removeWithDependents(record: CacheRecord): void {
    for (const other of [...this.#records.values()]) if (other.base === record.id) this.#removeWithDependents(other);
    this.#forget(record);
  }

  #forget(record: CacheRecord): void {
    this.#records.delete(record.id);
    this.#usedAtMs.delete(record.id);
    for (const key of record.keys) if (this.#byKey.get(key) === record) this.#byKey.delete(key);
    this.#leases.get(record.id)?.[Symbol.dispose]();
    this.#leases.delete(record.id);
    rmSync(this.#path(record), { force: true });
  }

  #path({ id }: Pick<CacheRecord, 'id'>): string {
    return `${this.#recordsDir}/${id}.json`;
  }

  /** Whole or not at all, whenever this process is killed. */
  #write(record: CacheRecord): void {
    const path = this.#path(record);
    writeFileSync(`${path}${TEMPORARY}`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}${TEMPORARY}`, path);
  }
}

/** Of one record: sources that came to the same content. */
const MOST_KEYS = 16;

function parseRecord(text: string): CacheRecord | undefined {
  try {
    return JSON.parse(text) as CacheRecord;
  } catch {
    return undefined;
  }
}
