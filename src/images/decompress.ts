import type { Writable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { UmiakError } from '#base/errors.ts';
import { spending } from '#base/spent.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

/** Each chunk goes to another thread and back: few large ones cost a fifth less of the whole unpacking than those of 64 KB. */
export const CHUNK_BYTES = 256 * 1024;

/** What the first bytes say; media types are not always right. */
export function detectCompression(start: Uint8Array): Compression {
  const begins = (...magic: number[]) => magic.every((byte, i) => start[i] === byte);
  if (begins(0x1f, 0x8b, 0x08)) return 'gzip';
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a)) return 'xz';
  // A tar archive may begin with a file's name, so "BZh" alone says nothing.
  if (begins(0x42, 0x5a, 0x68) && start[4] === 0x31 && start[5] === 0x41) return 'bzip2';
  return 'none';
}

/**
 * The plain bytes of a stream that is plain, gzip or zstd. No chunk of the source is looked at once the next one was asked for, and each that comes
 * out is valid until then.
 * @throws Invalid for xz, bzip2 and damaged streams.
 */
export async function* decompressed(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  const { start, rest } = await peek(iterator);
  const compression = detectCompression(start);
  if (compression === 'none') {
    yield* rest;
    return;
  }
  if (compression === 'xz' || compression === 'bzip2')
    throw new UmiakError('Invalid', `${what} is compressed with ${compression}; plain, gzip and zstd are read`, {
      hint: `Unpack it first: ${compression} -d.`,
    });
  const options = { chunkSize: CHUNK_BYTES };
  const plain = compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options);
  feed(rest, plain).catch(error => plain.destroy(error));
  try {
    yield* spending(plain as AsyncIterable<Uint8Array>);
  } catch (cause) {
    if (!/^(Z_|ERR_ZSTD|ZSTD_)/.test(String((cause as NodeJS.ErrnoException).code))) throw cause;
    throw new UmiakError('Invalid', `${what} is a damaged ${compression} stream`, { cause });
  } finally {
    plain.destroy();
  }
}

/** Chunk by chunk, each when the one before has been taken; who has enough, as one that has seen its end, closes. */
export async function feed(source: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  let goOn = () => {};
  to.once('close', () => goOn());
  for await (const chunk of source) {
    const { promise, resolve } = Promise.withResolvers<void>();
    goOn = resolve;
    to.write(chunk, () => resolve()); // what it fails of, its reader is told
    await promise;
    if (to.destroyed) return;
  }
  to.end();
}

/** The first bytes of a stream, and the stream from its beginning. */
export async function peek(iterator: AsyncIterator<Uint8Array>): Promise<{ start: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
  const held: Uint8Array[] = [];
  let start: Uint8Array = Buffer.alloc(0);
  while (start.byteLength < 6) {
    const { done, value } = await iterator.next();
    if (done) break;
    // A few bytes are kept beyond the next one's coming.
    held.push(value.byteLength < 6 ? Buffer.from(value) : value);
    start = held.length === 1 ? value : Buffer.concat(held);
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      yield* held.splice(0);
      for (;;) {
        const { done, value } = await iterator.next();
        if (done) return;
        yield value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { start, rest: rest() };
}
