import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type ReadStream, unlinkSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { type Digest, digestOf, hexOf, isDigest } from './digest.ts';
import { maxDocumentBytes } from './oci.ts';

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

/** Keeps digests (blobs and unpacked layers) from the garbage collection until disposed. */
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
  readonly #leases = new Set<Set<Digest>>();
  /** Leases given back during a collection, which must not take what they held: its list of needs is older. */
  #lateLeases: Set<Digest>[] | undefined;

  private constructor(dir: string) {
    this.#blobs = join(dir, 'sha256');
    this.#ingest = join(dir, 'ingest');
  }

  /** Opens or makes the store; what a killed process left half-written is removed. */
  static async open(dir: string): Promise<ContentStore> {
    const store = new ContentStore(dir);
    await rm(store.#ingest, { recursive: true, force: true });
    await mkdir(store.#blobs, { recursive: true });
    await mkdir(store.#ingest, { recursive: true });
    return store;
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

  read(digest: Digest): ReadStream {
    return createReadStream(this.path(digest), { highWaterMark: 256 * 1024 });
  }

  /** A whole small blob (manifest, config). @throws NotFound, RequestEntityTooLarge, or InternalError when the disk altered it. */
  async readDocument(digest: Digest, what: string): Promise<Buffer> {
    const size = await this.size(digest);
    if (size === undefined)
      throw new UmiakError('NotFound', `${what} (${digest}) is not in the content store`, { hint: 'Pull or load the image again.' });
    if (size > maxDocumentBytes)
      throw new UmiakError('RequestEntityTooLarge', `${what} (${digest}) has ${size} bytes; ${maxDocumentBytes} are read at most`);
    const bytes = await readFile(this.path(digest));
    if (digestOf(bytes) !== digest)
      throw new UmiakError('InternalError', `${what} (${digest}) was altered on disk`, { hint: 'Remove and pull the image again.' });
    return bytes;
  }

  /** Takes in a stream; returns when the blob is durable under its digest. @throws Invalid when digest or size differ from what was expected. */
  async write(source: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<{ digest: Digest; size: number }> {
    const temporary = join(this.#ingest, randomUUID());
    const file = await open(temporary, 'wx', 0o644);
    try {
      const written = await receive(file, source, options).finally(() => file.close());
      options.lease.add(written.digest);
      await rename(temporary, this.path(written.digest));
      await syncDirectory(this.#blobs);
      return written;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** The same for content in memory. */
  async writeDocument(bytes: Uint8Array, lease: Lease): Promise<{ digest: Digest; size: number }> {
    const digest = digestOf(bytes);
    lease.add(digest);
    if ((await this.size(digest)) === bytes.byteLength) return { digest, size: bytes.byteLength };
    return await this.write(once(bytes), { lease, expected: { digest, size: bytes.byteLength } });
  }

  /** Removes every blob that `isNeeded` and no lease wants; returns what went. Check and removal of one blob are one step. */
  async collect(isNeeded: (digest: Digest) => boolean): Promise<{ removed: Digest[]; freedBytes: number }> {
    const removed: Digest[] = [];
    let freedBytes = 0;
    for (const name of await readdir(this.#blobs)) {
      const digest = `sha256:${name}`;
      if (!isDigest(digest) || isNeeded(digest)) continue;
      const size = (await this.size(digest)) ?? 0;
      if (this.isLeased(digest)) continue;
      unlinkSync(this.path(digest));
      removed.push(digest);
      freedBytes += size;
    }
    return { removed, freedBytes };
  }
}

async function receive(file: FileHandle, source: AsyncIterable<Uint8Array>, { expected, what = 'content', signal, onBytes }: WriteOptions) {
  const hash = createHash('sha256');
  let size = 0;
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

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength; ) offset += (await file.write(chunk, offset, chunk.byteLength - offset)).bytesWritten;
}

/** Makes renames and unlinks in `dir` durable. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  await handle.sync().finally(() => handle.close());
}

/** Turns "no such file" into undefined, for `.catch(absent)`. */
export function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
