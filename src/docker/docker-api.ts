import type { IncomingMessage, ServerResponse as Response } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { ImageStore } from '#images/image-store.ts';
import { ServerResponse, STATUS_CODES } from '#wire/http.ts';
import type { BuildRoom } from './build/build-room.ts';
import { buildRoutes } from './build/build-routes.ts';
import { containerRoutes } from './containers/container-routes.ts';
import type { Containers } from './containers/containers.ts';
import { toDockerError } from './docker-error.ts';
import type { EventJournal } from './events/event-journal.ts';
import { eventRoutes } from './events/event-routes.ts';
import { fileRoutes } from './files/file-routes.ts';
import type { FilesRoom } from './files/files-room.ts';
import { Hijack, keepForHijack } from './hijack.ts';
import { imageRoutes } from './images/image-routes.ts';
import { registryRoutes } from './images/registry-routes.ts';
import { transferRoutes } from './images/transfer-routes.ts';
import { type ServerParts, serveOnAddress, serveOnSocket } from './listeners.ts';
import type { DockerNetworks } from './networks/docker-networks.ts';
import { networkRoutes } from './networks/network-routes.ts';
import { type DockerContext, type Handler, type Route, sendJson } from './request.ts';
import type { DockerStreams } from './streams/docker-streams.ts';
import { streamRoutes } from './streams/stream-routes.ts';
import type { DaemonFacts } from './system/system-forms.ts';
import { OLDEST_MINOR, systemRoutes, VERSION_MINOR } from './system/system-routes.ts';
import type { DockerListeners } from './tcp-address.ts';
import type { DockerVolumes } from './volumes/docker-volumes.ts';
import { volumeRoutes } from './volumes/volume-routes.ts';

export interface DockerApiOptions {
  /** Made anew with mode 0660; whoever holds the agent's lock may call. */
  socketPath: string;
  images: ImageStore;
  containers?: Containers | undefined;
  volumes?: DockerVolumes | undefined;
  journal?: EventJournal | undefined;
  streams?: DockerStreams | undefined;
  files?: FilesRoom | undefined;
  builds?: BuildRoom | undefined;
  networks?: DockerNetworks | undefined;
  /** The program's version. */
  version: string;
  log: Log;
  clock?: Clock;
  /** What the agent tells of itself in `/info`. */
  daemon?: Partial<DaemonFacts>;
  listeners?: DockerListeners;
}

/** Bodies of all calls but `load`, which have none that we read. */
const MAX_BODY_BYTES = 1 << 20;
/** Of a body that was refused. */
const FORGOTTEN_BYTES = 64 << 20;

/** Opens the docker socket. Disposing ends it, its connections and what they were doing. */
export async function startDockerApi(options: DockerApiOptions): Promise<DockerApi> {
  const {
    socketPath,
    images,
    containers,
    volumes,
    journal,
    streams,
    files,
    builds,
    networks,
    version,
    log,
    clock = systemClock,
    daemon = {},
    listeners = {},
  } = options;
  const events = journal ?? { emit() {} };
  const context: DockerContext = {
    images,
    containers,
    volumes,
    streams,
    files,
    builds,
    networks,
    events,
    journal,
    version,
    log,
    clock,
    daemon,
  };
  const parts: ServerParts = {
    // A load may take as long as its client's disk; only headers have a deadline.
    // Clients keep connections for their next call however late, as dockerd lets them: to close one is to lose a call that is on its way.
    options: { requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 0, shouldUpgradeCallback: incoming => isHijack(incoming) },
    request: (incoming, response) => void answer(context, incoming, response),
    upgrade(incoming, socket, head) {
      const response = new ServerResponse(incoming);
      response.assignSocket(socket as Socket);
      response.once('finish', () => socket.end());
      void answer(context, incoming, response, { socket, head });
    },
    clientError(error, socket) {
      if (!keepForHijack(socket, error)) refuseRequest(error, socket);
    },
  };
  await using places = new AsyncDisposableStack();
  places.use(await serveOnSocket(parts, socketPath));
  if (listeners.socketPath !== undefined) places.use(await serveOnSocket(parts, listeners.socketPath, { isShared: true }));
  const { port } = listeners.tcp ? places.use(await serveOnAddress(parts, listeners.tcp)) : {};
  const held = places.move();
  return { port, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** The docker API, served. */
export interface DockerApi extends AsyncDisposable {
  /** Of the address it listens on, if it does. */
  readonly port: number | undefined;
}

async function answer(
  context: DockerContext,
  incoming: IncomingMessage,
  response: Response,
  upgrade?: { socket: Duplex; head: Buffer },
): Promise<void> {
  const left = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) left.abort(new UmiakError('Gone', 'the client left'));
  });
  // What goes wrong with the connection shows in `left`.
  response.on('error', () => {});
  incoming.on('error', () => {});
  response.setHeader('Server', `Umiak/${context.version} (linux)`);
  response.setHeader('Api-Version', `1.${VERSION_MINOR}`);
  response.setHeader('Docker-Experimental', 'false');
  response.setHeader('Ostype', 'linux');
  try {
    const { handler, name, query, apiMinor, readsBody, hijacks } = route(incoming);
    const hijack = hijacks ? await Hijack.take({ incoming, response, upgrade }) : undefined;
    if (!readsBody && !hijacks) await discardBody(incoming);
    await handler({ context, apiMinor, name, query, incoming, response, signal: left.signal, hijack });
  } catch (error) {
    if (left.signal.aborted) return;
    const { status, message } = toDockerError(error);
    if (status === 500) context.log.error('a docker call failed', { path: incoming.url, error });
    if (response.headersSent) return void response.destroy();
    if (!incoming.readableEnded) forgetBody(incoming);
    sendJson(response, status, { message });
  }
}

const ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...eventRoutes,
  ...fileRoutes,
  ...registryRoutes,
  ...transferRoutes,
  ...imageRoutes,
  ...containerRoutes,
  ...streamRoutes,
  ...volumeRoutes,
  ...buildRoutes,
  ...networkRoutes,
];

interface Matched {
  handler: Handler;
  name: string;
  query: URLSearchParams;
  apiMinor: number;
  readsBody: boolean;
  hijacks: boolean;
}

function isHijack(incoming: IncomingMessage): boolean {
  try {
    return route(incoming).hijacks;
  } catch {
    return false; // it is refused in its turn
  }
}

/** What node's server does where nobody listens. */
function refuseRequest({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  if (socket.writable) socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
  socket.destroy();
}

function route({ method = 'GET', url = '/' }: IncomingMessage): Matched {
  const mark = url.indexOf('?');
  const whole = mark < 0 ? url : url.slice(0, mark);
  const { path, apiMinor } = splitVersion(whole);
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  let isKnown = false;
  for (const [its, pattern, handler, { readsBody = false, hijacks = false } = {}] of ROUTES) {
    const found = pattern.exec(path);
    if (!found) continue;
    isKnown = true;
    if (its === method) return { handler, name: decode(found[1] ?? ''), query, apiMinor, readsBody, hijacks };
  }
  if (isKnown) throw new UmiakError('MethodNotAllowed', `${method} is not a way to call ${path}`);
  throw new UmiakError('NotFound', 'page not found');
}

/** Debian 12's skopeo asks for 1.22, and never for less or more: it gets what 1.24 is. */
const OLDEST_ANSWERED = 22;

/** `/v1.41/images/json` → `/images/json` and 41. @throws BadRequest for versions we don't speak, in docker's words */
export function splitVersion(path: string): { path: string; apiMinor: number } {
  const found = /^\/v(\d{1,4})\.(\d{1,4})(?=\/|$)/.exec(path);
  if (!found) return { path, apiMinor: VERSION_MINOR };
  const asked = `${found[1]}.${found[2]}`;
  const [major, minor] = [Number(found[1]), Number(found[2])];
  if (major > 1 || (major === 1 && minor > VERSION_MINOR))
    throw new UmiakError('BadRequest', `client version ${asked} is too new. Maximum supported API version is 1.${VERSION_MINOR}`);
  if (major < 1 || minor < OLDEST_ANSWERED)
    throw new UmiakError(
      'BadRequest',
      `client version ${asked} is too old. Minimum supported API version is 1.${OLDEST_MINOR}, please upgrade your client to a newer version`,
    );
  return { path: path.slice(found[0].length) || '/', apiMinor: Math.max(minor, OLDEST_MINOR) };
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    throw new UmiakError('BadRequest', 'the path is not well encoded', { cause });
  }
}

/** Takes in a little more of a body that nobody wants, so that its sender gets to read the answer; one who goes on is cut off. */
function forgetBody(incoming: IncomingMessage): void {
  const { socket } = incoming;
  let bytes = 0;
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > FORGOTTEN_BYTES) socket.destroy();
  });
  incoming.resume();
}

async function discardBody(incoming: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_BODY_BYTES) throw new UmiakError('RequestEntityTooLarge', `the body is longer than ${MAX_BODY_BYTES} bytes`);
  }
}
