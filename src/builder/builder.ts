import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import type { Digest, ImageStore } from '#images/index.ts';
import { Slots } from '#images/slots.ts';
import { diskUsage } from '#linux/disk-usage.ts';
import { syncFileSystemInThread } from '#linux/file-attributes.ts';
import { makeBottom } from './bottom.ts';
import { BuildCache, type CacheRecord } from './cache.ts';
import { type ExportOptions, exportImage } from './export-image.ts';
import { type BuildContext, BuildFiles } from './files/build-files.ts';
import type { BuildGraph } from './graph.ts';
import { openTemporary } from './left-steps.ts';
import { type PruneOptions, planPrune } from './plan-prune.ts';
import { type Solved, type SolveOptions, Solver } from './solver.ts';

export interface BuilderOptions {
  /** `builder` lies below it, on the file system of the engine's data. */
  dataDir: string;
  engine: Engine;
  images: ImageStore;
  clock: Clock;
  log: Log;
  /** Of all results; what was used longest ago goes first. */
  maxCacheBytes?: number;
  /** What one context may bring. */
  maxContextBytes?: number;
  /** Commands that run side by side, of all builds. */
  parallelRuns?: number;
  bootId?: string;
}

const GIB = 2 ** 30;

/** What there is in the cache, for people and docker's `system df`. */
export interface CacheEntry {
  id: string;
  parent: string;
  type: CacheRecord['kind'];
  description: string;
  inUse: boolean;
  /** An image was made of it. */
  shared: boolean;
  sizeBytes: number;
  createdAtMs: number;
  usedAtMs: number;
  uses: number;
}

/** Builds images: brings graphs of steps to results, keeps these, makes images of them. */
export class Builder implements AsyncDisposable {
  readonly cache: BuildCache;
  readonly images: ImageStore;
  readonly #options: Required<Omit<BuilderOptions, 'bootId'>>;
  readonly #files: BuildFiles;
  readonly #solver: Solver;
  readonly #directory: string;
  /** Work in the background, at a build's end. */
  #after: Promise<void> = Promise.resolve();

  private constructor(options: BuilderOptions, cache: BuildCache) {
    this.#options = { maxCacheBytes: 20 * GIB, maxContextBytes: 50 * GIB, parallelRuns: 4, ...options };
    const { dataDir, engine, images, clock, log } = options;
    this.images = images;
    this.#directory = `${dataDir}/builder`;
    const temporaryDir = openTemporary(dataDir);
    const bottomDir = `${this.#directory}/bottom`;
    makeBottom(bottomDir);
    this.cache = cache;
    const { maxContextBytes, maxCacheBytes, parallelRuns } = this.#options;
    this.#files = new BuildFiles({ directory: `${this.#directory}/content`, maxBytes: maxCacheBytes / 10, maxContextBytes, clock });
    this.#solver = new Solver({ engine, images, cache: this.cache, slots: new Slots(parallelRuns), temporaryDir, bottomDir, log });
  }

  /** Opens the builder: what a killed process was making is removed. Containers of steps are `removeLeftSteps`'s. */
  static async open(options: BuilderOptions): Promise<Builder> {
    const { dataDir, images, clock, bootId = readBootId() } = options;
    return new Builder(options, await BuildCache.open({ directory: `${dataDir}/builder`, images, clock, bootId }));
  }

  /** A place for the files of one build. */
  openContext(): BuildContext {
    return this.#files.open();
  }

  /** Brings `wanted` vertices, and all that they need, to results; `held` keeps these from being pruned. */
  async solve(graph: BuildGraph, wanted: readonly number[], options: SolveOptions, held: DisposableStack): Promise<Map<number, Solved>> {
    return await this.#solver.solve(graph, [...new Set(wanted)], options, held);
  }

  /** Makes an image of a graph's result. */
  async exportImage(options: Omit<ExportOptions, 'images' | 'cache' | 'nowMs'>): Promise<Digest> {
    return await exportImage({ ...options, images: this.images, cache: this.cache, nowMs: this.#options.clock.now() });
  }

  /** A build has ended: what it wrote is counted, written back, and what is too much goes, in the background. */
  ended(): void {
    this.#after = this.#after
      .then(() => this.#tidy())
      .catch(error => this.#options.log.warn('the build cache could not be tidied', { error: messageOf(error) }));
  }

  async #tidy(): Promise<void> {
    const young = this.cache
      .all()
      .map(({ record }) => record)
      .filter(record => record.bootId !== undefined && !record.layer);
    if (young.length > 0) {
      await writeBack(this.#directory);
      const sizes = await diskUsage(young.map(record => this.cache.snapshotOf(record)));
      for (const record of young) {
        const sizeBytes = sizes.get(this.cache.snapshotOf(record));
        this.cache.note(record, { isDurable: true, ...(sizeBytes !== undefined ? { sizeBytes } : {}) });
      }
    }
    await this.prune({ all: true, maxBytes: this.#options.maxCacheBytes });
    await this.#files.run(worker => worker.call('trim', {}));
  }

  /** Resolves when nothing goes on in the background. */
  async settled(): Promise<void> {
    await this.#after;
  }

  /** Removes results; what went and what came free. */
  async prune(options: PruneOptions & { maxBytes?: number }): Promise<{ deleted: string[]; freedBytes: number }> {
    const going = planPrune(this.cache.all(), { ...options, nowMs: this.#options.clock.now() });
    let freedBytes = 0;
    const deleted: string[] = [];
    for (const record of going) {
      const freed = await this.cache.remove(record);
      if (freed === undefined) continue;
      freedBytes += freed;
      deleted.push(record.id);
    }
    if (options.all && options.maxBytes === undefined)
      freedBytes += (await this.#files.run(worker => worker.call('trim', { all: true }))).freedBytes;
    return { deleted, freedBytes };
  }

  entries(): CacheEntry[] {
    return this.cache.all().map(({ record, usedAtMs, isHeld }) => ({
      id: record.id,
      parent: this.cache.get(record.base) ? record.base : '',
      type: record.kind,
      description: record.createdBy,
      inUse: isHeld,
      shared: record.isExported ?? false,
      sizeBytes: record.sizeBytes ?? 0,
      createdAtMs: record.createdAtMs,
      usedAtMs,
      uses: record.uses,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#solver.settled();
    await this.#after;
    await this.#files[Symbol.asyncDispose]();
  }
}

/** Everything of the file system that a directory is on. */
async function writeBack(directory: string): Promise<void> {
  await using handle = await open(directory);
  await syncFileSystemInThread(handle.fd);
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
