import type { IncomingHttpHeaders } from 'node:http';
import { type Duplex, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { UmiakError } from '#base/errors.ts';
import type { Pod } from '#kinds/types.gen.ts';
import { splice } from '#wire/splice.ts';
import { responseHead } from '#wire/upgrade.ts';
import { sendInWebSocket } from '#wire/websocket-reader.ts';
import { parseProxyName } from './http-proxy-plan.ts';
import type { Attributes, Authorizer, Identity } from './identity.ts';
import type { NodeConnector } from './node-connector.ts';
import { type NodeCall, planAttach, planExec, planLogs, planPortForward } from './node-proxy-plan.ts';

/** What the proxy looks at of a request; the pipeline's Context has it. */
export interface NodeProxyContext {
  readonly request: {
    readonly method: string;
    readonly headers: IncomingHttpHeaders;
    readonly signal: AbortSignal;
    readBody(): Promise<Buffer>;
  };
  readonly query: URLSearchParams;
  readonly route: { namespace: string; name: string; subresource: string; rest: string };
  readonly identity: Identity;
}

/** An answer whose body comes as it comes. */
export interface StreamOutcome {
  type: 'stream';
  status: number;
  headers: Record<string, string>;
  body: Readable;
}

/** A granted upgrade: writes the 101 and joins the connections. `accept` resolves when both are gone. */
export interface UpgradeOutcome {
  type: 'upgrade';
  accept(socket: Duplex, head: Buffer): Promise<void>;
  /** Instead of `accept`, when the client has gone meanwhile. */
  abandon(): void;
}

export interface NodeProxyOptions {
  connector: NodeConnector;
  getPod(namespace: string, name: string): Pod | undefined;
  authorize: Authorizer;
}

export type NodeProxyHandler = (context: NodeProxyContext) => Promise<StreamOutcome | UpgradeOutcome>;

/**
 * What the API server hands on to nodes, by `resource/subresource`: logs, exec, attach, a node's own API. Everything that can be refused is
 * refused here, before the node is asked, with the sentences of Kubernetes; then bytes pass through as they are.
 */
export function createNodeProxy({ connector, getPod, authorize }: NodeProxyOptions): ReadonlyMap<string, NodeProxyHandler> {
  const podOf = ({ route: { namespace, name } }: NodeProxyContext): Pod => {
    const pod = getPod(namespace, name);
    if (!pod) throw new UmiakError('NotFound', `pods "${name}" not found`, { details: { kind: 'pods', name } });
    return pod;
  };

  const session = (plan: (pod: Pod, query: URLSearchParams) => NodeCall): NodeProxyHandler => {
    return async context => {
      const { request, route, identity } = context;
      const call = plan(podOf(context), context.query);
      // A WebSocket comes by GET, but what it does is more than reading.
      await requireCreate(authorize, identity, route);
      checkUpgrade(request.headers);
      return await openSession(connector, call, request);
    };
  };

  return new Map<string, NodeProxyHandler>([
    [
      'pods/log',
      async context => {
        const logs = await openLogs(connector, planLogs(podOf(context), context.query), context.request.signal);
        return context.request.headers.upgrade?.toLowerCase() === 'websocket' ? toMessages(context.request.headers, logs.body) : logs;
      },
    ],
    ['pods/exec', session(planExec)],
    ['pods/attach', session(planAttach)],
    ['pods/portforward', session(planPortForward)],
    ['nodes/proxy', async context => await passRequest(connector, context)],
  ]);
}

async function openLogs(connector: NodeConnector, call: NodeCall | undefined, signal: AbortSignal): Promise<StreamOutcome> {
  if (!call) return { type: 'stream', status: 200, headers: { 'content-type': 'text/plain' }, body: Readable.from([]) };
  const { status, body } = await connector.request(call.node, { method: 'GET', path: call.path, signal });
  if (status !== 200) throw await refusalOf(status, body, call);
  return { type: 'stream', status, headers: { 'content-type': 'text/plain' }, body: body as Readable };
}

/** A log for a client that reads by WebSocket. */
function toMessages(headers: IncomingHttpHeaders, body: Readable): UpgradeOutcome {
  return {
    type: 'upgrade',
    accept: (socket, head) => sendInWebSocket(headers, socket, head, body),
    abandon: () => body.destroy(),
  };
}

async function openSession(connector: NodeConnector, call: NodeCall, request: NodeProxyContext['request']): Promise<UpgradeOutcome> {
  // The client's going aborts the handshake only: afterwards what it said last must still get through.
  const handshake = new AbortController();
  const abort = () => handshake.abort();
  request.signal.addEventListener('abort', abort, { once: true });
  const asked = { path: call.path, headers: handshakeHeaders(request.headers), signal: handshake.signal };
  const { status, headers, stream, head } = await connector.upgrade(call.node, asked);
  if (status !== 101) throw await refusalOf(status, stream, call);
  return {
    type: 'upgrade',
    async accept(socket, clientHead) {
      request.signal.removeEventListener('abort', abort);
      socket.write(responseHead(101, headers as Record<string, string>));
      if (head.length) socket.write(head);
      if (clientHead.length) stream.write(clientHead);
      await splice(socket, stream);
    },
    abandon: () => stream.destroy(),
  };
}

/** A node's own API, as `kubectl get --raw /api/v1/nodes/x/proxy/…` asks for it. */
async function passRequest(connector: NodeConnector, { request, query, route }: NodeProxyContext): Promise<StreamOutcome> {
  if (request.headers.upgrade) throw new UmiakError('NotImplemented', 'upgrades through nodes/proxy are not implemented yet');
  const search = query.size ? `?${query}` : '';
  const sent = await request.readBody();
  // The port may be named, as upstream's clients do; a node has but one that is asked this way.
  const { name } = parseProxyName(route.name);
  const { status, headers, body } = await connector.request(name, {
    method: request.method,
    path: `/${route.rest}${search}`,
    headers: request.headers['content-type'] ? { 'content-type': request.headers['content-type'] } : {},
    ...(sent.length && { body: sent }),
    signal: request.signal,
  });
  const contentType = headers['content-type'] ?? 'text/plain';
  return { type: 'stream', status, headers: { 'content-type': contentType }, body: body as Readable };
}

async function requireCreate(authorize: Authorizer, identity: Identity, { namespace, name, subresource }: NodeProxyContext['route']) {
  const attributes: Attributes = { identity, verb: 'create', group: '', version: 'v1', resource: 'pods', subresource, namespace, name };
  const { allowed } = await authorize(attributes);
  if (allowed) return;
  throw new UmiakError(
    'Forbidden',
    `pods "${name}" is forbidden: User "${identity.name}" cannot create resource "pods/${subresource}" in API group "" in the namespace "${namespace}"`,
    { details: { kind: 'pods', name } },
  );
}

/** Comes last, so that kubectl, which falls back to SPDY after any refusal, reads the true reason of the first. */
function checkUpgrade({ upgrade }: IncomingHttpHeaders): void {
  if (upgrade === undefined) throw new UmiakError('BadRequest', 'Upgrade request required');
  if (UPGRADES.has(upgrade.toLowerCase())) return;
  throw new UmiakError('BadRequest', `unable to upgrade: this server speaks WebSocket and SPDY/3.1, not ${upgrade}`);
}

const UPGRADES: ReadonlySet<string> = new Set(['websocket', 'spdy/3.1']);
/** What of the client's handshake the node is to see: nothing of who the client is. */
const PASSED = ['upgrade', 'sec-websocket-version', 'sec-websocket-key', 'x-stream-protocol-version'] as const;

function handshakeHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const protocols = headers['sec-websocket-protocol']
    ?.split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => !protocol.startsWith('base64url.bearer.authorization.k8s.io.'));
  const passed = PASSED.flatMap(name => (headers[name] === undefined ? [] : [[name, [headers[name]].flat().join(', ')] as const]));
  return {
    connection: 'Upgrade',
    ...Object.fromEntries(passed),
    ...(protocols?.length && { 'sec-websocket-protocol': protocols.join(', ') }),
  };
}

const MOST_MESSAGE_BYTES = 64 << 10;

/** The node's refusal as the API's: its text is the message. */
async function refusalOf(status: number, body: NodeJS.ReadableStream, { node, pod }: NodeCall): Promise<UmiakError> {
  const said = (await text(body as Readable).catch(() => '')).trim().slice(0, MOST_MESSAGE_BYTES);
  const message = said || `node ${node} answered ${status}`;
  const details = { kind: 'pods', name: pod };
  if (status === 400) return new UmiakError('BadRequest', message);
  if (status === 404) return new UmiakError('NotFound', message, { details });
  if (status === 501) return new UmiakError('NotImplemented', message);
  if (status === 401 || status === 403)
    return new UmiakError('InternalError', `node ${node} does not accept this API server's certificate: ${message}`);
  if (status === 503) return new UmiakError('ServiceUnavailable', message);
  return new UmiakError('InternalError', message);
}
