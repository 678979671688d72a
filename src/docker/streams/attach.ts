import type { Duplex, Readable } from 'node:stream';
import { UmiakError } from '#base/errors.ts';
import type { StreamSession } from '#engine/index.ts';
import { type DockerRequest, flagOf } from '../request.ts';
import type { DockerContainer } from '../rooms.ts';
import { Client } from './client.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { planContentType, pump, RAW } from './frames.ts';
import { joinSession } from './join-session.ts';
import { conflict, emitOf, isPaused, type StreamsRoom } from './room.ts';

const MAX_MESSAGE_BYTES = 1 << 20;

interface Asked {
  container: DockerContainer;
  stream: boolean;
  logs: boolean;
  wanted: { stdin: boolean; stdout: boolean; stderr: boolean };
  detachKeys: Buffer;
}

/** `POST /containers/{id}/attach` */
export async function serveAttach(room: StreamsRoom, request: DockerRequest): Promise<void> {
  const { hijack, apiMinor } = request;
  const asked = readAsked(room, request);
  const { tty } = kindOf(asked.container);
  const contentType = hijack?.isUpgrade ? planContentType({ tty, apiMinor }) : RAW;
  await attach(room, asked, !tty, () => new Client(hijack!.open(contentType), { clock: room.clock }));
}

/** `GET /containers/{id}/attach/ws`: bytes as they are, in messages. */
export async function serveAttachWebSocket(room: StreamsRoom, request: DockerRequest): Promise<void> {
  const { hijack, incoming } = request;
  if (!hijack?.isUpgrade || incoming.headers.upgrade?.toLowerCase() !== 'websocket')
    throw new UmiakError('BadRequest', 'not websocket protocol');
  const asked = readAsked(room, request);
  const [{ acceptWebSocket }, { createWebSocketStream }] = await Promise.all([import('#wire/websocket-accept.ts'), import('ws')]);
  const { socket, head } = hijack.release();
  const options = { protocols: [], maxMessageBytes: MAX_MESSAGE_BYTES, isLenient: true };
  // What is wrong with the handshake it has answered itself.
  const connection = await acceptWebSocket<Duplex>(incoming.headers, socket, head, options, webSocket => {
    socket.once('close', () => webSocket.terminate());
    return createWebSocketStream(webSocket);
  }).catch(() => undefined);
  if (!connection) return void socket.destroy();
  await attach(room, asked, false, () => new Client(connection, { halfCloses: false, clock: room.clock }));
}

function readAsked({ containers, isRestarting }: StreamsRoom, { name, query }: DockerRequest): Asked {
  const detachKeys = parseDetachKeys(query.get('detachKeys'));
  const container = containers.find(name);
  const { id } = container;
  if (isPaused(container)) throw conflict(`container ${id} is paused, unpause the container before attach`);
  if (isRestarting?.(id)) throw conflict(`container ${id} is restarting, wait until the container is running`);
  return {
    container,
    detachKeys,
    stream: flagOf(query, 'stream'),
    logs: flagOf(query, 'logs'),
    wanted: { stdin: flagOf(query, 'stdin'), stdout: flagOf(query, 'stdout'), stderr: flagOf(query, 'stderr') },
  };
}

function kindOf({ engine: { config } }: DockerContainer): { tty: boolean; stdinOnce: boolean } {
  return { tty: config.tty ?? false, stdinOnce: config.stdinOnce ?? false };
}

async function attach(room: StreamsRoom, asked: Asked, isFramed: boolean, open: () => Client): Promise<void> {
  const { container, stream, logs, wanted, detachKeys } = asked;
  const { tty, stdinOnce } = kindOf(container);
  // Before the client is answered, who may then start the container.
  const over = new AbortController();
  const opening = stream ? attachNow(room, container, wanted.stdin, over) : undefined;
  opening?.catch(() => {});
  const client = open();
  client.gone.addEventListener('abort', () => over.abort(client.gone.reason));
  if (client.gone.aborted) over.abort();
  try {
    emitOf(room, container, 'attach');
    const log = logs ? openLog(room, asked, { isFramed, stream, client }) : undefined;
    const isLive = log !== undefined && stream && container.engine.state === 'running';
    if (log && !isLive) await pump(log, client.output);
    const own = await opening;
    if (!own) return;
    // What runs is read from its log from the beginning on: then nothing comes twice, and nothing is left out.
    const session = isLive ? fromLog(own, log) : own;
    try {
      const closesStdin = stdinOnce && !tty;
      const heard = isLive ? { ...wanted, stdout: true } : wanted;
      const parting = await joinSession({ session, client, tty, isFramed: isFramed && !isLive, wanted: heard, detachKeys, closesStdin });
      if (parting === 'detached') emitOf(room, container, 'detach');
    } finally {
      session.close();
    }
  } catch {
    // It could not be started, was removed meanwhile, or nobody waits any more.
  } finally {
    client.hangUp();
  }
}

/** One that does not run is attached at its next start, unless it is removed before. */
async function attachNow({ engine }: StreamsRoom, { id }: DockerContainer, stdin: boolean, over: AbortController): Promise<StreamSession> {
  const attaching = engine.attach(id, { stdin, waits: true, signal: over.signal });
  using _ = engine.subscribe(event => {
    if (event.type === 'container' && event.action === 'removed' && event.container.id === id) over.abort();
  });
  return await attaching;
}

/** What it has written so far, and, if it runs and is to be streamed, what it will. */
function openLog(
  { engine }: StreamsRoom,
  { container, wanted }: Asked,
  { isFramed, stream, client }: { isFramed: boolean; stream: boolean; client: Client },
): Readable | undefined {
  const { stdout, stderr } = wanted;
  if (container.engine.config.log === 'none' || !(stdout || stderr)) return undefined;
  const log = engine.logs(container.id, {
    stream: stdout && stderr ? 'all' : stdout ? 'stdout' : 'stderr',
    follow: stream && container.engine.state === 'running',
    signal: client.gone,
    ...(isFramed ? { frames: 'docker' } : {}),
  });
  log.on('error', () => {});
  return log;
}

/** A session whose outputs are read from the log. */
function fromLog({ stderr, ...session }: StreamSession, log: Readable): StreamSession {
  session.stdout.resume();
  stderr?.resume();
  const close = () => {
    log.destroy();
    session.close();
  };
  return { ...session, stdout: log, close };
}
