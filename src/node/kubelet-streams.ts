import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isUmiakError, messageOf } from '#base/index.ts';
import type { Container, Engine, StreamSession } from '#engine/engine.ts';
import { type Channels, type StreamStatus, toExitStatus, toFailureStatus } from '#wire/websocket-channels.ts';
import { isTrue } from './kubelet-logs.ts';

/** What a session's query asks for: `input`, `output`, `error` and `tty`, as the API server and the kubelet call them. */
interface Wanted {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

function readWanted(query: URLSearchParams): Wanted {
  const [stdin, stdout, stderr, tty] = ['input', 'output', 'error', 'tty'].map(name => isTrue(query.get(name))) as [
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  return { stdin, stdout, stderr, tty };
}

/**
 * Serves one exec or attach over a client's channels, to its end. What fails is told on the error channel: clients can't read a refused
 * handshake's body, and kubectl would try SPDY next and show that refusal instead.
 */
export async function serveSession(
  engine: Pick<Engine, 'exec' | 'attach'>,
  verb: 'exec' | 'attach',
  choose: () => Container,
  query: URLSearchParams,
  channels: Channels,
): Promise<void> {
  const wanted = readWanted(query);
  let status: StreamStatus;
  try {
    const { id } = choose();
    status = toExitStatus(
      await (verb === 'exec' ? exec(engine, id, query.getAll('command'), wanted, channels) : attach(engine, id, wanted, channels)),
    );
  } catch (error) {
    status = { ...toFailureStatus(messageOf(error)), ...(isUmiakError(error, 'NotFound') ? { reason: 'NotFound', code: 404 } : {}) };
  }
  await channels.sendStatus(status);
}

/** Runs a command; a client that goes kills it. Resolves with its exit code once all it said is on its way. */
async function exec(engine: Pick<Engine, 'exec'>, id: string, command: string[], wanted: Wanted, channels: Channels): Promise<number> {
  const gone = new AbortController();
  void channels.closed.then(() => gone.abort());
  const { tty, stdin } = wanted;
  const session = await engine.exec(id, { command, tty, stdin, signal: gone.signal });
  const outputs = join(session, wanted, channels);
  const exitCode = await session.exitCode;
  // What it did not read nobody will.
  session.stdin?.destroy();
  await Promise.race([outputs, channels.closed]);
  return exitCode;
}

/** Joins a running container's own streams; a client that goes only detaches. Resolves when the container has ended. */
async function attach(engine: Pick<Engine, 'attach'>, id: string, wanted: Wanted, channels: Channels): Promise<number> {
  const session = await engine.attach(id, { stdin: wanted.stdin });
  try {
    await Promise.race([join(session, wanted, channels), channels.closed]);
  } finally {
    session.close();
  }
  return 0;
}

/** Resolves when the session's output has ended. What nobody asked for is read all the same, so that nothing waits for it. */
async function join(session: StreamSession, wanted: Wanted, channels: Channels): Promise<void> {
  if (session.stdin && wanted.stdin) void flow(channels.stdin, session.stdin);
  else channels.stdin.resume();
  void followSize(session, channels);
  await Promise.all([
    wanted.stdout ? flow(session.stdout, channels.stdout, { end: false }) : drain(session.stdout),
    session.stderr && (wanted.stderr ? flow(session.stderr, channels.stderr, { end: false }) : drain(session.stderr)),
  ]);
}

/** As fast as the slower one. An end that breaks off is the other's end, and no failure of ours. */
async function flow(from: Readable, to: Writable, options: { end?: boolean } = {}): Promise<void> {
  await pipeline(from, to, options).catch(() => {});
}

async function drain(stream: Readable): Promise<void> {
  stream.resume();
  await new Promise<void>(resolve => {
    stream.on('error', () => resolve());
    stream.once('close', resolve);
  });
}

async function followSize(session: StreamSession, channels: Channels): Promise<void> {
  try {
    for await (const { width, height } of channels.resize) session.resize({ rows: height, columns: width });
  } catch {
    // The terminal has gone: the session's end is told elsewhere.
  }
}
