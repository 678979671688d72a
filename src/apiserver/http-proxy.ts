import type { IncomingMessage, RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { type Duplex, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { Pod, Service } from '#kinds/types.gen.ts';
import { Agent as HttpAgent, request as httpRequest } from '#wire/http.ts';
import { splice } from '#wire/splice.ts';
import { responseHead } from '#wire/upgrade.ts';
import { type ProxyTarget, parseProxyName, passedHeaders, planPodTarget, rewriteLocation, splitProxyUrl } from './http-proxy-plan.ts';
import type { StreamOutcome, UpgradeOutcome } from './node-proxy.ts';
import { isPage, LinkRewriter } from './proxy-links.ts';
import type { Context, Outcome, ResourceRoute } from './request.ts';
import type { ServiceResolver } from './webhooks/service-endpoints.ts';

export interface HttpProxyOptions {
  getPod(namespace: string, name: string): Pod | undefined;
  getService(namespace: string, name: string): Service | undefined;
  resolveService: ServiceResolver;
}

/** Words of `/api/v1/namespaces/NS/pods/NAME/proxy`, the empty one before the first slash with them. */
const DEPTH = 8;
const CONNECT_MS = 30_000;

/** `pods/proxy` and `services/proxy`: HTTP requests and upgrades handed on to what listens there. Owns its idle connections. */
export class HttpProxy implements Disposable {
  readonly #options: HttpProxyOptions;
  readonly #agents = {
    http: new HttpAgent({ keepAlive: true, timeout: CONNECT_MS }),
    // What a pod shows is nobody's whom the cluster knows; upstream takes it too.
    https: new HttpsAgent({ keepAlive: true, timeout: CONNECT_MS, rejectUnauthorized: false }),
  };

  constructor(options: HttpProxyOptions) {
    this.#options = options;
  }

  handlers(): [string, (context: Context<ResourceRoute>) => Promise<Outcome>][] {
    return [
      ['pods/proxy', async context => await this.#pass(context, this.#podTarget(context.route))],
      ['services/proxy', async context => await this.#pass(context, this.#serviceTarget(context.route))],
    ];
  }

  #podTarget({ namespace, name: text }: ResourceRoute): ProxyTarget {
    const { name, ...rest } = parseProxyName(text);
    const pod = this.#options.getPod(namespace, name);
    if (!pod) throw new UmiakError('NotFound', `pods "${name}" not found`, { details: { kind: 'pods', name } });
    return planPodTarget(pod, rest);
  }

  #serviceTarget({ namespace, name: text }: ResourceRoute): ProxyTarget {
    const { name, port, scheme } = parseProxyName(text);
    if (!this.#options.getService(namespace, name))
      throw new UmiakError('NotFound', `services "${name}" not found`, { details: { kind: 'services', name } });
    try {
      return { scheme, ...this.#options.resolveService(namespace, name, port) };
    } catch (cause) {
      throw new UmiakError('ServiceUnavailable', messageOf(cause), { cause });
    }
  }

  async #pass({ request }: Context<ResourceRoute>, target: ProxyTarget): Promise<StreamOutcome | UpgradeOutcome | Outcome> {
    const { base, path, search } = splitProxyUrl(request.url, DEPTH);
    if (path === '' && (request.method === 'GET' || request.method === 'HEAD'))
      return { type: 'bytes', status: 301, bytes: Buffer.alloc(0), contentType: 'text/plain', headers: { location: `${base}/${search}` } };
    const isUpgrade = request.headers.upgrade !== undefined;
    const body = isUpgrade ? Buffer.alloc(0) : await request.readBody();
    const forwarded = request.remoteAddress ? { 'x-forwarded-for': request.remoteAddress } : {};
    const asked: RequestOptions = {
      host: target.host,
      port: target.port,
      method: request.method,
      path: `${path || '/'}${search}`,
      headers: {
        ...passedHeaders(request.headers),
        ...forwarded,
        ...(isUpgrade ? { connection: 'Upgrade', upgrade: request.headers.upgrade } : {}),
        ...(body.length > 0 ? { 'content-length': String(body.length) } : {}),
      },
      signal: request.signal,
    };
    const { response, socket, head } = await this.#ask(target, asked, body);
    if (socket) return toUpgrade(response, socket, head);
    const headers = passedHeaders(response.headers);
    if (headers.location) headers.location = rewriteLocation(headers.location, target, base);
    if (isPage(response.headers['content-type'])) return toPage(response, headers, new LinkRewriter(target, base));
    const length = response.headers['content-length'];
    return {
      type: 'stream',
      status: response.statusCode ?? 502,
      headers: { ...headers, ...(length ? { 'content-length': length } : {}) },
      body: response,
    };
  }

  #ask(target: ProxyTarget, asked: RequestOptions, body: Buffer): Promise<{ response: IncomingMessage; socket?: Duplex; head: Buffer }> {
    const { scheme, host, port } = target;
    const request =
      scheme === 'https' ? httpsRequest({ ...asked, agent: this.#agents.https }) : httpRequest({ ...asked, agent: this.#agents.http });
    const { promise, resolve, reject } = Promise.withResolvers<{ response: IncomingMessage; socket?: Duplex; head: Buffer }>();
    request.once('response', response => {
      // Whoever reads it learns by its close; without a reader there is nobody to tell.
      response.on('error', () => {});
      resolve({ response, head: Buffer.alloc(0) });
    });
    request.once('upgrade', (response, socket, head) => resolve({ response, socket, head }));
    request.setTimeout(CONNECT_MS, () => request.destroy(new Error(`no answer within ${CONNECT_MS / 1000} s`)));
    request.on('error', cause =>
      reject(
        new UmiakError('ServiceUnavailable', `error trying to reach service: dial tcp ${host}:${port}: ${messageOf(cause)}`, { cause }),
      ),
    );
    request.end(body);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }
}

/** A page's links lead through the proxy; its length is known no more, and packed ones are unpacked on the way. */
function toPage(
  response: IncomingMessage,
  { 'content-encoding': encoding, ...headers }: Record<string, string>,
  links: LinkRewriter,
): StreamOutcome {
  const status = response.statusCode ?? 502;
  if (encoding !== undefined && encoding !== 'gzip')
    return { type: 'stream', status, headers: { ...headers, 'content-encoding': encoding }, body: response };
  const steps = encoding === 'gzip' ? [createGunzip(), links] : [links];
  // Whoever reads the last one learns by its close.
  pipeline([response, ...steps], () => {});
  return { type: 'stream', status, headers, body: links };
}

function toUpgrade(response: IncomingMessage, stream: Duplex, head: Buffer): UpgradeOutcome {
  const { connection = 'Upgrade', upgrade = '' } = response.headers;
  return {
    type: 'upgrade',
    async accept(socket, clientHead) {
      socket.write(responseHead(101, { ...passedHeaders(response.headers), connection, upgrade }));
      if (head.length) socket.write(head);
      if (clientHead.length) stream.write(clientHead);
      await splice(socket, stream);
    },
    abandon: () => stream.destroy(),
  };
}
