import type { IncomingMessage } from 'node:http';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { type ClientCertificate, HttpClient, type HttpHeaders, type HttpRequest, isWithinMachine, letGo, readBody } from './http-client.ts';
import { maxDocumentBytes, parseJsonObject } from './oci.ts';
import { isLoopback, type ProxySettings } from './proxy.ts';
import { parseChallenges, planAuth, type RegistryAuth } from './registry-auth.ts';
import { mayPass, planPause, toError, toFinal } from './registry-errors.ts';

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
  proxy?: ProxySettings;
  /** Spreads the pauses between tries, so that those who failed together don't come back together; numbers in [0, 1). */
  random?: () => number;
  /** Asks token servers for a token that stands for the password (docker's `offline_token`). */
  wantsIdentity?: boolean;
}

/** A request within the repository, or to an address that the registry gave. */
export interface RegistryRequest extends Omit<HttpRequest, 'headers'> {
  headers?: Record<string, string>;
  /** Statuses that are an answer; all others are thrown as the registry's refusal. */
  expect: readonly number[];
  query?: Record<string, string>;
}

/** Speaks with one repository of one registry: finds its address, answers its challenges, tries again what may pass. */
export class RegistrySession implements Disposable {
  readonly #options: RegistryClientOptions;
  readonly #scopes: string;
  readonly #http: HttpClient;
  readonly #clock: Clock;
  #base: Promise<URL> | undefined;
  #authorization: string | undefined;
  /** What a token server gave in place of the password. */
  identityToken: string | undefined;

  /** `scopes` are what tokens are asked for: `repository:app:pull`. */
  constructor(options: RegistryClientOptions, scopes: string) {
    this.#options = options;
    this.#scopes = scopes;
    this.#clock = options.clock ?? systemClock;
    const {
      ca,
      insecure = ca === undefined && isLoopback(hostnameOf(options)) ? 'loopback' : false,
      client,
      connectTimeoutMs,
    } = options.host ?? {};
    this.#http = new HttpClient({
      insecure,
      ...(ca !== undefined ? { ca } : {}),
      ...(client ? { client } : {}),
      ...(connectTimeoutMs !== undefined ? { connectTimeoutMs } : {}),
      ...(options.idleTimeoutMs !== undefined ? { idleTimeoutMs: options.idleTimeoutMs } : {}),
      ...(options.proxy !== undefined ? { proxy: options.proxy } : {}),
    });
  }

  /**
   * One request; after a challenge it is made once more with what the challenge asks for.
   * @throws what the registry says, as the house's error, unless its status is expected
   */
  async send(target: string | URL, what: string, request: RegistryRequest): Promise<IncomingMessage> {
    const { expect, query = {}, headers, ...rest } = request;
    const base = await this.#findBaseOnce(request.signal);
    const { host: { apiPath = '/v2', headers: own = {}, namespace } = {}, repository } = this.#options;
    const url = new URL(typeof target === 'string' ? `${apiPath}/${repository}/${target}` : target, base);
    // An address that the registry gave may be elsewhere: nothing of ours goes there but the content.
    const isHome = url.origin === base.origin;
    if (namespace !== undefined && isHome && typeof target === 'string') url.searchParams.set('ns', namespace);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    if (!isHome && url.protocol === 'http:' && base.protocol === 'https:' && !isWithinMachine(base, url))
      throw new UmiakError('ServiceUnavailable', `${what}: ${base.host} sends to ${url.host} without TLS, which is refused`);
    const ask = () =>
      this.#http.request(url, {
        ...rest,
        headers: {
          ...(isHome ? own : {}),
          ...headers,
          ...(this.#authorization && isHome ? { authorization: this.#authorization } : {}),
        },
      });
    let response = await ask();
    if (response.statusCode === 401 && isHome) {
      letGo(response);
      this.#authorization = await this.#authorize(response, what, request.signal);
      response = await ask();
    }
    if (expect.includes(response.statusCode ?? 0)) return response;
    throw await toError(response, what, this.#clock);
  }

  /** The address that a `Location` header names; without one, that of the request. */
  async resolve(location: string | undefined, target: string | URL, what: string): Promise<URL> {
    const from = typeof target === 'string' ? await this.#base : target;
    const next = location ?? (typeof target === 'string' ? undefined : target);
    if (from === undefined || next === undefined || !URL.canParse(next, from))
      throw new UmiakError('ServiceUnavailable', `${what}: the registry does not say where the upload goes on`);
    return new URL(next, from);
  }

  /** The registry's own address with that path: `/v1/search`; without one, where its API begins. */
  async root(path?: string, signal?: AbortSignal): Promise<URL> {
    return new URL(path ?? `${this.#options.host?.apiPath ?? '/v2'}/`, await this.#findBaseOnce(signal));
  }

  #findBaseOnce(signal?: AbortSignal): Promise<URL> {
    this.#base ??= this.#findBase(signal).catch(error => {
      this.#base = undefined;
      throw error;
    });
    return this.#base;
  }

  /** HTTPS, and plain HTTP where that is allowed and HTTPS is not spoken. */
  async #findBase(signal?: AbortSignal): Promise<URL> {
    const { host = {}, registry } = this.#options;
    if (host.endpoint !== undefined) return new URL(host.endpoint);
    const secure = new URL(`https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`);
    if (!host.insecure && !isLoopback(secure.hostname)) return secure;
    try {
      const response = await this.#http.request(new URL('/v2/', secure), signal ? { signal } : {});
      letGo(response);
      return secure;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isNotTls(error)) throw error;
      return new URL(`http://${registry}`);
    }
  }

  async #authorize(response: IncomingMessage, what: string, signal?: AbortSignal): Promise<string> {
    const auth = this.#options.auth ?? this.#options.host?.auth;
    const plan = planAuth(parseChallenges(response.headers['www-authenticate'] ?? ''), auth, this.#scopes, what);
    if (plan.kind === 'header') return plan.authorization;
    if (this.#options.wantsIdentity && auth !== undefined && 'username' in auth) {
      const wishes = { offline_token: 'true', client_id: 'umiak', account: auth.username };
      for (const [key, value] of Object.entries(wishes)) plan.url.searchParams.set(key, value);
    }
    const base = await this.#base;
    const isDowngrade = plan.url.protocol === 'http:' && base?.protocol === 'https:' && !isWithinMachine(base, plan.url);
    if (isDowngrade && !this.#options.host?.insecure)
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
    if (answer.statusCode !== 200) throw await toError(answer, asked, this.#clock);
    const document = parseJsonObject(await readBody(answer, maxDocumentBytes, asked), asked);
    const token = document.token ?? document.access_token;
    if (typeof document.refresh_token === 'string') this.identityToken = document.refresh_token;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw new UmiakError('Unauthorized', `${asked} gave no token`);
    return `Bearer ${token}`;
  }

  /** Runs until it succeeds, fails for good or has been tried often enough. @throws the house's error, always */
  async attempt<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const { attempts = 4 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        signal?.throwIfAborted();
        if (!mayPass(error) || attempt >= attempts) throw this.toFinal(error);
        await this.pause(planPause(error, attempt), signal);
      }
    }
  }

  /** The failure as the house's error, whatever it was. */
  toFinal(error: unknown): unknown {
    return toFinal(error, this.#options.host?.endpoint ?? this.#options.registry);
  }

  /** Waits that long, give or take a quarter. */
  async pause(aboutMs: number, signal?: AbortSignal): Promise<void> {
    const ms = aboutMs * (0.75 + (this.#options.random ?? Math.random)() / 2);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal?.reason);
    using _ = this.#clock.after(ms, resolve);
    signal?.addEventListener('abort', abort, { once: true });
    await promise.finally(() => signal?.removeEventListener('abort', abort));
  }

  /** What messages call the repository, with `:tag` or `@digest` behind it. */
  name(suffix: string): string {
    return `${this.#options.registry}/${this.#options.repository}${suffix}`;
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
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
