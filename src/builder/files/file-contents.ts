import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import { DiskGuard } from '#images/unpack-limits.ts';

/** Hashed before it is written, so that what is here already is not written again. */
const SMALL_BYTES = 4 << 20;
/** Of contents that no build of this minute used. */
const USED_AGAIN_MS = 60_000;

export interface FileContentsOptions {
  directory: string;
  /** Trimmed to this after builds, what was used longest ago first. */
  maxBytes: number;
  /** The most that one context may bring. */
  maxContextBytes: number;
}

/** Contents of files by their SHA-256. They can be lost without loss: every build brings its own again. Blocks: for worker threads. */
export class FileContents {
  readonly #options: FileContentsOptions;
  readonly #held = new Map<string, number>();

  constructor(options: FileContentsOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(options.directory))
      if (!/^[0-9a-f]{64}$/.test(name)) rmSync(`${options.directory}/${name}`, { force: true });
  }

  path(hash: string): string {
    return `${this.#options.directory}/${hash}`;
  }

  /** Counts what one context takes of the disk. */
  guard(): DiskGuard {
    return new DiskGuard(this.#options.directory, { bytes: this.#options.maxContextBytes });
  }

  /** @throws RequestEntityTooLarge before it is written */
  async write(body: AsyncIterable<Buffer>, sizeBytes: number, guard: DiskGuard): Promise<string> {
    const tooMuch = guard.refusalOf(sizeBytes);
    if (tooMuch !== undefined) throw new UmiakError('RequestEntityTooLarge', `the build context is too large: ${tooMuch}`);
    if (sizeBytes <= SMALL_BYTES) return this.#writeSmall(await collect(body, sizeBytes));
    const hash = createHash('sha256');
    const temporary = `${this.#options.directory}/${randomUUID()}`;
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      for await (const chunk of body) {
        hash.update(chunk);
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      }
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
    const digest = hash.digest('hex');
    if (this.#touch(digest)) rmSync(temporary);
    else renameSync(temporary, this.path(digest));
    return digest;
  }

  #writeSmall(bytes: Buffer): string {
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (this.#touch(digest)) return digest;
    const temporary = `${this.#options.directory}/${randomUUID()}`;
    writeFileSync(temporary, bytes, { mode: 0o600 });
    renameSync(temporary, this.path(digest));
    return digest;
  }

  async read(hash: string): Promise<Buffer> {
    return await readFile(this.path(hash));
  }

  /** True when it is here; its last use is now. */
  #touch(digest: string): boolean {
    const now = Date.now();
    const last = this.#held.get(digest);
    if (last !== undefined && now - last < USED_AGAIN_MS / 2 && existsSync(this.path(digest))) return true;
    try {
      utimesSync(this.path(digest), now / 1000, now / 1000);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#held.set(digest, now);
      return false;
    }
    this.#held.set(digest, now);
    return true;
  }

  /** Removes what was used longest ago until the rest fits; with `all` everything. To be called while no build needs them. */
  trim({ all = false } = {}): { freedBytes: number; sizeBytes: number } {
    const { directory, maxBytes } = this.#options;
    const files = readdirSync(directory).map(name => {
      const { size, mtimeMs } = statSync(`${directory}/${name}`);
      return { name, size, mtimeMs };
    });
    let sizeBytes = files.reduce((sum, { size }) => sum + size, 0);
    let freedBytes = 0;
    for (const { name, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (!all && sizeBytes <= maxBytes) break;
      unlinkSync(`${directory}/${name}`);
      this.#held.delete(name);
      sizeBytes -= size;
      freedBytes += size;
    }
    return { freedBytes, sizeBytes };
  }
}

async function collect(body: AsyncIterable<Buffer>, sizeBytes: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(sizeBytes);
  let at = 0;
  for await (const chunk of body) at += chunk.copy(whole, at);
  return whole.subarray(0, at);
}
