import { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type Clock, isUmiakError, type Log, messageOf, systemClock, UmiakError } from '#base/index.ts';
import { codeOf } from '#base/reason-codes.ts';
import { sendChunks, spending } from '#base/spent.ts';
import { DiskFigures } from '#engine/disk-figures.ts';
import type { Engine } from '#engine/engine.ts';
import type { WantedStreams } from '#engine/streaming/session.ts';
import { serveForwardUpgrade, serveSessionUpgrade } from '#engine/streaming/upgrade.ts';
import { mirroredContainerOf } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';
import { type CertificatePair, isApiServerClient, isClientCertificate, subjectOf } from '#pki/index.ts';
import { refuseUpgrade } from '#wire/upgrade.ts';
import { chooseLogs, chooseRunning, isTrue, readLogQuery } from './kubelet-logs.ts';
import { containersOf, measure, measureMore, renderMetrics, toAgentMetrics, toResourceMetrics, toSummary } from './kubelet-stats.ts';

export interface KubeletServerOptions {
  address: string;
  /** 0 takes a free one. */
  port: number;
  tls: CertificatePair;
  /** The cluster's authority, PEM: it must have signed the caller's certificate. */
  authority: string;
  /** As statistics call it; this machine's host name when absent. */
  nodeName?: string;
  /** The pods of this node. */
  pods: { pods(): Pod[]; pod(namespace: string, name: string): Pod | undefined };
  engine: Pick<
    Engine,
    | 'sandboxes'
    | 'containers'
    | 'container'
    | 'exec'
    | 'attach'
    | 'dial'
    | 'logs'
    | 'stats'
    | 'networkStats'
    | 'writableDirectory'
    | 'checkpoint'
  >;
  /** Where checkpoints are written; none are when absent. */
  checkpointDirectory?: string;
  clock?: Clock;
  log: Log;
}

export interface KubeletServer extends AsyncDisposable {
  readonly port: number;
  /** New connections get this certificate. */
  setCertificate(tls: CertificatePair): void;
}

/** Longer than the API server keeps an idle connection, so that it is never ours that closes one it is about to use. */
const KEEP_ALIVE_MS = 75_000;

/** A command stands in the request's line: as long as the API server takes one, and what it says besides. */
const MOST_HEADER_BYTES = 128 << 10;

/**
 * The node's HTTPS API, with the kubelet's paths: logs, exec, attach, pods, statistics, health. Let in are the API server's own client,
 * which has already judged who may do what, and the cluster's masters; every user's certificate comes from the same authority, and no
 * other of them will do.
 */
export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { address, port, tls, authority, log } = options;
  const server = createServer({
    cert: tls.certificate,
    key: tls.key,
    ca: authority,
    requestCert: true,
    rejectUnauthorized: false,
    maxHeaderSize: MOST_HEADER_BYTES,
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const disks = new DiskFigures({ clock: options.clock ?? systemClock });
  server.on('request', (request, response) => {
    answer({ ...options, disks }, request, response).catch(error => fail(response, error, log));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgrade(options, request, socket, head).catch(error => {
      const status = statusOf(error);
      if (status === 500) log.warn("a request to the node's API failed", { error });
      refuseUpgrade(socket, status, messageOf(error));
    });
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
    setCertificate: fresh => server.setSecureContext({ cert: fresh.certificate, key: fresh.key, ca: authority }),
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
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Connections that were let in: asked once each. */
const admitted = new WeakSet<object>();

/** @throws `Unauthorized`, `Forbidden` unless the connection is one of those that may call */
function admit(request: IncomingMessage): void {
  const socket = request.socket as TLSSocket;
  if (admitted.has(socket)) return;
  const { raw } = socket.getPeerCertificate();
  // A resumed connection without a certificate counts as authorized, too.
  if (!socket.authorized || !raw) throw new UmiakError('Unauthorized', 'a client certificate of the cluster is needed');
  if (!mayCall(new X509Certificate(raw))) throw new UmiakError('Forbidden', "only the API server may use a node's API");
  admitted.add(socket);
}

function mayCall(certificate: X509Certificate): boolean {
  return isApiServerClient(certificate) || (isClientCertificate(certificate) && subjectOf(certificate).O.includes('system:masters'));
}

interface Asked {
  verb: string;
  path: string[];
  query: URLSearchParams;
  pathname: string;
}

/** @throws `BadRequest` for what is no path */
function parse({ url = '/' }: IncomingMessage): Asked {
  const parsed = URL.parse(url.replace(/^\/+/, '/'), 'https://node');
  try {
    const [, verb = '', ...path] = (parsed?.pathname ?? '%').split('/').map(decodeURIComponent);
    return { verb, path, query: parsed?.searchParams ?? new URLSearchParams(), pathname: parsed?.pathname ?? '' };
  } catch {
    throw new UmiakError('BadRequest', `${JSON.stringify(url)} is no path`);
  }
}

async function answer(
  options: KubeletServerOptions & { disks: DiskFigures },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  admit(request);
  const asked = parse(request);
  const { verb, path, pathname } = asked;
  const { pods, engine, disks, clock = systemClock, nodeName = hostname() } = options;
  if (verb === 'exec' || verb === 'attach' || verb === 'portForward') throw new UmiakError('BadRequest', 'Upgrade request required');
  if (verb === 'checkpoint' && request.method === 'POST') return sendJson(response, await checkpointOne(options, asked));
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new UmiakError('MethodNotAllowed', `the node's API has no ${request.method} ${pathname}`);
  switch ([verb, ...(verb === 'containerLogs' ? [] : path)].join('/')) {
    case 'healthz':
      return sendText(response, 'ok');
    case 'pods':
      return sendJson(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: pods.pods() });
    case 'containerLogs':
      return await sendLogs(options, asked, response);
    case 'stats/summary':
      return sendJson(response, toSummary(nodeName, await measureMore(engine, disks, await measure(engine, pods.pods(), clock.now()))));
    case 'metrics/resource':
      return sendText(response, renderMetrics(toResourceMetrics(await measure(engine, pods.pods(), clock.now()))));
    case 'metrics': {
      const byPod = pods.pods().map(pod => containersOf(engine, pod));
      const running = byPod.filter(containers => containers.some(({ state }) => state === 'running')).length;
      return sendText(response, renderMetrics(toAgentMetrics(byPod.flat(), running)));
    }
    default:
      throw new UmiakError('NotFound', `the node's API has no ${pathname}`);
  }
}

function sendText(response: ServerResponse, text: string): void {
  response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
  response.end(text);
}

function sendJson(response: ServerResponse, value: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
}

/** `POST /checkpoint/<namespace>/<pod>/<container>`: the archive's path, as the kubelet answers. @throws `NotImplemented` in words where criu is not */
async function checkpointOne({ pods, engine, clock = systemClock, checkpointDirectory }: KubeletServerOptions, { path, query }: Asked) {
  const pod = findPod(pods, path);
  const [namespace, name, container = ''] = path;
  const found = containersOf(engine, pod).find(({ state, config }) => state === 'running' && config.metadata.name === container);
  if (!found)
    throw new UmiakError('NotFound', `container ${container} does not run in pod ${name}`, {
      details: { kind: 'containers', name: container },
    });
  if (!checkpointDirectory) throw new UmiakError('NotImplemented', 'this node keeps no checkpoints');
  const time = new Date(clock.now()).toISOString().replaceAll(':', '').replace(/\.\d+/, '');
  const location = join(checkpointDirectory, `checkpoint-${name}_${namespace}-${container}-${time}.tar`);
  const seconds = Number(query.get('timeout') ?? 0);
  await engine.checkpoint(found.id, { location, ...(seconds > 0 ? { timeoutMs: seconds * 1000 } : {}) });
  return { items: [location] };
}

/** A log as it is written, as fast as the reader takes it, until it ends or the reader goes. */
async function sendLogs({ pods, engine, clock = systemClock }: KubeletServerOptions, asked: Asked, response: ServerResponse) {
  const [, , container = ''] = asked.path;
  const pod = findPod(pods, asked.path);
  const logOptions = readLogQuery(asked.query, clock.now());
  const { id } = chooseLogs(pod, containersOf(engine, pod), container, isTrue(asked.query.get('previous')));
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const log = engine.logs(id, { ...logOptions, signal: gone.signal });
  response.setHeader('content-type', 'text/plain');
  response.flushHeaders();
  try {
    await sendChunks(response, spending(log, { isAlone: true }), { signal: gone.signal });
    response.end();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

/** @throws `NotFound` in the kubelet's words */
function findPod(pods: KubeletServerOptions['pods'], [namespace = '', name = '']: readonly string[]): Pod {
  const pod = pods.pod(namespace, name);
  if (!pod) throw new UmiakError('NotFound', `pod ${JSON.stringify(name)} does not exist`, { details: { kind: 'pods', name } });
  return pod;
}

/** exec, attach and port-forward, over WebSocket or SPDY. */
async function upgrade(options: KubeletServerOptions, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  admit(request);
  const { verb, path, query, pathname } = parse(request);
  const { pods, engine, clock } = options;
  const asked = { request, socket, head, clock };
  if (verb === 'portForward') return await serveForwardUpgrade(dialerOf(options, path), query.getAll('port'), asked);
  if (verb !== 'exec' && verb !== 'attach') throw new UmiakError('NotFound', `the node's API has no ${pathname} to upgrade`);
  const [, , container = ''] = path;
  const choose = () => chooseRunning(containersOf(engine, findPod(pods, path)), container);
  await serveSessionUpgrade(engine, { verb, choose, command: query.getAll('command'), wanted: readWanted(query) }, asked);
}

/** What a session's query asks for: `input`, `output`, `error` and `tty`, as the API server and the kubelet call them. */
function readWanted(query: URLSearchParams): WantedStreams {
  const asks = (name: string) => isTrue(query.get(name));
  return { stdin: asks('input'), stdout: asks('output'), stderr: asks('error'), tty: asks('tty') };
}

/** @throws `NotFound` when there is no such pod */
function dialerOf({ pods, engine }: KubeletServerOptions, path: readonly string[]): (port: number) => Promise<Duplex> {
  const pod = findPod(pods, path);
  const { uid } = pod.metadata;
  const find = mirroredContainerOf(pod)
    ? () => engine.sandboxes({ owner: 'docker' }).find(({ id }) => containersOf(engine, pod)[0]?.config.sandboxId === id)
    : () => engine.sandboxes({ owner: 'node' }).find(({ state, config }) => state === 'ready' && config.metadata.uid === uid);
  return async port => {
    const sandbox = find();
    if (!sandbox) throw new UmiakError('NotFound', 'the pod does not run here');
    return await engine.dial(sandbox.id, port);
  };
}

function fail(response: ServerResponse, error: unknown, log: Log): void {
  if (response.headersSent) return void response.destroy();
  const status = statusOf(error);
  if (status === 500) log.warn("a request to the node's API failed", { error });
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(messageOf(error));
}

function statusOf(error: unknown): number {
  return isUmiakError(error) ? codeOf(error.reason) : 500;
}
