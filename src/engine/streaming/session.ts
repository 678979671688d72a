import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isUmiakError, messageOf } from '#base/index.ts';

import type { StreamType } from '#wire/spdy/channels.ts';
import { type Channels, type StreamStatus, type TerminalSize, toExitStatus, toFailureStatus } from '#wire/websocket-channels.ts';
import type { Container, Engine, StreamSession } from '../engine.ts';

/** What is asked for of a session: its streams, and whether they are a terminal's. */
export interface WantedStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** An exec in, or an attach to, the container that `choose` gives, or throws about. */
export interface AskedSession {
  verb: 'exec' | 'attach';
  choose: () => Container;
  /** Of an exec. */
  command: string[];
  wanted: WantedStreams;
}

/** The streams that a SPDY client opens for a session. */
export function streamsOf({ stdin, stdout, stderr, tty }: WantedStreams): StreamType[] {
  const wanted: [StreamType, boolean][] = [
    ['error', true],
    ['stdin', stdin],
    ['stdout', stdout],
    ['stderr', stderr],
    ['resize', tty],
  ];
  return wanted.flatMap(([type, on]) => (on ? [type] : []));
}

/**
 * Serves one exec or attach over a client's channels, to its end. What fails is told on the error channel: clients can't read a refused
 * handshake's body, and kubectl would try SPDY next and show that refusal instead.
 */
export async function serveSession(
  engine: Pick<Engine, 'exec' | 'attach'>,
  { verb, choose, command, wanted }: AskedSession,
  channels: Channels,
): Promise<void> {
  let status: StreamStatus;
  try {
    const container = choose();
    status = toExitStatus(
      await (verb === 'exec' ? exec(engine, container.id, command, wanted, channels) : attach(engine, container, wanted, channels)),
    );
  } catch (error) {
    status = { ...toFailureStatus(messageOf(error)), ...(isUmiakError(error, 'NotFound') ? { reason: 'NotFound', code: 404 } : {}) };
  }
  await channels.sendStatus(status);
}

/** Runs a command; a client that goes kills it. Resolves with its exit code once all it said is on its way. */
async function exec(
  engine: Pick<Engine, 'exec'>,
  id: string,
  command: string[],
  wanted: WantedStreams,
  channels: Channels,
): Promise<number> {
  const gone = new AbortController();
  void channels.closed.then(() => gone.abort());
  const { tty, stdin } = wanted;
  const sizes = new Sizes(channels);
  const size = tty ? await sizes.first() : undefined;
  const session = await engine.exec(id, { command, tty, stdin, ...(size ? { size } : {}), signal: gone.signal });
  const outputs = join(session, wanted, channels, sizes);
  const exitCode = await session.exitCode;
  // What it did not read nobody will.
  session.stdin?.destroy();
  await Promise.race([outputs, channels.closed]);
  return exitCode;
}

/** Joins a running container's own streams; a client that goes only detaches. Resolves when the container has ended or the input has. */
async function attach(engine: Pick<Engine, 'attach'>, container: Container, wanted: WantedStreams, channels: Channels): Promise<number> {
  const session = await engine.attach(container.id, { stdin: wanted.stdin });
  const inputEnded = Promise.withResolvers<void>();
  try {
    const outputs = join(session, wanted, channels, new Sizes(channels), () => endsWithInput(container) && inputEnded.resolve());
    await Promise.race([outputs, inputEnded.promise, channels.closed]);
  } finally {
    session.close();
  }
  return 0;
}

/**
 * Whether an attached client is let go once it has said all, as containerd does. A container with `stdinOnce` and no terminal reads the
 * end of its input instead, and what it then says is still heard. Pure.
 */
export function endsWithInput({ config: { stdin, stdinOnce, tty } }: Pick<Container, 'config'>): boolean {
  return stdin === true && !(stdinOnce && !tty);
}

/** Resolves when the session's output has ended. What nobody asked for is read all the same, so that nothing waits for it. */
async function join(session: StreamSession, wanted: WantedStreams, channels: Channels, sizes: Sizes, inputEnded = () => {}): Promise<void> {
  if (session.stdin && wanted.stdin) void flow(channels.stdin, session.stdin).then(isWhole => isWhole && inputEnded());
  else channels.stdin.resume();
  void sizes.follow(session);
  await Promise.all([
    wanted.stdout ? flow(session.stdout, channels.stdout, { end: false }) : drain(session.stdout),
    session.stderr && (wanted.stderr ? flow(session.stderr, channels.stderr, { end: false }) : drain(session.stderr)),
  ]);
}

/** As fast as the slower one; resolves whether all has arrived. An end that breaks off is the other's end, and no failure of ours. */
function flow(from: Readable, to: Writable, options: { end?: boolean } = {}): Promise<boolean> {
  return pipeline(from, to, options).then(
    () => true,
    () => false,
  );
}

async function drain(stream: Readable): Promise<void> {
  stream.resume();
  await new Promise<void>(resolve => {
    stream.on('error', () => resolve());
    stream.once('close', resolve);
  });
}

/** A client with a terminal says its size right after the start; one that says none is waited for no longer than this. */
const FIRST_SIZE_MS = 100;

/** The client's terminal sizes, the first of them known before the command starts. */
class Sizes {
  readonly #sizes: AsyncIterator<TerminalSize>;
  #next: Promise<IteratorResult<TerminalSize>> | undefined;

  constructor(channels: Channels) {
    this.#sizes = channels.resize[Symbol.asyncIterator]();
  }

  async first(): Promise<{ rows: number; columns: number } | undefined> {
    this.#next ??= this.#sizes.next();
    const deadline = new AbortController();
    const late = sleep(FIRST_SIZE_MS, undefined, { signal: deadline.signal }).catch(() => undefined);
    const result = await Promise.race([this.#next.catch(() => undefined), late]);
    deadline.abort();
    return result && !result.done ? { rows: result.value.height, columns: result.value.width } : undefined;
  }

  async follow(session: StreamSession): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await (this.#next ?? this.#sizes.next());
        this.#next = undefined;
        if (done) return;
        session.resize({ rows: value.height, columns: value.width });
      }
    } catch {
      // The terminal has gone: the session's end is told elsewhere.
    }
  }
}
