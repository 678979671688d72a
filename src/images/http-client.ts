import type { ClientRequest, IncomingMessage, Agent as PlainAgent } from 'node:http';
import https from 'node:https';
import { createSecureContext, getCACertificates, type SecureContext, setDefaultCACertificates } from 'node:tls';
import { UmiakError } from '#base/errors.ts';
import { sendChunks } from '#base/spent.ts';
import { Agent, request as httpRequest } from '#wire/http.ts';
import { isLoopback, type ProxySettings, planProxy, proxyOf } from './proxy.ts';
import { systemAuthorities } from './system-authorities.ts';

export interface HttpClientOptions {
  /** Don't verify certificates: of any host, or of this machine's own addresses only. */
  insecure?: boolean | 'loopback';
  /** PEM of authorities to trust besides the system's. */
  ca?: string;
  /** PEM of certificates with their keys, for servers that ask who comes. */
  client?: readonly ClientCertificate[];
  /** A host that does not take a connection for so long is given up. */
  connectTimeoutMs?: number;
  /** A connection that says nothing for so long is given up. */
  idleTimeoutMs?: number;
  /** By default what the environment says. */
  proxy?: ProxySettings;
}

export interface ClientCertificate {
  certificate: string;
  key: string;
}

export type HttpHeaders = Record<string, string | string[]>;

export interface HttpRequest {
  method?: string;
  headers?: HttpHeaders;
  /** A stream is asked for anew with each try; its length must stand in the headers. */
  body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>);
  signal?: AbortSignal;
}

const MAX_REDIRECTS = 5;
const MAX_UNREAD_BYTES = 64 * 1024;
/** What another origin may see after a redirect; all else could be a credential. */
const OPEN_HEADERS = new Set(['accept', 'range']);

/** HTTP and HTTPS with kept connections, redirects (credentials and a host's own headers never go to another origin) and proxies. */
export class HttpClient implements Disposable {
  readonly #idleTimeoutMs: number;
  readonly #options: HttpClientOptions;
  readonly #proxy: ProxySettings;
  /** By way: TLS or not, and the proxy. */
  readonly #agents = new Map<string, PlainAgent>();

  constructor(options: HttpClientOptions = {}) {
    this.#options = options;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 60_000;
    this.#proxy = options.proxy ?? proxyOf(process.env);
  }

  /**
   * The response's head, its `url` where it came from; the caller reads or destroys the body. Follows redirects of GET and HEAD; all else might
   * carry a secret along.
   */
  async request(url: URL, request: HttpRequest = {}): Promise<IncomingMessage> {
    let at = url;
    let headers = request.headers ?? {};
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const response = await this.#once(at, { ...request, headers });
      response.url = at.href;
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
      if (request.method !== undefined && request.method !== 'GET' && request.method !== 'HEAD') return response;
      letGo(response);
      if (!URL.canParse(location, at)) throw new UmiakError('ServiceUnavailable', `${at.host} redirects to what is no address`);
      const next = new URL(location, at);
      if (!/^https?:$/.test(next.protocol))
        throw new UmiakError('ServiceUnavailable', `${at.host} redirects to ${next.protocol}, which is not HTTP`);
      if (at.protocol === 'https:' && next.protocol === 'http:' && !isWithinMachine(at, next))
        throw new UmiakError('ServiceUnavailable', `${at.host} redirects to ${next.host} without TLS, which is refused`);
      if (next.origin !== at.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => OPEN_HEADERS.has(name.toLowerCase())));
      at = next;
    }
    throw new UmiakError('ServiceUnavailable', `${url.host} redirects more than ${MAX_REDIRECTS} times`);
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  async #once(url: URL, { method = 'GET', headers = {}, body, signal }: HttpRequest): Promise<IncomingMessage> {
    const isTls = url.protocol === 'https:';
    const proxy = planProxy(url, this.#proxy);
    const { insecure = false } = this.#options;
    const isVerified = insecure === 'loopback' ? !isLoopback(url.hostname) : !insecure;
    const key = `${isTls} ${isVerified} ${proxy}`;
    const agent = this.#agents.get(key) ?? (await this.#agentFor(isTls, isVerified, proxy));
    this.#agents.set(key, agent);
    return await new Promise((resolve, reject) => {
      const request = (isTls ? https.request : httpRequest)(url, {
        method,
        headers: { 'user-agent': 'umiak', ...headers },
        agent,
        ...(signal ? { signal } : {}),
      });
      request.setTimeout(this.#idleTimeoutMs, () =>
        request.destroy(new UmiakError('Timeout', `${url.host} has sent nothing for ${Math.round(this.#idleTimeoutMs / 1000)} s`)),
      );
      if (this.#options.connectTimeoutMs !== undefined) limitConnecting(request, url.host, this.#options.connectTimeoutMs);
      request.once('response', resolve);
      request.on('error', reject);
      if (typeof body === 'function') send(body(), request, reject);
      else request.end(body);
    });
  }

  async #agentFor(isTls: boolean, isVerified: boolean, proxy: string | undefined): Promise<PlainAgent> {
    const { ca, client = [] } = this.#options;
    const plain = { keepAlive: true, ...(proxy !== undefined ? { proxyEnv: { [isTls ? 'HTTPS_PROXY' : 'HTTP_PROXY']: proxy } } : {}) };
    if (proxy !== undefined && !isHttpAddress(proxy))
      throw new UmiakError('Invalid', `the proxy for ${isTls ? 'https' : 'http'} addresses is none that is known here`, {
        hint: 'Set HTTPS_PROXY and HTTP_PROXY to http://HOST:PORT or https://HOST:PORT.',
      });
    const isProxyTls = proxy?.startsWith('https:') ?? false;
    const own = isTls || isProxyTls ? await systemAuthorities() : [];
    // Node offers no other way to say whom a connection to a proxy shall trust.
    if (isProxyTls && own.length > 0) setDefaultCACertificates([...new Set([...getCACertificates('default'), ...own])]);
    if (!isTls) return new Agent(plain);
    const authorities = [...(ca !== undefined ? [ca] : []), ...own];
    return new https.Agent({
      ...plain,
      rejectUnauthorized: isVerified,
      ...(authorities.length > 0 || client.length > 0 ? { secureContext: trustOf(authorities, client) } : {}),
    });
  }
}

/** Whether a way that leads from TLS to none never leaves this machine. */
export function isWithinMachine(from: URL, to: URL): boolean {
  return isLoopback(from.hostname) && isLoopback(to.hostname);
}

/** An answer's body that nobody needs: a short one is read, so that the connection serves again; a long one is cut off. */
export function letGo(response: IncomingMessage): void {
  let left = MAX_UNREAD_BYTES;
  response.on('data', (chunk: Uint8Array) => {
    left -= chunk.byteLength;
    if (left < 0) response.destroy();
  });
}

function isHttpAddress(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** The answer may come before all of the body went (a refusal); then sending ends, and that is no failure. */
function send(body: AsyncIterable<Uint8Array>, request: ClientRequest, fail: (error: unknown) => void): void {
  const isEnough = new AbortController();
  const end = (response: IncomingMessage) => {
    isEnough.abort();
    // A connection with half a request on it is of no further use.
    response.once('end', () => request.writableFinished || request.destroy());
  };
  request.once('response', end).once('close', () => isEnough.abort());
  sendChunks(request, body, { signal: isEnough.signal }).then(
    () => request.end(),
    error => {
      // What became of the request itself, it tells.
      if (isEnough.signal.aborted || request.destroyed) return;
      fail(error);
      request.destroy();
    },
  );
}

/** Building one reads all authorities there are (16 ms), so those in use are kept. */
const contexts = new Map<string, SecureContext>();

function trustOf(ca: readonly string[], client: readonly ClientCertificate[]): SecureContext {
  const key = JSON.stringify([ca, client]);
  const known = contexts.get(key);
  if (known) return known;
  const context = createSecureContext({
    ...(ca.length > 0 ? { ca: [...getCACertificates('default'), ...ca] } : {}),
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

/** A whole body in memory. @throws RequestEntityTooLarge beyond `maxBytes`; Timeout for one that comes drop by drop. */
export async function readBody(response: IncomingMessage, maxBytes: number, what: string, timeoutMs = 120_000): Promise<Buffer> {
  const giveUp = () => response.destroy(new UmiakError('Timeout', `${what} did not end within ${timeoutMs / 1000} s`));
  const timer = setTimeout(giveUp, timeoutMs);
  using _ = { [Symbol.dispose]: () => clearTimeout(timer) };
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new UmiakError('RequestEntityTooLarge', `${what} has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** One GET by a client of its own, which ends with the body. */
export async function getOnce(url: URL, { signal }: { signal?: AbortSignal } = {}): Promise<IncomingMessage> {
  const client = new HttpClient();
  const end = () => client[Symbol.dispose]();
  try {
    const response = await client.request(url, signal ? { signal } : {});
    response.once('close', end);
    return response;
  } catch (error) {
    end();
    throw error;
  }
}
