import { PassThrough, Writable } from 'node:stream';
import type { Streams } from './terminal.ts';

/** Streams of a test: what was written is text; stdin is what the test gives. */
export function captureStreams({ stdin = '', isTerminal = false }: { stdin?: string | Buffer; isTerminal?: boolean } = {}): {
  streams: Streams;
  out: () => string;
  err: () => string;
} {
  const written = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof written) =>
    Object.assign(
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          written[name] += chunk.toString();
          done();
        },
      }),
      { isTTY: isTerminal, columns: 80, rows: 24 },
    );
  const input = new PassThrough();
  input.end(stdin);
  return {
    streams: { stdin: input, stdout: sink('stdout'), stderr: sink('stderr'), env: {} },
    out: () => written.stdout,
    err: () => written.stderr,
  };
}
