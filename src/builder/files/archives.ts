import { decompressed, detectCompression } from '#images/decompress.ts';
import { unpackedByProgram } from '#images/decompress-program.ts';
import { blockBytes } from '#images/tar-format.ts';
import { parseHeader } from '#images/tar-header.ts';

/**
 * The plain bytes of what may be compressed by gzip, zstd, xz or bzip2; the last two by the machine's programs, as docker does. Chunks of the
 * source need to be valid only until the next one is asked for. @throws Invalid
 */
export async function* unpacked(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array, void, undefined> {
  const { start, rest } = await peek(source, 6);
  if (detectCompression(start) === 'none') yield* rest;
  else yield* decompressed(unpackedByProgram(rest, what), what);
}

/** Whether bytes, decompressed, begin as a tar archive does. */
export async function isArchive(source: AsyncIterable<Uint8Array>): Promise<boolean> {
  const plain = unpacked(source, 'it');
  try {
    const { start } = await peek(plain, blockBytes);
    if (start.length < blockBytes || start.every(byte => byte === 0)) return false;
    parseHeader(Buffer.from(start.subarray(0, blockBytes)));
    return true;
  } catch {
    return false;
  } finally {
    await plain.return();
  }
}

/** The first bytes, and all of them again. */
export async function peek(
  source: AsyncIterable<Uint8Array>,
  bytes: number,
): Promise<{ start: Uint8Array; rest: AsyncGenerator<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const held: Uint8Array[] = [];
  let length = 0;
  while (length < bytes) {
    const { done, value } = await iterator.next();
    if (done) break;
    held.push(Buffer.from(value));
    length += value.byteLength;
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      yield* held;
      for (;;) {
        const { done, value } = await iterator.next();
        if (done) return;
        yield value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { start: Buffer.concat(held), rest: rest() };
}
