import type { IncomingMessage } from 'node:http';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import { HttpClient, isLoopback, readBody } from './http-client.ts';
import { maxDocumentBytes, mediaTypes, parseJsonObject } from './oci.ts';
import { parseChallenges, planAuth, type RegistryAuth } from './registry-auth.ts';

/** What is special about one registry. */
export interface RegistryHost {
  /** Where it really is, as `http://127.0.0.1:5000`: a mirror, a cache, a test. */
  endpoint?: string;
  /** Plain HTTP and unverified certificates are accepted; always so on loopback. */
  insecure?: boolean;
  /** PEM of authorities to trust. */
  ca?: string;
  auth?: RegistryAuth;
}

/** By the registry's host[:port] as references name it. */
export type RegistryHosts = Record<string, RegistryHost>;

export interface RegistryClientOptions {
  registry: string;
  repository: string;
  host?: RegistryHost;
  auth?: RegistryAuth;
  clock?: Clock;
  idleTimeoutMs?: number;
  /** How often something that may pass (5xx, 429, a broken connection) is tried. */
  attempts?: number;
}

const ACCEPT = [mediaTypes.ociIndex, mediaTypes.ociManifest, mediaTypes.dockerIndex, mediaTypes.dockerManifest].join(', ');

/** Reads one repository of one registry (OCI distribution spec 1.1, "Pull"). */
export class RegistryClient implements Disposable {
  readonly #options: RegistryClientOptions;
  readonly #http: HttpClient;
  readonly #clock: Clock;
  #base: Promise<URL> | undefined;
  #authorization: string | undefined;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { insecure, ca } = options.host ?? {};
    this.#http = new HttpClient({
      insecure: insecure === true || isLoopback(hostnameOf(options)),
      ...(ca !== undefined ? { ca } : {}),
      ...(options.idleTimeoutMs !== undefined ? { idleTimeoutMs: options.idleTimeoutMs } : {}),
    });
  }

  /** A manifest or index by tag or digest. By digest it is verified; by tag the registry's own word for it is. */
  async manifest(reference: string, signal?: AbortSignal): Promise<{ bytes: Buffer; digest: Digest; mediaType: string }> {
    const what = `the manifest ${this.#name(isDigest(reference) ? `@${reference}` : `:${reference}`)}`;
    return await this.#attempt(signal, async () => {
      const response = await this.#get(`manifests/${reference}`, what, { accept: ACCEPT }, signal);
      const bytes = await readBody(response, maxDocumentBytes, what);
      const digest = digestOf(bytes);
      const announced = isDigest(reference) ? reference : response.headers['docker-content-digest'];
      if (isDigest(announced) && announced !== digest)
        throw new UmiakError('Invalid', `${what}: its digest is ${digest}, not ${announced}`, {
          hint: 'It was altered on its way or in the registry.',
        });
      return { bytes, digest, mediaType: response.headers['content-type']?.split(';')[0]?.trim() ?? '' };
    });
  }

  /** Hands a blob's stream to `receive`, again from its start after a failure that may pass. The receiver verifies the digest. */
  async blob<T>(digest: Digest, receive: (body: AsyncIterable<Uint8Array>) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#attempt(signal, async () => {
      const response = await this.#get(`blobs/${digest}`, `the blob ${this.#name(`@${digest}`)}`, {}, signal);
      try {
        return await receive(response);
      } finally {
        response.destroy();
      }
    });
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  async #get(path: string, what: string, headers: Record<string, string>, signal?: AbortSignal): Promise<IncomingMessage> {
    this.#base ??= this.#findBase(signal).catch(error => {
      this.#base = undefined;
      throw error;
    });
    const url = new URL(`/v2/${this.#options.repository}/${path}`, await this.#base);
    const ask = () =>
      this.#http.request(url, {
        headers: { ...headers, ...(this.#authorization ? { authorization: this.#authorization } : {}) },
        ...(signal ? { signal } : {}),
      });
    let response = await ask();
    if (response.statusCode === 401) {
      response.resume();
      this.#authorization = await this.#authorize(response, what, signal);
      response = await ask();
    }
    if (response.statusCode === 200) return response;
    throw await toError(response, what);
  }

  /** HTTPS, and plain HTTP where that is allowed and HTTPS is not spoken. */
  async #findBase(signal?: AbortSignal): Promise<URL> {
    const { host = {}, registry } = this.#options;
    if (host.endpoint !== undefined) return new URL(host.endpoint);
    const secure = new URL(`https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`);
    if (!host.insecure && !isLoopback(secure.hostname)) return secure;
    try {
      const response = await this.#http.request(new URL('/v2/', secure), signal ? { signal } : {});
      response.resume();
      return secure;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isNotTls(error)) throw error;
      return new URL(`http://${registry}`);
    }
  }

  async #authorize(response: IncomingMessage, what: string, signal?: AbortSignal): Promise<string> {
    const auth = this.#options.auth ?? this.#options.host?.auth;
    const scope = `repository:${this.#options.repository}:pull`;
    const plan = planAuth(parseChallenges(response.headers['www-authenticate'] ?? ''), auth, scope, what);
    if (plan.kind === 'header') return plan.authorization;
    const isRegistryPlain = (await this.#base)?.protocol === 'http:';
    if (plan.url.protocol === 'http:' && !isRegistryPlain && !isLoopback(plan.url.hostname) && !this.#options.host?.insecure)
      throw new UmiakError(
        'Unauthorized',
        `${what}: the registry sends to the token server ${plan.url.host} without TLS, which is refused`,
      );
    const answer = await this.#http.request(plan.url, {
      ...(plan.form ? { method: 'POST', body: new URLSearchParams(plan.form).toString() } : {}),
      headers: {
        accept: 'application/json',
        ...(plan.form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
        ...(plan.authorization ? { authorization: plan.authorization } : {}),
      },
      ...(signal ? { signal } : {}),
    });
    const asked = `${what}: the token server ${plan.url.host}`;
    if (answer.statusCode !== 200) throw await toError(answer, asked);
    const document = parseJsonObject(await readBody(answer, maxDocumentBytes, asked), asked);
    const token = document.token ?? document.access_token;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw new UmiakError('Unauthorized', `${asked} gave no token`);
    return `Bearer ${token}`;
  }

  async #attempt<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const { attempts = 4 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        signal?.throwIfAborted();
        if (!mayPass(error)) throw error;
        if (attempt >= attempts) throw toFinal(error, this.#options.registry);
        const askedMs = isUmiakError(error) ? (error.details.retryAfterSeconds ?? 0) * 1000 : 0;
        await this.#pause(Math.min(30_000, Math.max(askedMs, 250 * 2 ** attempt)), signal);
      }
    }
  }

  async #pause(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal?.reason);
    using _ = this.#clock.after(ms, resolve);
    signal?.addEventListener('abort', abort, { once: true });
    await promise.finally(() => signal?.removeEventListener('abort', abort));
  }

  #name(suffix: string): string {
    return `${this.#options.registry}/${this.#options.repository}${suffix}`;
  }
}

const REASONS: Record<number, Reason> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  429: 'TooManyRequests',
};
const PASSING_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_SOCKET',
]);

/** A registry's refusal as ours: its reason, its own words (OCI distribution spec, "Error Codes"), what to do. */
async function toError(response: IncomingMessage, what: string): Promise<UmiakError> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response, 64 * 1024, what).catch(() => Buffer.alloc(0));
  const retryAfter = Number(response.headers['retry-after']);
  const said = wordsOf(body);
  return new UmiakError(REASONS[status] ?? 'ServiceUnavailable', `${what}: the registry answered ${status}${said ? `: ${said}` : ''}`, {
    details: { kind: 'image', ...(retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}) },
    ...(status === 401 || status === 403
      ? { hint: 'Check the name; if the repository is private, give credentials that may pull it.' }
      : {}),
    ...(status === 404 ? { hint: 'Check the name and the tag.' } : {}),
  });
}

function wordsOf(body: Buffer): string {
  try {
    const document = parseJsonObject(body, 'the answer');
    const errors = Array.isArray(document.errors) ? document.errors : [];
    return errors
      .map((each: { code?: unknown; message?: unknown }) => [each.code, each.message].filter(text => typeof text === 'string').join(': '))
      .join('; ');
  } catch {
    return '';
  }
}

function mayPass(error: unknown): boolean {
  if (isUmiakError(error)) return error.reason === 'TooManyRequests' || error.reason === 'ServiceUnavailable' || error.reason === 'Timeout';
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && PASSING_CODES.has(code);
}

function toFinal(error: unknown, registry: string): unknown {
  if (isUmiakError(error)) return error;
  return new UmiakError('ServiceUnavailable', `the registry ${registry} can't be reached: ${messageOf(error)}`, {
    hint: 'Check its name, the network and proxy settings.',
    cause: error,
  });
}

function isNotTls(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return code === 'EPROTO' || code.startsWith('ERR_SSL') || code === 'ECONNRESET' || code === 'ECONNREFUSED';
}

function hostnameOf({ registry, host }: RegistryClientOptions): string {
  const url = host?.endpoint ?? `https://${registry}`;
  return URL.canParse(url) ? new URL(url).hostname : registry;
}
