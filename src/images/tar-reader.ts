import { UmiakError } from '#base/errors.ts';
import { blockBytes, paddingOf, toText } from './tar-format.ts';
import { cString, damaged, parseHeader, TarDamage } from './tar-header.ts';
import { applyExtended, type Extended, type ExtendedHeader, isGlobalKey, type PaxRecords, parsePax } from './tar-pax.ts';
import { isSparse, readOldSparse, readPaxSparse, type SparseMap } from './tar-sparse.ts';

export interface TarEntry extends ExtendedHeader {
  /** Where the content lies in the file, when that has holes; only for those who asked for `sparse`. */
  sparse?: SparseMap;
  /** The content, once; what is left unread is skipped. Chunks are valid until the next one is asked for. */
  body(): AsyncIterable<Buffer>;
}

export interface ReadTarOptions {
  /** Give sparse files with their maps instead of refusing them. */
  sparse?: boolean;
}

/** Of all extended headers before one entry. */
const MAX_EXTENDED_HEADER_BYTES = 1024 * 1024;
const MAX_EXTENDED_HEADERS = 64;
/** Behind the end marker; a few blocks are usual. */
const MAX_TRAILING_BYTES = 64 * 1024 * 1024;

/**
 * Reads a tar archive entry by entry, holding one chunk of the source. Knows the oldest form, ustar, pax (global and extended headers, attributes
 * as star's and libarchive's), GNU long names, base-256 numbers and all sparse formats; bounds every header. After the end marker the rest of
 * the source is read and dropped, so that a hash over the source sees all of it.
 * @throws Invalid, with the entry's name, when the archive is damaged, truncated or holds what is not supported.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  { sparse: takesSparse = false }: ReadTarOptions = {},
): AsyncGenerator<TarEntry, void, undefined> {
  const input = new ByteSource(source);
  const headers = new ExtendedHeaders(input);
  let where = 'at its beginning';
  try {
    for (;;) {
      const block = await input.exact(blockBytes);
      if (block === undefined || isZero(block)) break;
      const { header, flag } = parseHeader(block);
      if (await headers.take(flag, header.sizeBytes)) continue;
      where = `at ${quoted(headers.nameOf(header.name))}`;
      const complete = applyExtended(header, flag, headers.extended);
      if (complete === undefined) throw new UnsupportedEntry(`entries of type ${JSON.stringify(flag)}`);
      const entry: Omit<TarEntry, 'body'> = complete;
      const padding = paddingOf(entry.sizeBytes);
      if (flag === 'S' || isSparse(headers.extended.records)) {
        if (!takesSparse || entry.type !== 'file') throw new UnsupportedEntry('sparse files');
        await readSparse(entry, flag === 'S' ? Buffer.from(block) : undefined, headers.list, input);
      }
      headers.forget();
      const body = new Body(input, entry.sizeBytes, padding, where);
      yield { ...entry, body: () => body };
      await body.finish();
      where = `after ${quoted(entry.name)}`;
    }
    if (headers.isPending) throw damaged('an extended header with no entry after it');
    await input.drain();
  } catch (error) {
    throw explain(error, where);
  } finally {
    await input.close();
  }
}

class UnsupportedEntry extends Error {}

function explain(error: unknown, where: string): unknown {
  if (error instanceof UnsupportedEntry) return new UmiakError('Invalid', `the tar archive, ${where}: ${error.message} are not supported`);
  if (error instanceof TarDamage) return new UmiakError('Invalid', `the tar archive is damaged ${where}: ${error.message}`);
  return error;
}

/** Collects what stands before an entry's own header, within bounds. */
class ExtendedHeaders {
  readonly #input: ByteSource;
  readonly extended: Extended = { global: new Map(), records: new Map() };
  list: PaxRecords = [];
  #count = 0;
  #bytes = 0;

  constructor(input: ByteSource) {
    this.#input = input;
  }

  /** Whether one for the entry to come was read. */
  get isPending(): boolean {
    return this.extended.records.size > 0 || this.extended.name !== undefined || this.extended.linkName !== undefined;
  }

  nameOf(name: string): string {
    return this.extended.records.get('path')?.toString('latin1') ?? this.extended.name ?? name;
  }

  /** Reads the header's content if it is one of the kinds that describe others. */
  async take(flag: string, sizeBytes: number): Promise<boolean> {
    if (!'xXgLKV'.includes(flag)) return false;
    this.#bytes += Math.max(0, sizeBytes);
    if (++this.#count > MAX_EXTENDED_HEADERS) throw damaged(`more than ${MAX_EXTENDED_HEADERS} extended headers before one entry`);
    if (sizeBytes < 0 || this.#bytes > MAX_EXTENDED_HEADER_BYTES)
      throw damaged(`extended headers of ${this.#bytes} bytes; ${MAX_EXTENDED_HEADER_BYTES} are read at most`);
    const bytes = await readContent(this.#input, sizeBytes);
    if (flag === 'L') this.extended.name = cString(bytes);
    if (flag === 'K') this.extended.linkName = cString(bytes);
    if (flag === 'g') for (const [key, value] of parsePax(bytes)) this.#addGlobal(key, value);
    if (flag === 'x' || flag === 'X') {
      const list = parsePax(bytes);
      this.list = [...this.list, ...list];
      for (const [key, value] of list) this.extended.records.set(key, value);
    }
    return true;
  }

  #addGlobal(key: string, value: Buffer): void {
    if (!isGlobalKey(key)) return;
    this.extended.global.set(key, value);
    let total = 0;
    for (const [each, held] of this.extended.global) total += each.length + held.length;
    if (total > MAX_EXTENDED_HEADER_BYTES) throw damaged(`global headers of ${total} bytes; ${MAX_EXTENDED_HEADER_BYTES} are read at most`);
  }

  forget(): void {
    this.extended.records = new Map();
    delete this.extended.name;
    delete this.extended.linkName;
    this.list = [];
    this.#count = 0;
    this.#bytes = 0;
  }
}

/** Reads the map and leaves the entry with what is stored of its content. */
async function readSparse(
  entry: Omit<TarEntry, 'body'>,
  oldHeader: Buffer | undefined,
  list: PaxRecords,
  input: ByteSource,
): Promise<void> {
  const readBlock = async () => {
    const block = await input.exact(blockBytes);
    if (block === undefined) throw damaged('it ends within a header');
    return Buffer.from(block);
  };
  if (oldHeader) {
    entry.sparse = await readOldSparse(oldHeader, entry.sizeBytes, readBlock);
    return;
  }
  const { map, mapBytes } = await readPaxSparse(list, entry.sizeBytes, readBlock);
  entry.sparse = map;
  entry.sizeBytes -= mapBytes;
}

/** One entry's content and the padding behind it. */
class Body implements AsyncIterable<Buffer> {
  readonly #input: ByteSource;
  readonly #padding: number;
  readonly #where: string;
  #left: number;

  constructor(input: ByteSource, sizeBytes: number, padding: number, where: string) {
    this.#where = where;
    this.#input = input;
    this.#left = sizeBytes;
    this.#padding = padding;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    while (this.#left > 0) {
      const chunk = await this.#input.some(this.#left);
      if (chunk === undefined) throw explain(damaged('it ends within an entry'), this.#where);
      this.#left -= chunk.length;
      yield chunk;
    }
  }

  async finish(): Promise<void> {
    await this.#input.skip(this.#left + this.#padding);
    this.#left = 0;
  }
}

/** Hands out exact and partial pieces of a stream of chunks. */
class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** `length` bytes, or undefined at a clean end. */
  async exact(length: number): Promise<Buffer | undefined> {
    const first = await this.some(length);
    if (first === undefined || first.length === length) return first;
    const whole = Buffer.allocUnsafe(length);
    let have = first.copy(whole);
    while (have < length) {
      const more = await this.some(length - have);
      if (more === undefined) throw damaged('it ends within a header');
      have += more.copy(whole, have);
    }
    return whole;
  }

  /** Between 1 and `max` bytes, or undefined at the end. */
  async some(max: number): Promise<Buffer | undefined> {
    while (this.#offset === this.#chunk.length) {
      const { done, value } = await this.#iterator.next();
      if (done) return undefined;
      this.#chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      this.#offset = 0;
    }
    const piece = this.#chunk.subarray(this.#offset, Math.min(this.#chunk.length, this.#offset + max));
    this.#offset += piece.length;
    return piece;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) throw damaged('it ends within an entry');
      left -= piece.length;
    }
  }

  async drain(): Promise<void> {
    let left = MAX_TRAILING_BYTES;
    for (let piece = await this.some(left); piece !== undefined; piece = await this.some(Number.MAX_SAFE_INTEGER)) {
      left -= piece.length;
      if (left < 0) throw damaged(`more than ${MAX_TRAILING_BYTES} bytes after its end`);
    }
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}

async function readContent(input: ByteSource, sizeBytes: number): Promise<Buffer> {
  if (sizeBytes === 0) return Buffer.alloc(0);
  const bytes = await input.exact(sizeBytes);
  if (bytes === undefined) throw damaged('it ends within a header');
  const copy = Buffer.from(bytes);
  await input.skip(paddingOf(sizeBytes));
  return copy;
}

function quoted(name: string): string {
  return JSON.stringify(toText(name.slice(0, 300)));
}

function isZero(block: Buffer): boolean {
  return block.every(byte => byte === 0);
}
