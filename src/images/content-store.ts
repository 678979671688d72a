import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, unlinkSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { spending } from '#base/spent.ts';
import { type Digest, digestOf, hexOf, isDigest } from './digest.ts';
import { absent, syncDirectory, writeAll } from './durable.ts';
import { maxDocumentBytes } from './oci.ts';
import { mayGoOn, PartialBlobs } from './partial-blobs.ts';
import { Quarantine } from './quarantine.ts';

export { absent, syncDirectory } from './durable.ts';

/** Bytes as they come; a function gives those from a byte on, for what can be gone on with. */
export type WriteSource = AsyncIterable<Uint8Array> | ((start: number) => AsyncIterable<Uint8Array>);

export interface WriteOptions {
  /** Keeps what is written from the garbage collection until released. */
  lease: Lease;
  /** What must arrive; anything else is refused and leaves nothing behind. */
  expected?: { digest: Digest; size?: number };
  /** Names the content in messages. */
  what?: string;
  signal?: AbortSignal;
  onBytes?: (total: number) => void;
}

/**
 * Keeps digests (blobs and unpacked layers) from the garbage collection until disposed. A lease is of its process: what a killed one had
 * leased is whole or not there, and goes with the next collection unless a pull that comes before it has a use for it.
 */
export interface Lease extends Disposable {
  add(digest: Digest): void;
}

/**
 * Blobs under their digest: `<dir>/sha256/<hex>`. A blob is there whole or not at all: it is written to `<dir>/ingest`,
 * verified, synced and renamed. One process owns the directory.
 */
export class ContentStore {
  readonly #blobs: string;
  readonly #ingest: string;
  /** What proved corrupt. */
  readonly quarantine: Quarantine;
  readonly #leases = new Set<Set<Digest>>();
  readonly #parts: PartialBlobs;
  #wasCutOff = false;
  readonly #keepers = new Set<() => Promise<unknown>>();
  /** Leases given back during a collection, which must not take what they held: its list of needs is older. */
  #lateLeases: Set<Digest>[] | undefined;

  private constructor(dir: string) {
    this.#blobs = join(dir, 'sha256');
    this.#ingest = join(dir, 'ingest');
    this.#parts = new PartialBlobs(this.#ingest, digest => this.isLeased(digest));
    this.quarantine = new Quarantine(join(dir, 'quarantine'));
  }

  /** Opens or makes the store; what a killed process left half-written and cannot be gone on with is removed. */
  static async open(dir: string): Promise<ContentStore> {
    const store = new ContentStore(dir);
    await mkdir(store.#blobs, { recursive: true });
    store.#wasCutOff = await store.#parts.open();
    await store.#parts.collect();
    return store;
  }

  /** Something was coming in when a former process ended. */
  get wasCutOff(): boolean {
    return this.#wasCutOff;
  }

  lease(): Lease {
    const held = new Set<Digest>();
    this.#leases.add(held);
    const release = () => {
      if (this.#leases.delete(held) && this.#lateLeases !== undefined) {
        this.#leases.add(held);
        this.#lateLeases.push(held);
      }
    };
    return { add: digest => void held.add(digest), [Symbol.dispose]: release };
  }

  /** `lease` is called before the first collection, by whoever leases what it keeps of former times only when that is needed. */
  keeper(lease: () => Promise<unknown>): Disposable {
    this.#keepers.add(lease);
    return { [Symbol.dispose]: () => void this.#keepers.delete(lease) };
  }

  /** Before each collection: all keepers have leased what is theirs. @throws what one of them says; it is asked again then */
  async askKeepers(): Promise<void> {
    for (const lease of [...this.#keepers]) {
      await lease();
      this.#keepers.delete(lease);
    }
  }

  /** To be held from before the needs of a collection are listed until it ends; one at a time. */
  beginCollection(): Disposable {
    const late: Set<Digest>[] = [];
    this.#lateLeases = late;
    return {
      [Symbol.dispose]: () => {
        this.#lateLeases = undefined;
        for (const held of late) this.#leases.delete(held);
      },
    };
  }

  isLeased(digest: Digest): boolean {
    for (const held of this.#leases) if (held.has(digest)) return true;
    return false;
  }

  /** Where blobs lie. */
  get directory(): string {
    return this.#blobs;
  }

  path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  /** Size in bytes, or undefined when the blob is not here. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await stat(this.path(digest)).catch(absent))?.size;
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.size(digest)) !== undefined;
  }

  /** The bytes from `start` on; read from its beginning, a blob is verified at its end. @throws NotFound when the disk altered it. */
  async *readVerified(digest: Digest, { start = 0 } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = start === 0 ? createHash('sha256') : undefined;
    for await (const chunk of createReadStream(this.path(digest), { highWaterMark: 256 * 1024, start }) as AsyncIterable<Buffer>) {
      hash?.update(chunk);
      yield chunk;
    }
    if (hash !== undefined && `sha256:${hash.digest('hex')}` !== digest) throw await this.#condemn(digest, 'the blob');
  }

  /** Whether a blob is here and still what its name says; if it is something else, it goes to the quarantine. */
  async verify(digest: Digest, signal?: AbortSignal): Promise<'right' | 'corrupt' | 'absent'> {
    try {
      for await (const _ of spending(this.readVerified(digest))) signal?.throwIfAborted();
      return 'right';
    } catch (error) {
      signal?.throwIfAborted();
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return 'absent';
      // A sector that can't be read: the file is as good as altered.
      if (code === 'EIO') await this.#condemn(digest, 'the blob');
      else if (!(error instanceof UmiakError)) throw error;
      return 'corrupt';
    }
  }

  async list(): Promise<Digest[]> {
    return (await readdir(this.#blobs)).map(name => `sha256:${name}`).filter(isDigest);
  }

  /** A whole small blob (manifest, config). @throws NotFound, also when the disk altered it; RequestEntityTooLarge. */
  async readDocument(digest: Digest, what: string): Promise<Buffer> {
    const size = await this.size(digest);
    if (size === undefined) throw await this.missing(digest, what);
    if (size > maxDocumentBytes)
      throw new UmiakError('RequestEntityTooLarge', `${what} (${digest}) has ${size} bytes; ${maxDocumentBytes} are read at most`);
    const bytes = await readFile(this.path(digest));
    if (digestOf(bytes) !== digest) throw await this.#condemn(digest, what);
    return bytes;
  }

  /** Says that a blob is not here, and why if that is known. */
  async missing(digest: Digest, what: string): Promise<UmiakError> {
    const found = await this.quarantine.find(digest);
    const why = found === undefined ? 'is not in the content store' : `was altered on disk and is in quarantine since ${found.foundAt}`;
    return new UmiakError('NotFound', `${what} (${digest}) ${why}`, { hint: 'Pull or load the image again.' });
  }

  async #condemn(digest: Digest, what: string): Promise<UmiakError> {
    await this.quarantine.take(this.path(digest), digest, 'its bytes do not have its digest any more');
    await syncDirectory(this.#blobs);
    return await this.missing(digest, what);
  }

  /**
   * Takes in a stream; returns when the blob is durable under its digest. Where the source can begin anywhere and breaks off, what came is
   * kept, and the next write of the digest goes on from there, also one of a later process.
   * @throws Invalid when digest or size differ from what was expected
   */
  async write(source: WriteSource, options: WriteOptions): Promise<{ digest: Digest; size: number }> {
    const digest = options.expected?.digest;
    using part = typeof source === 'function' && digest !== undefined ? this.#parts.grow(digest) : undefined;
    if (typeof source !== 'function' || part === undefined) {
      const whole = typeof source === 'function' ? source(0) : source;
      return await this.#take(whole, join(this.#ingest, randomUUID()), options);
    }
    const start = (await stat(part.path).catch(absent))?.size ?? 0;
    try {
      return await this.#take(source(start), part.path, options, start);
    } catch (error) {
      const size = (await stat(part.path).catch(absent))?.size ?? 0;
      if (size === 0 || !mayGoOn(error)) await rm(part.path, { force: true });
      throw error;
    }
  }

  async #take(
    source: AsyncIterable<Uint8Array>,
    temporary: string,
    options: WriteOptions,
    start?: number,
  ): Promise<{ digest: Digest; size: number }> {
    try {
      const file = await open(temporary, 'a', 0o644);
      const before = start ? temporary : undefined;
      const written = await receive(file, before, source, options).finally(() => file.close());
      options.lease.add(written.digest);
      await rename(temporary, this.path(written.digest));
      await syncDirectory(this.#blobs);
      return written;
    } catch (error) {
      if (start === undefined) await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Where somebody else may write a blob for `adopt`; what is left there goes with the next start. */
  temporaryPath(): string {
    return join(this.#ingest, randomUUID());
  }

  /** Takes over a file from `temporaryPath` whose digest its writer knows, and which is on the disk. */
  async adopt(temporary: string, digest: Digest, lease: Lease): Promise<void> {
    lease.add(digest);
    await rename(temporary, this.path(digest));
    await syncDirectory(this.#blobs);
  }

  /** The same for content in memory. */
  async writeDocument(bytes: Uint8Array, lease: Lease): Promise<{ digest: Digest; size: number }> {
    const digest = digestOf(bytes);
    lease.add(digest);
    if ((await this.size(digest)) === bytes.byteLength) return { digest, size: bytes.byteLength };
    return await this.write(once(bytes), { lease, expected: { digest, size: bytes.byteLength } });
  }

  /**
   * Removes every blob that `isNeeded` and no lease wants, and begun ones that are old, or all of them; returns what went. Check and removal
   * of one blob are one step.
   */
  async collect(isNeeded: (digest: Digest) => boolean, { begun = false } = {}): Promise<{ removed: Digest[]; freedBytes: number }> {
    const removed: Digest[] = [];
    let freedBytes = 0;
    for (const name of await readdir(this.#blobs)) {
      const digest = `sha256:${name}`;
      if (!isDigest(digest) || isNeeded(digest)) continue;
      // Held open, it goes from the directory at once; its pages go when it is closed, which is not the event loop's work.
      await using file = await open(this.path(digest)).catch(absent);
      if (file === undefined || this.isLeased(digest)) continue;
      const { size } = await file.stat();
      if (this.isLeased(digest)) continue;
      unlinkSync(this.path(digest));
      removed.push(digest);
      freedBytes += size;
    }
    freedBytes += await this.#parts.collect({ all: begun });
    return { removed, freedBytes };
  }
}

/** `before` holds what came earlier and is in the file already. */
async function receive(file: FileHandle, before: string | undefined, source: AsyncIterable<Uint8Array>, options: WriteOptions) {
  const { expected, what = 'content', signal, onBytes } = options;
  const hash = createHash('sha256');
  let size = 0;
  const here = before === undefined ? [] : spending(createReadStream(before, { highWaterMark: 256 * 1024 }));
  for await (const chunk of here) {
    signal?.throwIfAborted();
    size += chunk.byteLength;
    hash.update(chunk);
  }
  for await (const chunk of source) {
    signal?.throwIfAborted();
    size += chunk.byteLength;
    if (expected?.size !== undefined && size > expected.size)
      throw new UmiakError('Invalid', `${what}: more than the announced ${expected.size} bytes arrived`);
    hash.update(chunk);
    await writeAll(file, chunk);
    onBytes?.(size);
  }
  signal?.throwIfAborted();
  if (expected?.size !== undefined && size !== expected.size)
    throw new UmiakError('Invalid', `${what}: ${size} of the announced ${expected.size} bytes arrived`);
  const digest: Digest = `sha256:${hash.digest('hex')}`;
  if (expected !== undefined && digest !== expected.digest)
    throw new UmiakError('Invalid', `${what}: its digest is ${digest}, not the announced ${expected.digest}`, {
      hint: 'It was altered on its way or at its source; try again, or ask who keeps the registry.',
    });
  await file.datasync();
  return { digest, size };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
