import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UmiakError } from '#base/errors.ts';
import { decompressed } from '#images/decompress.ts';
import { blockBytes } from '#images/tar-format.ts';
import { parseHeader } from '#images/tar-header.ts';

/** The plain bytes of what may be compressed by gzip, zstd, xz or bzip2; the last two by the machine's programs, as docker does. @throws Invalid */
export async function* unpacked(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array, void, undefined> {
  const { start, rest } = await peek(source, 6);
  const program = programFor(start);
  if (program === undefined) yield* decompressed(rest, what);
  else yield* throughProgram(program, rest, what);
}

function programFor(start: Uint8Array): 'xz' | 'bzip2' | undefined {
  const begins = (...magic: number[]) => magic.every((byte, i) => start[i] === byte);
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a)) return 'xz';
  if (begins(0x42, 0x5a, 0x68) && start[4] === 0x31 && start[5] === 0x41) return 'bzip2';
  return undefined;
}

const MAX_COMPLAINT = 1000;

async function* throughProgram(program: string, source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const child = spawn(program, ['-d', '-c', '-q'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(0, MAX_COMPLAINT)));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
  ended.catch(() => {});
  let sourceFailed: unknown;
  const fed = pipeline(Readable.from(source, { objectMode: false }), child.stdin).catch(error => {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') sourceFailed = error;
    child.kill('SIGKILL');
  });
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const code = await ended.catch(cause => {
      throw new UmiakError('NotImplemented', `${what} is compressed with ${program}, and this machine has no program ${program}`, {
        cause,
      });
    });
    await fed;
    if (sourceFailed !== undefined) throw sourceFailed;
    if (code !== 0) throw new UmiakError('Invalid', `${what} is a damaged ${program} stream: ${complaint.trim()}`);
  } finally {
    child.kill('SIGKILL');
  }
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
