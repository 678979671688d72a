import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { UmiakError } from '#base/errors.ts';

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
 * The plain bytes of a stream that is plain, gzip or zstd. `reusesChunks`: chunks of the source are valid only until the next one is asked for.
 * @throws Invalid for xz, bzip2 and damaged streams.
 */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  what: string,
  { reusesChunks = false }: { reusesChunks?: boolean } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
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
  const stream = Readable.from(reusesChunks ? copied(rest) : rest, { objectMode: false, highWaterMark: CHUNK_BYTES });
  const plain = compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options);
  stream.on('error', error => plain.destroy(error));
  try {
    yield* stream.pipe(plain) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (!/^(Z_|ERR_ZSTD|ZSTD_)/.test(String((cause as NodeJS.ErrnoException).code))) throw cause;
    throw new UmiakError('Invalid', `${what} is a damaged ${compression} stream`, { cause });
  } finally {
    stream.destroy();
    plain.destroy();
  }
}

async function* copied(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) yield Buffer.from(chunk);
}

/** The first bytes of a stream, and the stream from its beginning. */
export async function peek(iterator: AsyncIterator<Uint8Array>): Promise<{ start: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
  const held: Uint8Array[] = [];
  let start: Uint8Array = Buffer.alloc(0);
  while (start.byteLength < 6) {
    const { done, value } = await iterator.next();
    if (done) break;
    held.push(value);
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
