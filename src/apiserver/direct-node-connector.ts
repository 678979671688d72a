import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { checkServerIdentity } from 'node:tls';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { CertificatePair } from '#pki/ca.ts';
import type { NodeConnector } from './node-connector.ts';

export interface NodeAddress {
  address: string;
  port: number;
}

export interface DirectNodeConnectorOptions {
  /** Where a node's HTTPS API listens, or undefined if it is not known. */
  resolveNode(name: string): NodeAddress | undefined | Promise<NodeAddress | undefined>;
  /** The cluster's authority, PEM: it must have signed what the node shows. */
  authority: string;
  /** What the API server shows to nodes. */
  client: CertificatePair;
}

const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_MS = 60_000;

type Asked = { method: string; path: string; headers: Record<string, string>; body?: Buffer; signal?: AbortSignal };

/** Dials nodes' own addresses. A node must show a certificate for its *name*, so that none can stand in for another. */
export class DirectNodeConnector implements NodeConnector {
  readonly #options: DirectNodeConnectorOptions;
  readonly #upgraded = new Set<Socket>();
  #agent: Agent;

  constructor(options: DirectNodeConnectorOptions) {
    this.#options = options;
    this.#agent = this.#newAgent(options.client);
  }

  /** From now on shows another certificate. Connections under way go on. */
  setClientCertificate(client: CertificatePair): void {
    const former = this.#agent;
    this.#agent = this.#newAgent(client);
    // Only idle ones end: a destroyed agent would take running requests with it.
    for (const sockets of Object.values(former.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  async request(node: string, asked: Parameters<NodeConnector['request']>[1]) {
    const whole = { headers: {}, ...asked };
    const { response } = await this.#retried(node, whole);
    return { status: response.statusCode ?? 0, headers: response.headers, body: response };
  }

  async upgrade(
    node: string,
    { path, headers, signal }: Parameters<NodeConnector['upgrade']>[1],
  ): Promise<{ status: number; headers: IncomingHttpHeaders; stream: Duplex; head: Buffer }> {
    const request = await this.#start(node, { method: 'GET', path, headers, ...(signal && { signal }) });
    const { response, socket, head } = await answerTo(request, node);
    const { statusCode: status = 0 } = response;
    if (!socket) return { status, headers: response.headers, stream: Duplex.from(response), head: Buffer.alloc(0) };
    this.#upgraded.add(socket);
    const abort = () => socket.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('close', () => {
      signal?.removeEventListener('abort', abort);
      this.#upgraded.delete(socket);
    });
    socket.setTimeout(0);
    return { status, headers: response.headers, stream: socket, head };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    for (const socket of this.#upgraded) socket.destroy();
  }

  #newAgent({ certificate: cert, key }: CertificatePair): Agent {
    return new Agent({ keepAlive: true, timeout: IDLE_MS, ca: this.#options.authority, cert, key });
  }

  /** A kept connection that the node closed meanwhile is no failure: asked once more on a new one. */
  async #retried(node: string, asked: Asked): Promise<{ response: IncomingMessage }> {
    const request = await this.#start(node, asked);
    try {
      return await answerTo(request, node);
    } catch (error) {
      const wasStale = request.reusedSocket && asked.method === 'GET' && !asked.signal?.aborted;
      if (!wasStale) throw error;
      return await answerTo(await this.#start(node, asked), node);
    }
  }

  async #start(node: string, { method, path, headers, body, signal }: Asked): Promise<ClientRequest> {
    const place = await this.#options.resolveNode(node);
    if (!place)
      throw new UmiakError('ServiceUnavailable', `node ${node} has not published where its API listens`, {
        hint: `See if it is Ready: kubectl get node ${node}`,
      });
    const request = httpsRequest({
      host: place.address,
      port: place.port,
      servername: isIP(node) ? '' : node,
      checkServerIdentity: (_host, certificate) => checkServerIdentity(node, certificate),
      agent: this.#agent,
      method,
      path,
      headers,
      ...(signal && { signal }),
    });
    request.on('socket', socket => this.#boundConnect(request, socket));
    request.end(body);
    return request;
  }

  #boundConnect(request: ClientRequest, socket: Socket): void {
    if (!socket.connecting) return;
    const timer = setTimeout(() => request.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
    const done = () => clearTimeout(timer);
    socket.once('secureConnect', done);
    socket.once('close', done);
  }
}

/** The response, with the socket if the node switched protocols. @throws `ServiceUnavailable` */
function answerTo(request: ClientRequest, node: string): Promise<{ response: IncomingMessage; socket?: Socket; head: Buffer }> {
  return new Promise((resolve, reject) => {
    request.once('response', response => {
      // Whoever reads it learns by its close; without a reader there is nobody to tell.
      response.on('error', () => {});
      resolve({ response, head: Buffer.alloc(0) });
    });
    request.once('upgrade', (response, socket, head) => resolve({ response, socket: socket as Socket, head }));
    // Stays: aborting destroys the request also after it was answered.
    request.on('error', cause =>
      reject(new UmiakError('ServiceUnavailable', `error dialing backend: node ${node}: ${messageOf(cause)}`, { cause })),
    );
  });
}
