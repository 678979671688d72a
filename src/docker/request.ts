import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { ImageStore } from '#images/image-store.ts';
import type { BuildRoom } from './build/build-room.ts';
import type { Containers } from './containers/containers.ts';
import type { EventJournal } from './events/event-journal.ts';
import type { FilesRoom } from './files/files-room.ts';
import type { Hijack } from './hijack.ts';
import { parseJson } from './json-words.ts';
import type { DockerNetworks } from './networks/docker-networks.ts';
import type { Events } from './rooms.ts';
import type { DockerStreams } from './streams/docker-streams.ts';
import type { DaemonFacts } from './system/system-forms.ts';
import type { DockerVolumes } from './volumes/docker-volumes.ts';

/** What every route may use. */
export interface DockerContext {
  images: ImageStore;
  /** Absent where no containers are, as all rooms about them. */
  containers?: Containers | undefined;
  networks?: DockerNetworks | undefined;
  volumes?: DockerVolumes | undefined;
  /** Absent where no containers are. */
  streams?: DockerStreams | undefined;
  /** Absent where no containers are. */
  files?: FilesRoom | undefined;
  /** Absent where no containers are. */
  builds?: BuildRoom | undefined;
  /** Where what happens is told. */
  events: Events;
  /** Where it can be read; absent where nobody keeps it. */
  journal?: EventJournal | undefined;
  version: string;
  clock: Clock;
  log: Log;
  /** What the agent tells of itself in `/info`. */
  daemon: Partial<DaemonFacts>;
}

/** One call on its way: a matched path and its query, the streams, and a signal for a client that left. */
export interface DockerRequest {
  context: DockerContext;
  /** The minor of the version asked for: 51 for `/v1.51/…`; the newest where none is named. */
  apiMinor: number;
  /** The `{name}` of the path, decoded; slashes may be in it. */
  name: string;
  query: URLSearchParams;
  incoming: IncomingMessage;
  response: ServerResponse;
  /** Aborts when the connection ends before the answer did. */
  signal: AbortSignal;
  /** Of a route with `hijacks`: the connection to be taken over. */
  hijack?: Hijack | undefined;
}

/** Handles one route: answers, or throws what `toDockerError` then says. */
export type Handler = (request: DockerRequest) => Promise<void> | void;

/** One row of docker's API: `{name}` in a pattern takes everything between its neighbours, slashes too. */
export type Route = readonly [method: string, pattern: RegExp, handler: Handler, options?: RouteOptions];

export interface RouteOptions {
  readsBody?: boolean;
  /** It takes the connection over (`DockerRequest.hijack`), whether an upgrade is asked for or not. */
  hijacks?: boolean;
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length }).end(bytes);
}

/** A `create` with all its labels and environment has its place in it: no kernel takes more. */
const MAX_JSON_BYTES = 4 << 20;

/** The body of a route with `readsBody` as JSON; `{}` where there is none. @throws BadRequest, RequestEntityTooLarge */
export async function readJson(incoming: IncomingMessage, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  return (await readAnyJson(incoming, maxBytes)) ?? {};
}

/** The same; undefined where there is none. */
export async function readAnyJson(incoming: IncomingMessage, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new UmiakError('RequestEntityTooLarge', `the body is longer than ${maxBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  if (bytes === 0) return undefined;
  requireJsonType(incoming);
  return parseJson(Buffer.concat(chunks).toString());
}

/** Docker takes no body of another type, and none of no type. @throws BadRequest in its words */
export function requireJsonType({ headers }: IncomingMessage): void {
  const type = headers['content-type'] ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new UmiakError('BadRequest', `unsupported Content-Type header (${type.slice(0, 128)}): must be 'application/json'`);
}

const TRUE = new Set(['1', 'true', 'True', 'TRUE', 't', 'T']);
const FALSE = new Set(['', '0', 'false', 'False', 'FALSE', 'f', 'F', 'no', 'none']);

/** A flag of the query as docker reads it. @throws BadRequest */
export function flagOf(query: URLSearchParams, key: string, otherwise = false): boolean {
  const value = query.get(key);
  if (value === null) return otherwise;
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new UmiakError('BadRequest', `${key} must be a boolean, not ${JSON.stringify(value.slice(0, 64))}`);
}

/** Refuses parameters that change what a call means and that we don't follow. @throws NotImplemented */
export function refuse(query: URLSearchParams, ...keys: string[]): void {
  for (const key of keys) if (query.get(key)) throw new UmiakError('NotImplemented', `umiak does not have the parameter ${key} here yet`);
}

/** A stream of JSON lines, begun with the first of them, so that what fails before still has a status of its own. */
export class JsonLines {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get isBegun(): boolean {
    return this.#response.headersSent;
  }

  /** False while the client reads more slowly than we write. */
  write(line: unknown): boolean {
    if (!this.isBegun) this.#response.writeHead(200, { 'content-type': 'application/json' });
    return this.#response.write(`${JSON.stringify(line)}\r\n`);
  }

  end(): void {
    if (!this.isBegun) this.#response.writeHead(200, { 'content-type': 'application/json' });
    this.#response.end();
  }

  /** Docker's last line of a stream that failed. */
  fail(message: string): void {
    this.write({ errorDetail: { message }, error: message });
    this.end();
  }
}
