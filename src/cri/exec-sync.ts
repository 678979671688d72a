import type { Readable } from 'node:stream';
import { UmiakError } from '#base/errors.ts';
import type { CriContext } from './context.ts';
import type { ExecSyncResponse } from './types.gen.ts';

/** Of both outputs together; what a client takes in one message, less what stands around it. */
const MOST_OUTPUT_BYTES = (16 << 20) - 1024;

export interface ExecSyncOptions {
  command: string[];
  /** 0: as long as the client waits. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** Runs a command to its end. What it writes beyond what one answer holds is let go. @throws `Timeout`, the process killed */
export async function execSync(
  { engine, clock }: Pick<CriContext, 'engine' | 'clock'>,
  id: string,
  { command, timeoutMs, signal }: ExecSyncOptions,
): Promise<ExecSyncResponse> {
  const expired = new AbortController();
  const what = `command ${JSON.stringify(command.join(' ').slice(0, 256))}`;
  using _ =
    timeoutMs > 0
      ? clock.after(timeoutMs, () => expired.abort(new UmiakError('Timeout', `${what} timed out: timeout ${timeoutMs / 1000}s exceeded`)))
      : undefined;
  const ends = AbortSignal.any([signal, expired.signal]);
  const session = await engine.exec(id, { command, signal: ends });
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const abort = () => {
    session.close();
    for (const stream of [session.stdout, session.stderr]) stream?.destroy();
    reject(ends.reason);
  };
  ends.addEventListener('abort', abort, { once: true });
  if (ends.aborted) abort();
  const room = { bytes: MOST_OUTPUT_BYTES };
  const done = Promise.all([session.exitCode, collect(session.stdout, room), collect(session.stderr, room)]);
  done.catch(() => {}); // streams that were destroyed
  try {
    const [exitCode, stdout, stderr] = await Promise.race([done, ended]);
    return { exitCode, stdout, stderr };
  } finally {
    ends.removeEventListener('abort', abort);
  }
}

async function collect(stream: Readable | undefined, room: { bytes: number }): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) {
    const kept = (chunk as Buffer).subarray(0, room.bytes);
    room.bytes -= kept.length;
    if (kept.length > 0) chunks.push(kept);
  }
  return Buffer.concat(chunks);
}
