import type { IncomingMessage } from 'node:http';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import { type ClientCertificate, HttpClient, type HttpHeaders, isLoopback, readBody } from './http-client.ts';
import { maxDocumentBytes, mediaTypes, parseJsonObject } from './oci.ts';
import { parseChallenges, planAuth, type RegistryAuth } from './registry-auth.ts';
import { mayPass, toError, toFinal } from './registry-errors.ts';

/** What is special about one registry. */
export interface RegistryHost {
  /** Where it really is, as `http://127.0.0.1:5000`: a mirror, a cache, a test. */
  endpoint?: string;
  /** Path of the API there; by default `/v2`. */
  apiPath?: string;
  /** Plain HTTP (where no endpoint says which it is) and unverified certificates are accepted; by default on loopback, unless `ca` is given. */
  insecure?: boolean;
  /** PEM of authorities to trust besides the system's. */
  ca?: string;
  client?: readonly ClientCertificate[];
  /** Sent along with every request to this host, and to no other. */
  headers?: HttpHeaders;
  connectTimeoutMs?: number;
  /** Tells a cache for several registries which one is meant. */
  namespace?: string;
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

/** So often in a row a download may break off that brought less than `PROGRESS_BYTES` each time. */
const MAX_BREAKS = 5;
const PROGRESS_BYTES = 1024 * 1024;

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
    const { ca, insecure = ca === undefined && isLoopback(hostnameOf(options)), client, connectTimeoutMs } = options.host ?? {};
    this.#http = new HttpClient({
      insecure,
      ...(ca !== undefined ? { ca } : {}),
      ...(client ? { client } : {}),
      ...(connectTimeoutMs !== undefined ? { connectTimeoutMs } : {}),
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

  /**
   * Hands a blob's stream to `receive`, which verifies the digest. A download that breaks off goes on where it was; if what came in pieces
   * proves wrong, it is fetched once more, from its start.
   */
  async blob<T>(digest: Digest, receive: (body: AsyncIterable<Uint8Array>) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const progress = { breaks: 0 };
    try {
      return await receive(this.#download(digest, progress, signal));
    } catch (error) {
      signal?.throwIfAborted();
      if (progress.breaks === 0 || !isUmiakError(error, 'Invalid')) throw error;
      return await receive(this.#download(digest, progress, signal));
    }
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  async *#download(digest: Digest, progress: { breaks: number }, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const what = `the blob ${this.#name(`@${digest}`)}`;
    let at = 0;
    for (let breaks = 0; ; ) {
      const from = at;
      const response = await this.#attempt(signal, () =>
        this.#get(`blobs/${digest}`, what, from > 0 ? { range: `bytes=${from}-` } : {}, signal),
      );
      try {
        for await (const chunk of partFrom(response, from, what)) {
          at += chunk.byteLength;
          yield chunk;
        }
        return;
      } catch (error) {
        signal?.throwIfAborted();
        progress.breaks++;
        breaks = at - from >= PROGRESS_BYTES ? 1 : breaks + 1;
        if (!mayPass(error) || breaks >= MAX_BREAKS) throw toFinal(error, this.#options.host?.endpoint ?? this.#options.registry);
        await this.#pause(250 * 2 ** (breaks - 1), signal);
      } finally {
        response.destroy();
      }
    }
  }

  async #get(path: string, what: string, headers: Record<string, string>, signal?: AbortSignal): Promise<IncomingMessage> {
    this.#base ??= this.#findBase(signal).catch(error => {
      this.#base = undefined;
      throw error;
    });
    const { host: { apiPath = '/v2', headers: own = {}, namespace } = {}, repository } = this.#options;
    const url = new URL(`${apiPath}/${repository}/${path}`, await this.#base);
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    const ask = () =>
      this.#http.request(url, {
        headers: { ...own, ...headers, ...(this.#authorization ? { authorization: this.#authorization } : {}) },
        ...(signal ? { signal } : {}),
      });
    let response = await ask();
    if (response.statusCode === 401) {
      response.resume();
      this.#authorization = await this.#authorize(response, what, signal);
      response = await ask();
    }
    const { statusCode } = response;
    if (statusCode === 200 || (headers.range !== undefined && (statusCode === 206 || statusCode === 416))) return response;
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
        if (!mayPass(error) || attempt >= attempts) throw toFinal(error, this.#options.host?.endpoint ?? this.#options.registry);
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

/** The content from byte `from` on, whatever part of it the registry chose to send (RFC 9110, 14). */
async function* partFrom(response: IncomingMessage, from: number, what: string): AsyncGenerator<Uint8Array> {
  // Nothing is left: the connection broke after the last byte.
  if (response.statusCode === 416) return;
  const start = response.statusCode === 206 ? Number(/^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1]) : 0;
  if (!(start <= from))
    throw new UmiakError('Invalid', `${what}: asked to go on at byte ${from}, the registry sent ${response.headers['content-range']}`);
  let skip = from - start;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    if (skip < chunk.byteLength) yield skip > 0 ? chunk.subarray(skip) : chunk;
    skip = Math.max(0, skip - chunk.byteLength);
  }
}

function isNotTls(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return code === 'EPROTO' || code.startsWith('ERR_SSL') || code === 'ECONNRESET' || code === 'ECONNREFUSED';
}

function hostnameOf({ registry, host }: RegistryClientOptions): string {
  const url = host?.endpoint ?? `https://${registry}`;
  return URL.canParse(url) ? new URL(url).hostname : registry;
}
