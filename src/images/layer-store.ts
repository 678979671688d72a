import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { diskUsage } from '#linux/disk-usage.ts';
import { removeTree } from '#linux/remove-tree.ts';
import type { CommitRequest, CommitResult } from './commit-layer.ts';
import { absent, type Lease, syncDirectory } from './content-store.ts';
import { type Digest, hexOf, isDigest } from './digest.ts';
import { SingleFlight } from './single-flight.ts';
import type { UnpackLimits } from './unpack-limits.ts';
import { durableMark, usageFile } from './unpack-worker.ts';
import type { UnpackWorkers } from './unpack-workers.ts';

export interface LayerStoreOptions {
  dir: string;
  workers: UnpackWorkers;
  log: Log;
  /** What one layer may take. */
  limits?: UnpackLimits | undefined;
  /** Of this boot; by default the kernel's. */
  bootId?: string;
}

/** What a layer is to be made of. */
export interface LayerCommit extends Omit<CommitRequest, 'target' | 'cancelled'> {
  takes: boolean;
  lease: Lease;
  signal?: AbortSignal | undefined;
}

/** Of the disk. */
export interface DiskUsage {
  bytes: number;
  inodes: number;
}

/**
 * Unpacked layers, `<dir>/<hex of the diffID>/fs`, ready to be overlay's lower directories. A layer is there whole or not at all.
 * Files are written back in the background; until then the layer bears this boot's id, and after a reboot it is unpacked anew.
 */
export class LayerStore {
  readonly #dir: string;
  readonly #workers: UnpackWorkers;
  readonly #log: Log;
  readonly #bootId: string;
  readonly #limits: UnpackLimits | undefined;
  readonly #unpacks = new SingleFlight<never>();
  readonly #usages = new Map<string, DiskUsage>();
  #wasCutOff = false;
  readonly #syncs = new Set<Promise<void>>();

  private constructor({ dir, workers, log, limits }: LayerStoreOptions, bootId: string) {
    this.#dir = dir;
    this.#workers = workers;
    this.#log = log;
    this.#bootId = bootId;
    this.#limits = limits;
  }

  /** Opens the store; removes what a killed process left half-unpacked and what a power failure may have torn. */
  static async open(options: LayerStoreOptions): Promise<LayerStore> {
    const bootId = options.bootId ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const store = new LayerStore(options, bootId);
    await mkdir(join(options.dir, EMPTY, 'fs'), { recursive: true, mode: 0o755 });
    for (const name of await readdir(options.dir)) await store.#examine(name);
    return store;
  }

  /** A layer was being unpacked when a former process ended. */
  get wasCutOff(): boolean {
    return this.#wasCutOff;
  }

  /** A lower directory without content, for images without layers. */
  get emptyDirectory(): string {
    return join(this.#dir, EMPTY, 'fs');
  }

  directory(diffId: Digest): string {
    return join(this.#dir, hexOf(diffId), 'fs');
  }

  async has(diffId: Digest): Promise<boolean> {
    return (await stat(this.directory(diffId)).catch(absent)) !== undefined;
  }

  /** Unpacks the blob unless that was done; side by side for one layer, it is done once. Returns the directory. */
  async ensure(diffId: Digest, blobPath: string): Promise<string> {
    if (!(await this.has(diffId))) await this.#unpacks.run(diffId, {}, () => this.#unpack(diffId, blobPath));
    return this.directory(diffId);
  }

  /**
   * Makes a layer of a directory in overlay's upper form, its archive at `blobPath`. With `takes` the directory is given away and becomes the layer's
   * unpacked form, so that nothing is unpacked; where that can't be, or without it, `ensure` unpacks it when it is first needed.
   * @returns what the layer is; its unpacked form is there when it resolves
   */
  async commit({ lease, signal, ...request }: LayerCommit): Promise<CommitResult> {
    signal?.throwIfAborted();
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const cancel = () => void Atomics.store(cancelled, 0, 1);
    signal?.addEventListener('abort', cancel, { once: true });
    const temporary = await this.#begin();
    try {
      const result = await this.#workers.run({
        ...request,
        op: 'commit',
        dir: temporary,
        cancelled,
      });
      lease.add(result.diffId);
      if (result.isMoved) await this.#place(temporary, result.diffId);
      return result;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /** Removes the layers that `isNeeded` does not want; check and removal of one layer are one step. */
  async collect(isNeeded: (diffId: Digest) => boolean): Promise<Digest[]> {
    const removed: Digest[] = [];
    for (const name of await readdir(this.#dir)) {
      const diffId = `sha256:${name}`;
      if (!isDigest(diffId) || isNeeded(diffId)) continue;
      const trash = join(this.#dir, `${TEMPORARY}${randomUUID()}`);
      renameSync(join(this.#dir, name), trash);
      await removeTree(trash);
      removed.push(diffId);
    }
    return removed;
  }

  /** What all layers take of the disk, as it was counted when each was unpacked. */
  async usage(): Promise<DiskUsage> {
    const names = (await readdir(this.#dir)).filter(name => isDigest(`sha256:${name}`));
    for (const name of this.#usages.keys()) if (!names.includes(name)) this.#usages.delete(name);
    const total = { bytes: 0, inodes: 0 };
    for (const name of names) {
      const { bytes, inodes } = this.#usages.get(name) ?? (await this.#usageOf(name));
      total.bytes += bytes;
      total.inodes += inodes;
    }
    return total;
  }

  async #usageOf(name: string): Promise<DiskUsage> {
    const dir = join(this.#dir, name);
    const noted = await readFile(join(dir, usageFile), 'utf8').catch(absent);
    const usage = parseUsage(noted) ?? (await measure(dir));
    if (parseUsage(noted) === undefined) await writeFile(join(dir, usageFile), JSON.stringify(usage)).catch(absent);
    this.#usages.set(name, usage);
    return usage;
  }

  /** Resolves when all layers unpacked so far are on the disk. */
  async settled(): Promise<void> {
    await Promise.all(this.#syncs);
  }

  async #unpack(diffId: Digest, blobPath: string): Promise<void> {
    if (await this.has(diffId)) return;
    const temporary = await this.#begin();
    try {
      await this.#workers.run({ op: 'unpack', blobPath, dir: temporary, diffId, limits: this.#limits });
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await this.#place(temporary, diffId);
  }

  /** A directory to be filled, removed at the next start unless it was placed. */
  async #begin(): Promise<string> {
    const temporary = join(this.#dir, `${TEMPORARY}${randomUUID()}`);
    await mkdir(join(temporary, `${BOOT}${this.#bootId}`), { recursive: true });
    return temporary;
  }

  /** What is there already stays: the same content is as good, and containers may run on it. */
  async #place(temporary: string, diffId: Digest): Promise<void> {
    const dir = join(this.#dir, hexOf(diffId));
    try {
      await rename(temporary, dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
      throw error;
    }
    await syncDirectory(this.#dir);
    this.#settle(dir);
  }

  #settle(dir: string): void {
    const sync = this.#workers.run({ op: 'sync', dir }).then(
      () => {},
      error => this.#log.debug('a layer was not marked durable; it is unpacked anew after a reboot', { dir, error: messageOf(error) }),
    );
    this.#syncs.add(sync);
    void sync.finally(() => this.#syncs.delete(sync));
  }

  async #examine(name: string): Promise<void> {
    const path = join(this.#dir, name);
    if (name === EMPTY) return;
    const isHalf = name.startsWith(TEMPORARY);
    this.#wasCutOff ||= isHalf;
    const marks = isHalf ? [] : await readdir(path);
    if (marks.includes(durableMark)) return;
    if (marks.includes(`${BOOT}${this.#bootId}`)) return this.#settle(path);
    await rm(path, { recursive: true, force: true });
  }
}

/** What a note says; undefined when there is none, or a power failure tore it. */
function parseUsage(text: string | undefined): DiskUsage | undefined {
  const found = /^\{"bytes":(\d+),"inodes":(\d+)\}$/.exec(text ?? '');
  return found ? { bytes: Number(found[1]), inodes: Number(found[2]) } : undefined;
}

async function measure(dir: string): Promise<DiskUsage> {
  const [bytes, inodes] = await Promise.all([diskUsage([dir]), diskUsage([dir], 'inodes')]);
  return { bytes: bytes.get(dir) ?? 0, inodes: inodes.get(dir) ?? 0 };
}

const EMPTY = 'empty';
const TEMPORARY = 'tmp-';
const BOOT = 'boot-';
