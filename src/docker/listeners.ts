import { chownSync, readFileSync, rmSync } from 'node:fs';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { UmiakError } from '#base/errors.ts';
import { createServer } from '#wire/http.ts';
import { listenOnSocket } from '#wire/unix-socket.ts';
import { checkTcp, type DockerTcp, mayBePages } from './tcp-address.ts';

/** What is done with each connection's requests. */
export interface ServerParts {
  options: ServerOptions;
  request: RequestListener;
  upgrade: (...args: Parameters<RequestListener> extends [infer Incoming, unknown] ? [Incoming, Duplex, Buffer] : never) => void;
  clientError: (error: NodeJS.ErrnoException, socket: Duplex) => void;
}

const ANSWER_MS = 2_000;

/** A place where the docker API is served. Disposing ends it with its connections. */
export interface DockerPlace extends AsyncDisposable {
  /** Of an address with port 0. */
  readonly port: number | undefined;
}

/** Serves on a socket made anew with mode 0660, of the group `docker` where there is one and `isShared`. @throws Conflict when somebody answers there */
export async function serveOnSocket(parts: ServerParts, path: string, { isShared = false } = {}): Promise<DockerPlace> {
  if (isShared && (await isAnswering(path)))
    throw new UmiakError('Conflict', `somebody else serves docker's API on ${path}`, {
      hint: 'Stop that daemon (systemctl stop docker.socket docker), or leave --docker-socket away.',
    });
  const server = createServer(parts.options);
  const ended = attach(server, parts);
  await listenOnSocket(server, path);
  const group = isShared ? dockerGroup(readFileSync('/etc/group', 'utf8')) : undefined;
  if (group !== undefined) chownSync(path, 0, group);
  return {
    port: undefined,
    async [Symbol.asyncDispose]() {
      await ended();
      rmSync(path, { force: true });
    },
  };
}

/** Serves on an address. @throws Invalid without TLS elsewhere than on loopback, or for files that are no certificates */
export async function serveOnAddress(parts: ServerParts, tcp: DockerTcp): Promise<DockerPlace> {
  const { host, port, tls } = tcp;
  checkTcp(tcp);
  const server = tls ? await createTlsServer(parts.options, tls) : createServer(parts.options);
  const ended = attach(server, tls ? parts : withoutPages(parts));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  const address = server.address();
  return { port: typeof address === 'object' ? address?.port : undefined, [Symbol.asyncDispose]: ended };
}

function withoutPages(parts: ServerParts): ServerParts {
  const refused = 'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n';
  return {
    ...parts,
    request(incoming, response) {
      if (mayBePages(incoming.headers)) incoming.socket.end(refused);
      else parts.request(incoming, response);
    },
    upgrade(incoming, socket, head) {
      if (mayBePages(incoming.headers)) socket.end(refused);
      else parts.upgrade(incoming, socket, head);
    },
  };
}

/** The number of the group `docker`. Pure. */
export function dockerGroup(groups: string): number | undefined {
  const found = /^docker:[^:]*:(\d+):/m.exec(groups)?.[1];
  return found === undefined ? undefined : Number(found);
}

async function createTlsServer(options: ServerOptions, { certificate, key, clientCa }: NonNullable<DockerTcp['tls']>): Promise<Server> {
  const { createServer: createHttpsServer } = await import('node:https');
  const read = (what: string, path: string) => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new UmiakError('Invalid', `the docker API's ${what} ${path} can't be read`, { cause });
    }
  };
  try {
    return createHttpsServer({
      ...options,
      cert: read('certificate', certificate),
      key: read('key', key),
      ca: read('client CA', clientCa),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
    });
  } catch (cause) {
    if (cause instanceof UmiakError) throw cause;
    throw new UmiakError('Invalid', `the docker API's certificate, key and client CA are not usable: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Connects the server's events; returns what ends it. */
function attach(server: Server, { request, upgrade, clientError }: ServerParts): () => Promise<void> {
  const upgraded = new Set<Duplex>();
  server.on('request', request);
  server.on('upgrade', (incoming, socket, head) => {
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    socket.on('error', () => socket.destroy());
    upgrade(incoming, socket, head);
  });
  server.on('clientError', clientError);
  return async () => {
    const closed = new Promise(resolve => server.close(resolve));
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
    await closed;
  };
}

async function isAnswering(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket: Socket = connect(path);
  socket.setTimeout(ANSWER_MS, () => resolve(true));
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
