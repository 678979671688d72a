import type { StreamSession } from '#engine/index.ts';
import type { Client } from './client.ts';
import { DetachScanner } from './detach-keys.ts';
import { pump } from './frames.ts';

export interface JoinOptions {
  session: StreamSession;
  client: Client;
  tty: boolean;
  /** Whether the client hears both outputs in frames. */
  isFramed: boolean;
  wanted: { stdin: boolean; stdout: boolean; stderr: boolean };
  /** Looked for in what is typed at a terminal. */
  detachKeys: Buffer;
  /** Whether the end of the client's input is the end of the container's; else the client is let go then, as docker does. */
  closesStdin: boolean;
  /** See `PumpOptions`. */
  gathers?: boolean | undefined;
}

/** How a client and a session part: the session has `ended`; the client has `detached` by keys, `said` all it had to say, or is `gone`. */
export type Parting = 'ended' | 'detached' | 'said' | 'gone';

/**
 * Joins a client with a container's streams, each as fast as the other takes, until they part. Neither is closed here. What nobody asked
 * for is read all the same, so that nothing waits for it.
 */
export async function joinSession(options: JoinOptions): Promise<Parting> {
  const { session, client, isFramed, wanted, gathers } = options;
  const { promise: parted, resolve: part } = Promise.withResolvers<Parting>();
  const left = () => part('gone');
  client.output.once('close', left);
  if (client.output.destroyed) left();
  const stopInput = readInput(options, part);
  const outputs = Promise.all([
    wanted.stdout ? pump(session.stdout, client.output, { stream: isFramed ? 1 : undefined, gathers }) : drain(session.stdout),
    session.stderr &&
      (wanted.stderr ? pump(session.stderr, client.output, { stream: isFramed ? 2 : undefined, gathers }) : drain(session.stderr)),
  ]);
  void outputs.then(() => part('ended'));
  try {
    return await parted;
  } finally {
    client.output.off('close', left);
    stopInput();
  }
}

/** Leads what the client says to the session. Gives what ends that. */
function readInput(
  { session, client: { input, gone }, tty, wanted, detachKeys, closesStdin }: JoinOptions,
  part: (how: Parting) => void,
): () => void {
  const scanner = new DetachScanner(detachKeys);
  const open = wanted.stdin ? session.stdin : undefined;
  const heard = (typed: Buffer) => {
    const { bytes, isDetached } = tty ? scanner.scan(typed) : { bytes: typed, isDetached: false };
    if (bytes.length > 0 && open?.writable && !open.write(bytes)) input.pause();
    if (isDetached) part('detached');
  };
  const ended = () => {
    if (gone.aborted) part('gone');
    else if (!wanted.stdin) return;
    else if (closesStdin) open?.end();
    else part('said');
  };
  const goOn = () => void input.resume();
  // It ended while somebody still wrote: its outputs tell.
  open?.on('error', goOn);
  open?.on('close', goOn);
  open?.on('drain', goOn);
  input.on('data', heard);
  input.once('end', ended);
  if (input.readableEnded) ended();
  return () => {
    input.off('data', heard);
    input.off('end', ended);
    for (const event of ['close', 'drain']) open?.off(event, goOn);
    input.resume();
  };
}

async function drain(stream: StreamSession['stdout']): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const event of ['error', 'close', 'end']) stream.on(event, () => resolve());
  stream.resume();
  if (stream.readableEnded || stream.destroyed) resolve();
  await promise;
}
