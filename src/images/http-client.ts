import type { ClientRequest, IncomingMessage, Agent as PlainAgent } from 'node:http';
import https from 'node:https';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { UmiakError } from '#base/errors.ts';
import { Agent, request as httpRequest } from '#wire/http.ts';

export interface HttpClientOptions {
  /** Don't verify certificates. */
  insecure?: boolean;
  /** PEM of authorities to trust besides the system's. */
  ca?: string;
  /** PEM of certificates with their keys, for servers that ask who comes. */
  client?: readonly ClientCertificate[];
  /** A host that does not take a connection for so long is given up. */
  connectTimeoutMs?: number;
  /** A connection that says nothing for so long is given up. */
  idleTimeoutMs?: number;
}

export interface ClientCertificate {
  certificate: string;
  key: string;
}

export type HttpHeaders = Record<string, string | string[]>;

export interface HttpRequest {
  method?: string;
  headers?: HttpHeaders;
  body?: string;
  signal?: AbortSignal;
}

const MAX_REDIRECTS = 5;
/** What another origin may see after a redirect; all else could be a credential. */
const OPEN_HEADERS = new Set(['accept', 'range']);

/** HTTP and HTTPS with kept connections, redirects (credentials and a host's own headers never go to another origin) and the environment's proxies. */
export class HttpClient implements Disposable {
  readonly #idleTimeoutMs: number;
  readonly #connectTimeoutMs: number | undefined;
  readonly #agents: { http: PlainAgent; https: https.Agent; direct: PlainAgent; directTls: https.Agent };

  constructor({ insecure = false, ca, client = [], connectTimeoutMs, idleTimeoutMs = 60_000 }: HttpClientOptions = {}) {
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#connectTimeoutMs = connectTimeoutMs;
    const plain = { keepAlive: true };
    const tls = {
      ...plain,
      rejectUnauthorized: !insecure,
      ...(ca !== undefined || client.length > 0 ? { secureContext: trustOf(ca, client) } : {}),
    };
    const proxyEnv = process.env;
    this.#agents = {
      http: new Agent({ ...plain, proxyEnv }),
      https: new https.Agent({ ...tls, proxyEnv }),
      direct: new Agent(plain),
      directTls: new https.Agent(tls),
    };
  }

  /** The response's head; the caller reads or destroys the body. Follows redirects of GET and HEAD. */
  async request(url: URL, request: HttpRequest = {}): Promise<IncomingMessage> {
    let at = url;
    let headers = request.headers ?? {};
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const response = await this.#once(at, { ...request, headers });
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
      response.resume();
      const next = new URL(location, at);
      if (!/^https?:$/.test(next.protocol))
        throw new UmiakError('ServiceUnavailable', `${at.host} redirects to ${next.protocol}, which is not HTTP`);
      if (at.protocol === 'https:' && next.protocol === 'http:' && !isLoopback(next.hostname))
        throw new UmiakError('ServiceUnavailable', `${at.host} redirects to ${next.host} without TLS, which is refused`);
      if (next.origin !== at.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => OPEN_HEADERS.has(name.toLowerCase())));
      at = next;
    }
    throw new UmiakError('ServiceUnavailable', `${url.host} redirects more than ${MAX_REDIRECTS} times`);
  }

  [Symbol.dispose](): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  #once(url: URL, { method = 'GET', headers = {}, body, signal }: HttpRequest): Promise<IncomingMessage> {
    const isTls = url.protocol === 'https:';
    const isNear = isLoopback(url.hostname);
    const agent = isTls ? (isNear ? this.#agents.directTls : this.#agents.https) : isNear ? this.#agents.direct : this.#agents.http;
    return new Promise((resolve, reject) => {
      const request = (isTls ? https.request : httpRequest)(url, {
        method,
        headers: { 'user-agent': 'umiak', ...headers },
        agent,
        ...(signal ? { signal } : {}),
      });
      request.setTimeout(this.#idleTimeoutMs, () =>
        request.destroy(new UmiakError('Timeout', `${url.host} has sent nothing for ${Math.round(this.#idleTimeoutMs / 1000)} s`)),
      );
      if (this.#connectTimeoutMs !== undefined) limitConnecting(request, url.host, this.#connectTimeoutMs);
      request.once('response', resolve);
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** Building one reads all authorities there are (16 ms), so those in use are kept. */
const contexts = new Map<string, SecureContext>();

function trustOf(ca: string | undefined, client: readonly ClientCertificate[]): SecureContext {
  const key = JSON.stringify([ca, client]);
  const known = contexts.get(key);
  if (known) return known;
  const context = createSecureContext({
    ...(ca !== undefined ? { ca: [...getCACertificates('default'), ca] } : {}),
    ...(client.length > 0 ? { cert: client.map(({ certificate }) => certificate), key: client.map(each => each.key) } : {}),
  });
  if (contexts.size >= 16) contexts.clear();
  contexts.set(key, context);
  return context;
}

function limitConnecting(request: ClientRequest, host: string, timeoutMs: number): void {
  request.once('socket', socket => {
    if (!socket.connecting) return;
    const giveUp = () => request.destroy(new UmiakError('Timeout', `${host} has not taken the connection for ${timeoutMs} ms`));
    const timer = setTimeout(giveUp, timeoutMs);
    const stop = () => clearTimeout(timer);
    socket.once('connect', stop).once('close', stop);
  });
}

/** Names and addresses of this very machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || /^127\./.test(hostname) || hostname === '[::1]' || hostname === '::1'
  );
}

/** A whole body in memory. @throws RequestEntityTooLarge beyond `maxBytes`. */
export async function readBody(response: AsyncIterable<Uint8Array>, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new UmiakError('RequestEntityTooLarge', `${what} has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
