import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { UmiakError } from '#base/errors.ts';
import { spdyDictionary } from './dictionary.ts';

/** Names in lower case; values of one name are joined by NUL on the wire. */
export type SpdyHeaders = Record<string, string>;

/** A block may unpack to no more than this. */
const MOST_BLOCK_BYTES = 64 << 10;

/** Writes blocks of headers, each compressed with what was sent before (draft 3.1, 2.6.10). */
export class HeaderPacker implements Disposable {
  readonly #deflate: Deflate = createDeflate({ dictionary: spdyDictionary(), flush: constants.Z_SYNC_FLUSH });

  async pack(headers: SpdyHeaders): Promise<Buffer> {
    return await through(this.#deflate, encodeHeaders(headers), MOST_BLOCK_BYTES);
  }

  [Symbol.dispose](): void {
    this.#deflate.destroy();
  }
}

/** Reads the peer's blocks, in the order they came. */
export class HeaderUnpacker implements Disposable {
  readonly #inflate: Inflate = createInflate({ dictionary: spdyDictionary(), flush: constants.Z_SYNC_FLUSH });

  /** @throws `BadRequest` for what is no block of headers, or too large a one */
  async unpack(block: Buffer): Promise<SpdyHeaders> {
    return decodeHeaders(await through(this.#inflate, block, MOST_BLOCK_BYTES));
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy();
  }
}

/** What comes out of a (de)compressor for one block: it keeps its state for the next. */
async function through(codec: Deflate | Inflate, block: Buffer, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const drain = () => {
    for (let chunk: Buffer | null = codec.read(); chunk !== null; chunk = codec.read()) {
      size += chunk.length;
      if (size > most) return reject(new UmiakError('BadRequest', `SPDY: a block of headers is longer than ${most} bytes`));
      chunks.push(chunk);
    }
  };
  codec.on('readable', drain);
  codec.once('error', reject);
  codec.write(block, error => (error ? reject(error) : resolve()));
  try {
    await promise;
    drain();
    return Buffer.concat(chunks);
  } catch (error) {
    codec.on('error', () => {});
    codec.destroy();
    throw error instanceof UmiakError ? error : new UmiakError('BadRequest', 'SPDY: a block of headers does not unpack', { cause: error });
  } finally {
    codec.off('readable', drain);
    codec.off('error', reject);
  }
}

export function encodeHeaders(headers: SpdyHeaders): Buffer {
  const pairs = Object.entries(headers);
  const parts: Buffer[] = [uint32(pairs.length)];
  for (const text of pairs.flat()) {
    const bytes = Buffer.from(text, 'utf8');
    parts.push(uint32(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** @throws `BadRequest` */
export function decodeHeaders(block: Buffer): SpdyHeaders {
  let at = 0;
  const number = () => {
    if (at + 4 > block.length) throw cut();
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const string = () => {
    const length = number();
    if (at + length > block.length) throw cut();
    at += length;
    return block.toString('utf8', at - length, at);
  };
  const count = number();
  const headers: SpdyHeaders = Object.create(null);
  for (let i = 0; i < count; i++) {
    const name = string().toLowerCase();
    headers[name] = string().split('\0')[0] ?? '';
  }
  return headers;
}

function cut(): UmiakError {
  return new UmiakError('BadRequest', 'SPDY: a block of headers is cut short');
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
