import { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { isUmiakError, type Log, messageOf, UmiakError } from '#base/index.ts';
import type { Container, Engine, LogOptions, StreamSession } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { type CertificatePair, isApiServerClient } from '#pki/index.ts';
import { refuseUpgrade } from '#wire/upgrade.ts';
import { acceptChannels, type Channels, toExitStatus, toFailureStatus } from '#wire/websocket-channels.ts';
import { instancesOf } from './plan-pod.ts';

export interface KubeletServerOptions {
  address: string;
  /** 0 takes a free one. */
  port: number;
  tls: CertificatePair;
  /** The cluster's authority, PEM: it must have signed the caller's certificate, which must be the API server's. */
  authority: string;
  /** The pods of this node. */
  pods: { pods(): Pod[]; pod(namespace: string, name: string): Pod | undefined };
  engine: Engine;
  log: Log;
}

export interface KubeletServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * The node's HTTPS API, with the kubelet's paths: logs, exec, attach, pods, health. Only the API server's own client is let in; it has
 * already judged who may do what.
 */
export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { address, port, tls, authority, log } = options;
  const server = createServer({ cert: tls.certificate, key: tls.key, ca: authority, requestCert: true, rejectUnauthorized: false });
  server.on('request', (request, response) => {
    answer(options, request, response).catch(error => fail(response, error, log));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgrade(options, request, socket, head).catch(error => refuseUpgrade(socket, statusOf(error), messageOf(error)));
  });
  server.on('tlsClientError', error => log.debug('a connection was refused', { error: messageOf(error) }));
  const sockets = new Set<Duplex>();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await listen(server, address, port);
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
}

/** @throws `Unauthorized`, `Forbidden` unless the connection is the API server's */
function admit(request: IncomingMessage): void {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) throw new UmiakError('Unauthorized', 'a client certificate of the cluster is needed');
  const { raw } = socket.getPeerCertificate();
  if (!raw || !isApiServerClient(new X509Certificate(raw))) throw new UmiakError('Forbidden', "only the API server may use a node's API");
}

async function answer(options: KubeletServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  admit(request);
  const url = new URL(request.url ?? '/', 'https://node');
  const [, verb, ...rest] = url.pathname.split('/').map(decodeURIComponent);
  if (request.method !== 'GET') throw new UmiakError('MethodNotAllowed', `the node's API has no ${request.method} ${url.pathname}`);
  if (verb === 'healthz') return void response.end('ok');
  if (verb === 'pods') {
    const items = options.pods.pods();
    response.setHeader('content-type', 'application/json');
    return void response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items }));
  }
  if (verb === 'containerLogs') return sendLogs(options, rest, url.searchParams, response);
  if (verb === 'stats' && rest[0] === 'summary') return sendStats(options, response);
  if (verb === 'portForward') throw new UmiakError('NotImplemented', 'port-forward is not there yet');
  throw new UmiakError('NotFound', `the node's API has no ${url.pathname}`);
}

async function sendLogs(
  options: KubeletServerOptions,
  path: readonly string[],
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const instance = findInstance(options, path, query.get('previous') === 'true');
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
  const since = query.has('sinceSeconds')
    ? Date.now() - Number(query.get('sinceSeconds')) * 1000
    : query.has('sinceTime')
      ? Date.parse(query.get('sinceTime') ?? '')
      : undefined;
  const [tailLines, limitBytes] = [number('tailLines'), number('limitBytes')];
  const logOptions: LogOptions = {
    follow: query.get('follow') === 'true',
    timestamps: query.get('timestamps') === 'true',
    signal: gone.signal,
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(since === undefined || Number.isNaN(since) ? {} : { sinceMs: since }),
  };
  response.setHeader('content-type', 'text/plain');
  response.flushHeaders();
  await pipeline(options.engine.logs(instance.id, logOptions), response).catch(error => {
    if (!gone.signal.aborted) throw error;
  });
}

/** Newest instance of the container, or with `previous` the one before. @throws `NotFound`, `BadRequest` in the kubelet's words */
function findInstance(
  { pods, engine }: KubeletServerOptions,
  [namespace = '', name = '', container = '']: readonly string[],
  previous: boolean,
): Container {
  const pod = pods.pod(namespace, name);
  if (!pod) throw new UmiakError('NotFound', `pod "${name}" is not on this node`);
  const sandboxes = engine.sandboxes({ owner: 'node' }).filter(({ config }) => config.metadata.uid === pod.metadata.uid);
  const containers = sandboxes.flatMap(({ id }) => engine.containers({ sandboxId: id }));
  const instances = instancesOf(containers, container).filter(({ startedAtMs }) => startedAtMs !== undefined);
  const found = instances[previous ? 1 : 0];
  if (found) return found;
  if (previous) throw new UmiakError('BadRequest', `previous terminated container "${container}" in pod "${name}" not found`);
  const waiting = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
    status => status.name === container,
  )?.state?.waiting;
  throw new UmiakError(
    'BadRequest',
    `container "${container}" in pod "${name}" is waiting to start: ${waiting?.reason ?? 'ContainerCreating'}`,
  );
}

async function sendStats({ engine, pods }: KubeletServerOptions, response: ServerResponse): Promise<void> {
  const byPod = await Promise.all(
    pods.pods().map(async ({ metadata: { name, namespace, uid } }) => {
      const sandboxes = engine.sandboxes({ owner: 'node' }).filter(({ config }) => config.metadata.uid === uid);
      const running = sandboxes.flatMap(({ id }) => engine.containers({ sandboxId: id })).filter(({ state }) => state === 'running');
      const containers = await Promise.all(
        running.map(async ({ id, config }) => {
          const { atMs, cpuUsageNs, memoryUsageBytes, memoryWorkingSetBytes } = await engine.stats(id);
          const time = new Date(atMs).toISOString();
          return {
            name: config.metadata.name,
            cpu: { time, usageCoreNanoSeconds: cpuUsageNs },
            memory: { time, usageBytes: memoryUsageBytes, workingSetBytes: memoryWorkingSetBytes },
          };
        }),
      );
      return { podRef: { name, namespace, uid }, containers };
    }),
  );
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ pods: byPod }));
}

/** exec and attach over WebSocket channels. */
async function upgrade(options: KubeletServerOptions, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  admit(request);
  const url = new URL(request.url ?? '/', 'https://node');
  const [, verb, ...path] = url.pathname.split('/').map(decodeURIComponent);
  const query = url.searchParams;
  if (verb !== 'exec' && verb !== 'attach') throw new UmiakError('NotFound', `the node's API has no ${url.pathname} to upgrade`);
  const instance = findInstance(options, path, false);
  if (instance.state !== 'running') throw new UmiakError('BadRequest', `container ${path[2]} is not running`);
  const [tty, stdin] = [
    query.get('tty') === '1' || query.get('tty') === 'true',
    query.get('input') === '1' || query.get('stdin') === 'true',
  ];
  const channels = await acceptChannels(request, socket, head);
  const gone = new AbortController();
  void channels.closed.then(() => gone.abort());
  try {
    if (verb === 'attach') {
      const session = await options.engine.attach(instance.id, { stdin });
      await join(session, channels);
      await channels.sendStatus(toExitStatus(0));
      return;
    }
    const session = await options.engine.exec(instance.id, { command: query.getAll('command'), tty, stdin, signal: gone.signal });
    const streams = join(session, channels);
    const exitCode = await session.exitCode;
    await streams;
    await channels.sendStatus(toExitStatus(exitCode));
  } catch (error) {
    await channels.sendStatus(toFailureStatus(messageOf(error)));
  } finally {
    gone.abort();
  }
}

/** Joins a session's streams with the client's; resolves when the session's output is over or the client has gone. */
async function join(session: StreamSession, channels: Channels): Promise<void> {
  const quietly = (work: Promise<unknown>) => work.catch(() => {});
  if (session.stdin) void quietly(pipeline(channels.stdin, session.stdin));
  void quietly(followSize(session, channels));
  const output = Promise.all([
    quietly(pipeline(session.stdout, channels.stdout, { end: false })),
    session.stderr ? quietly(pipeline(session.stderr, channels.stderr, { end: false })) : undefined,
  ]);
  await Promise.race([output, channels.closed]);
  session.close();
}

async function followSize(session: StreamSession, channels: Channels): Promise<void> {
  for await (const { width, height } of channels.resize) session.resize({ rows: height, columns: width });
}

function fail(response: ServerResponse, error: unknown, log: Log): void {
  if (response.headersSent) return void response.destroy();
  const status = statusOf(error);
  if (status === 500) log.warn("a request to the node's API failed", { error });
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(messageOf(error));
}

const STATUS_OF: Record<string, number> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotImplemented: 501,
};

function statusOf(error: unknown): number {
  return isUmiakError(error) ? (STATUS_OF[error.reason] ?? 500) : 500;
}
