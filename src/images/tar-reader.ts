import { UmiakError } from '#base/errors.ts';
import { blockBytes, paddingOf, type TarEntryType, type TarHeader, toText, typeFlags, xattrPrefix } from './tar-format.ts';

export interface TarEntry extends TarHeader {
  /** The content, once; what is left unread is skipped. Chunks are valid until the next one is asked for. */
  body(): AsyncIterable<Buffer>;
}

const MAX_EXTENDED_HEADER_BYTES = 1024 * 1024;
const TYPES = new Map<string, TarEntryType>(Object.entries(typeFlags).map(([type, flag]) => [flag, type as TarEntryType]));

/**
 * Reads a tar archive entry by entry, holding one chunk of the source. Knows ustar, pax (path, linkpath, size, uid, gid,
 * mtime, extended attributes), GNU long names and base-256 numbers; bounds every header. After the end marker the rest of
 * the source is read and dropped, so that a hash over the source sees all of it.
 * @throws Invalid when the archive is damaged, truncated or of a kind not supported (sparse files).
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const input = new ByteSource(source);
  let extended: Extended = { records: new Map() };
  try {
    for (;;) {
      const block = await input.exact(blockBytes);
      if (block === undefined || isZero(block)) break;
      const { header, flag } = parseHeader(block);
      if (flag === 'x' || flag === 'L' || flag === 'K' || flag === 'g' || flag === 'V') {
        const bytes = await readExtended(input, header.sizeBytes);
        if (flag === 'x') for (const [key, value] of parsePax(bytes)) extended.records.set(key, value);
        if (flag === 'L') extended.name = cString(bytes);
        if (flag === 'K') extended.linkName = cString(bytes);
        continue;
      }
      const complete = applyExtended(header, flag, extended);
      extended = { records: new Map() };
      const body = new Body(input, complete.sizeBytes);
      yield { ...complete, body: () => body };
      await body.finish();
    }
    if (extended.records.size > 0 || extended.name !== undefined) throw damaged('an extended header with no entry after it');
    await input.drain();
  } finally {
    await input.close();
  }
}

interface Extended {
  records: Map<string, Buffer>;
  name?: string;
  linkName?: string;
}

/** One entry's content and the padding behind it. */
class Body implements AsyncIterable<Buffer> {
  readonly #input: ByteSource;
  readonly #padding: number;
  #left: number;

  constructor(input: ByteSource, sizeBytes: number) {
    this.#input = input;
    this.#left = sizeBytes;
    this.#padding = paddingOf(sizeBytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    while (this.#left > 0) {
      const chunk = await this.#input.some(this.#left);
      if (chunk === undefined) throw damaged('it ends within an entry');
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
    while ((await this.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}

function parseHeader(block: Buffer): { header: TarHeader; flag: string } {
  const text = (from: number, length: number) => cString(block.subarray(from, from + length));
  const number = (from: number, length: number, field: string) => parseNumber(block.subarray(from, from + length), field);
  if (number(148, 8, 'checksum') !== checksum(block)) throw damaged('a header’s checksum is wrong');
  const flag = block[156] === 0 ? '0' : String.fromCharCode(block[156]!);
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(345, 155) : '';
  const name = text(0, 100);
  return {
    flag: flag === '7' ? '0' : flag,
    header: {
      name: prefix === '' ? name : `${prefix}/${name}`,
      type: 'file',
      mode: number(100, 8, 'mode') & 0o7777,
      uid: number(108, 8, 'uid'),
      gid: number(116, 8, 'gid'),
      sizeBytes: number(124, 12, 'size'),
      mtime: number(136, 12, 'mtime'),
      linkName: text(157, 100),
      devMajor: flag === '3' || flag === '4' ? number(329, 8, 'device') : 0,
      devMinor: flag === '3' || flag === '4' ? number(337, 8, 'device') : 0,
      xattrs: new Map(),
    },
  };
}

function applyExtended(header: TarHeader, flag: string, { records, name: longName, linkName: longLink }: Extended): TarHeader {
  for (const key of records.keys()) if (key.startsWith('GNU.sparse.')) throw unsupported('sparse files', header.name);
  const text = (key: string) => records.get(key)?.toString('latin1');
  const number = (key: string, otherwise: number) => {
    const value = text(key);
    if (value === undefined || value === '') return otherwise;
    if (!/^-?\d+(\.\d*)?$/.test(value)) throw damaged(`the extended header ${key} is not a number`);
    return Number(value);
  };
  const name = text('path') ?? longName ?? header.name;
  const linkName = text('linkpath') ?? longLink ?? header.linkName;
  if (name.includes('\0') || linkName.includes('\0')) throw damaged('a name has a zero byte in it');
  if (flag === 'S') throw unsupported('sparse files', name);
  const type = flag === '0' && name.endsWith('/') ? 'directory' : TYPES.get(flag);
  if (type === undefined) throw unsupported(`entries of type ${JSON.stringify(flag)}`, name);
  const sizeBytes = type === 'file' ? whole(number('size', header.sizeBytes), 'size') : 0;
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of records) if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), value);
  return {
    ...header,
    name,
    type,
    linkName,
    sizeBytes,
    uid: id(number('uid', header.uid), 'uid'),
    gid: id(number('gid', header.gid), 'gid'),
    mtime: number('mtime', header.mtime),
    xattrs,
  };
}

async function readExtended(input: ByteSource, sizeBytes: number): Promise<Buffer> {
  if (sizeBytes < 0 || sizeBytes > MAX_EXTENDED_HEADER_BYTES)
    throw damaged(`an extended header of ${sizeBytes} bytes; ${MAX_EXTENDED_HEADER_BYTES} are read at most`);
  if (sizeBytes === 0) return Buffer.alloc(0);
  const bytes = await input.exact(sizeBytes);
  if (bytes === undefined) throw damaged('it ends within a header');
  const copy = Buffer.from(bytes);
  await input.skip(paddingOf(sizeBytes));
  return copy;
}

/** Pax records: `<length of the whole record> <key>=<value>\n`, values any bytes. */
export function parsePax(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space > at && space - at <= 10 ? Number(bytes.toString('latin1', at, space)) : Number.NaN;
    const equals = bytes.indexOf(0x3d, space);
    const end = at + length;
    if (!Number.isInteger(length) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a)
      throw damaged('an extended header is malformed');
    records.set(bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** Octal digits, or base-256 when the first byte's high bit is set. */
function parseNumber(field: Buffer, what: string): number {
  const first = field[0]!;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    for (const [i, byte] of field.entries()) value = (value << 8n) | BigInt(i === 0 ? (first & 0x40 ? byte : byte & 0x7f) : byte);
    const number = Number(BigInt.asIntN(field.length * 8, value));
    if (!Number.isSafeInteger(number)) throw damaged(`the ${what} is out of range`);
    return number;
  }
  const trimmed = field
    .toString('latin1')
    .replace(/^[\0 ]+/, '')
    .replace(/[\0 ].*$/s, '');
  if (trimmed === '') return 0;
  if (!/^[0-7]+$/.test(trimmed)) throw damaged(`the ${what} is not a number`);
  return Number.parseInt(trimmed, 8);
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < blockBytes; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return sum;
}

function whole(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw damaged(`the ${what} ${value} is out of range`);
  return value;
}

function id(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xfffffffe) throw damaged(`the ${what} ${value} is out of range`);
  return value;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function isZero(block: Buffer): boolean {
  return block.every(byte => byte === 0);
}

function damaged(why: string): UmiakError {
  return new UmiakError('Invalid', `the tar archive is damaged: ${why}`);
}

function unsupported(what: string, name: string): UmiakError {
  return new UmiakError('Invalid', `the tar archive holds ${JSON.stringify(toText(name))}: ${what} are not supported`);
}
