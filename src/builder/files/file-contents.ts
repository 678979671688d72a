import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { DiskGuard } from '#images/unpack-limits.ts';

/** Hashed before it is written, so that what is here already is not written again. */
const SMALL_BYTES = 1 << 20;
/** Written at once. */
const BUFFER_BYTES = 1 << 20;
/** Then the next pack begins. */
const PACK_BYTES = 256 << 20;

/** Where a content lies: a part of a file. */
export interface ContentPlace {
  fd: number;
  path: string;
  offset: number;
  length: number;
}

export interface FileContentsOptions {
  directory: string;
  /** Trimmed to this after builds, the oldest first. */
  maxBytes: number;
  /** The most that one context may bring. */
  maxContextBytes: number;
}

interface Pack {
  fd: number;
  path: string;
  length: number;
  hashes: string[];
}

/**
 * Contents of files by their SHA-256, one behind the other in packs: making a file for each would cost more than all else of a small one. They are
 * of this thread, and can be lost without loss: every build brings its own again. Blocks: for worker threads.
 */
export class FileContents {
  readonly #options: FileContentsOptions;
  readonly #packs: Pack[] = [];
  readonly #places = new Map<string, ContentPlace>();
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #buffered = 0;
  #made = 0;

  constructor(options: FileContentsOptions) {
    this.#options = options;
    rmSync(options.directory, { recursive: true, force: true });
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  /** Counts what one context takes of the disk. */
  guard(): DiskGuard {
    return new DiskGuard(this.#options.directory, { bytes: this.#options.maxContextBytes });
  }

  /** Takes a content in; its hash. Readable after `flush`. @throws RequestEntityTooLarge before it is written */
  async write(body: AsyncIterable<Buffer>, sizeBytes: number, guard: DiskGuard): Promise<string> {
    const tooMuch = guard.refusalOf(sizeBytes);
    if (tooMuch !== undefined) throw new UmiakError('RequestEntityTooLarge', `the build context is too large: ${tooMuch}`);
    return sizeBytes <= SMALL_BYTES ? await this.#writeSmall(body, sizeBytes) : await this.#writeLarge(body);
  }

  async #writeSmall(body: AsyncIterable<Buffer>, sizeBytes: number): Promise<string> {
    const whole = Buffer.allocUnsafe(sizeBytes);
    let length = 0;
    for await (const chunk of body) length += chunk.copy(whole, length);
    const hash = createHash('sha256').update(whole).digest('hex');
    if (this.#places.has(hash)) return hash;
    const pack = this.#current();
    if (this.#buffered + length > BUFFER_BYTES) this.flush();
    whole.copy(this.#buffer, this.#buffered);
    this.#buffered += length;
    this.#note(hash, pack, length);
    return hash;
  }

  /** The same of a content whose size nobody told before. */
  async writeUntold(body: AsyncIterable<Uint8Array>, guard: DiskGuard): Promise<{ hash: string; sizeBytes: number }> {
    const hash = await this.#writeLarge(body, chunkBytes => {
      const tooMuch = guard.refusalOf(chunkBytes);
      if (tooMuch !== undefined) throw new UmiakError('RequestEntityTooLarge', `the file is too large: ${tooMuch}`);
    });
    return { hash, sizeBytes: this.place(hash).length };
  }

  async #writeLarge(body: AsyncIterable<Uint8Array>, check: (chunkBytes: number) => void = () => {}): Promise<string> {
    this.flush();
    // A pack of its own: others write to theirs meanwhile.
    const pack = this.#begin();
    const hash = createHash('sha256');
    let length = 0;
    try {
      for await (const chunk of body) {
        check(chunk.length);
        hash.update(chunk);
        for (let at = 0; at < chunk.length; ) at += writeSync(pack.fd, chunk, at, chunk.length - at, length + at);
        length += chunk.length;
      }
    } catch (error) {
      this.#drop(pack);
      throw error;
    }
    const digest = hash.digest('hex');
    if (this.#places.has(digest)) this.#drop(pack);
    else this.#note(digest, pack, length);
    return digest;
  }

  #note(hash: string, pack: Pack, length: number): void {
    this.#places.set(hash, { fd: pack.fd, path: pack.path, offset: pack.length, length });
    pack.hashes.push(hash);
    pack.length += length;
  }

  /** The pack that small contents go to; it is the last. */
  #current(): Pack {
    const last = this.#packs.findLast(({ path }) => path.endsWith('.small'));
    if (last && last.length < PACK_BYTES) return last;
    this.flush();
    return this.#begin('.small');
  }

  #begin(suffix = ''): Pack {
    const path = `${this.#options.directory}/${this.#made++}${suffix}`;
    const pack = { fd: openSync(path, 'wx+', 0o600), path, length: 0, hashes: [] };
    this.#packs.push(pack);
    return pack;
  }

  #drop(pack: Pack): void {
    for (const hash of pack.hashes) this.#places.delete(hash);
    this.#packs.splice(this.#packs.indexOf(pack), 1);
    closeSync(pack.fd);
    rmSync(pack.path, { force: true });
  }

  /** Writes out what was taken in. */
  flush(): void {
    const pack = this.#packs.findLast(({ path }) => path.endsWith('.small'));
    if (!pack || this.#buffered === 0) return;
    const start = pack.length - this.#buffered;
    for (let at = 0; at < this.#buffered; ) at += writeSync(pack.fd, this.#buffer, at, this.#buffered - at, start + at);
    this.#buffered = 0;
  }

  /** @throws InternalError for a content that nobody brought */
  place(hash: string): ContentPlace {
    const place = this.#places.get(hash);
    if (!place) throw new UmiakError('InternalError', 'a file of the build context is gone');
    return place;
  }

  read(hash: string): Buffer {
    this.flush();
    const { fd, offset, length } = this.place(hash);
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
  }

  /** Removes the oldest until the rest fits; with `all` everything. To be called while no build needs any. */
  trim({ all = false } = {}): { freedBytes: number } {
    let sizeBytes = this.#packs.reduce((sum, { length }) => sum + length, 0);
    let freedBytes = 0;
    this.flush();
    while (this.#packs[0] && (all || sizeBytes > this.#options.maxBytes)) {
      sizeBytes -= this.#packs[0].length;
      freedBytes += this.#packs[0].length;
      this.#drop(this.#packs[0]);
    }
    return { freedBytes };
  }
}
