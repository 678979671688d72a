import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { UmiakError } from '#base/errors.ts';
import { detectCompression, feed, peek } from './decompress.ts';

/**
 * The stream as it is, unless it is compressed with xz or bzip2, for which there is no library: then what the machine's program makes of it, as docker
 * does. No chunk of the source is looked at once the next one was asked for. @throws Invalid for damaged streams, and where the program is not there
 */
export async function* unpackedByProgram(
  source: AsyncIterable<Uint8Array>,
  what: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { start, rest } = await peek(source[Symbol.asyncIterator]());
  const compression = detectCompression(start);
  if (compression !== 'xz' && compression !== 'bzip2') {
    yield* rest;
    return;
  }
  const child = spawn(compression, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'], ...(signal ? { signal } : {}) });
  const ended = once(child, 'close').catch((cause: NodeJS.ErrnoException) => {
    const isMissing = cause.code === 'ENOENT';
    throw new UmiakError(
      'Invalid',
      `${what} is compressed with ${compression}, ${isMissing ? `and the program ${compression} is not installed` : 'which failed'}`,
      {
        cause,
        ...(isMissing ? { hint: `Install ${compression === 'xz' ? 'xz-utils' : 'bzip2'}, or unpack it first.` } : {}),
      },
    );
  });
  ended.catch(() => {});
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 300)));
  child.stdin.on('error', () => {}); // it has ended: its exit code says why
  feed(rest, child.stdin).catch(error => child.stdout.destroy(error));
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const [code] = await ended;
    if (code !== 0) throw new UmiakError('Invalid', `${what} is a damaged ${compression} stream: ${said.trim()}`);
  } finally {
    child.stdin.destroy();
    child.kill('SIGKILL');
  }
}
