import type { SecureContextOptions } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { type Log, silentLog } from '#base/log.ts';
import type { Transport } from '#client/transport.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import type { Store } from '#store/store.ts';
import { answerResource } from './answer.ts';
import { ClusterCache } from './cluster-cache.ts';
import { Discovery } from './discovery.ts';
import { HttpServer, type Reply, type UpgradeHandler } from './http-server.ts';
import type { Authenticator, Authorizer, Identity, RulesOf, TokenIssuer, TokenReviewer } from './identity.ts';
import { createLocalTransport } from './local-transport.ts';
import { answerPath } from './paths.ts';
import { createPipeline, type Step } from './pipeline.ts';
import type { EscalationCheck } from './rbac-escalation.ts';
import { render } from './render.ts';
import type { ApiRequest, Context, Outcome, ResourceRoute } from './request.ts';
import { cacheKeyOf, Resources, ROOT } from './resources.ts';
import { noSuchResource } from './routes.ts';
import { toStatus } from './status.ts';
import { Watch } from './watch.ts';
import { HttpWatchSink } from './watch-http.ts';
import { Writer } from './writer.ts';

/** Who may do what: made from a view of the cluster's objects, which it follows. */
export interface Security {
  authenticate: Authenticator;
  authorize: Authorizer;
  rulesOf?: RulesOf;
  reviewToken?: TokenReviewer;
  issueToken?: TokenIssuer;
  checkEscalation?: EscalationCheck;
  /** Told of every object of every resource, at start and at each change, before any request can see it. */
  observe?: (object: KubeObject, deleted?: boolean) => void;
  /** Resources that `observe` wants, as `group/plural`. */
  observed?: readonly string[];
}

/** The cluster's objects as of now, for parts of the server itself. */
export interface ClusterReader {
  get(group: string, plural: string, key: { namespace?: string; name: string }): KubeObject | undefined;
}

export interface ApiServerOptions {
  store: Store;
  kinds: readonly Kind[];
  security: (cluster: ClusterReader) => Security;
  tls: SecureContextOptions;
  /** Where to listen from the start. */
  addresses: readonly { address: string; port: number }[];
  clock?: Clock;
  log?: Log;
  audit?: Step;
  upgrade?: UpgradeHandler;
  /** The store's watch broke: the server tells nothing new any more and should be ended. */
  onFailure?: (error: unknown) => void;
}

export interface ApiServer extends AsyncDisposable {
  readonly listeners: readonly { address: string; port: number }[];
  /** Listens there too, with the same certificate. */
  addListener(address: string, port: number): Promise<{ address: string; port: number }>;
  /** New connections get this certificate. */
  setCertificate(tls: SecureContextOptions): void;
  /** The client's way in without a network. */
  local(identity: Identity): Transport;
  readonly cluster: ClusterReader;
}

/** Reads the store, then serves it. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, clock = systemClock, log = silentLog } = options;
  const resources = new Resources(options.kinds);
  const cache = await ClusterCache.open({
    store,
    root: ROOT,
    caches: resources.caches,
    onFailure: options.onFailure ?? (error => log.error('the store is lost', { error })),
  });
  const cluster = createReader(resources);
  const security = options.security(cluster);
  observe(resources, security);
  const writer = new Writer({ store, clock, admission: [], claims: [] });
  const handlers = new Map<string, (context: Context<ResourceRoute>) => Promise<Outcome>>();
  const listeners: { address: string; port: number }[] = [];
  const discovery = new Discovery(resources, () => `${listeners[0]?.address}:${listeners[0]?.port}`);

  const handle = createPipeline({
    resources,
    authenticate: security.authenticate,
    authorize: security.authorize,
    ...(options.audit && { audit: options.audit }),
    async answer(context) {
      const { route } = context;
      if (route.type === 'resource') return await answerResource(context as Context<ResourceRoute>, { store, writer, handlers });
      const outcome = discovery.answer(route.path, context) ?? answerPath(context as Context);
      if (!outcome) throw noSuchResource();
      return outcome;
    },
  });

  const http = new HttpServer({
    tls: options.tls,
    handle: (request, reply) => serve(request, reply),
    upgrade: options.upgrade ?? ((_request, socket) => socket.end('HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n')),
  });

  async function serve(request: ApiRequest, reply: Reply): Promise<void> {
    try {
      const { outcome, context } = await handle(request);
      if (reply.closed) return;
      const warning = warningHeader(context.warnings);
      if (outcome.type === 'watch') {
        reply.head(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private', ...warning });
        const watch = Watch.start(outcome, new HttpWatchSink(outcome.served, context, reply, () => clock.now()));
        reply.onClose(() => watch.stop());
        return;
      }
      const { status, contentType, headers, body } = render(outcome, context, clock.now());
      const all = { 'content-type': contentType, 'cache-control': 'no-cache, private', ...headers, ...warning };
      if (Buffer.isBuffer(body)) {
        reply.head(status, { ...all, 'content-length': body.length });
        reply.end(request.method === 'HEAD' ? undefined : body);
      } else await stream(reply, status, all, body);
    } catch (error) {
      refuse(reply, error);
    }
  }

  function refuse(reply: Reply, error: unknown): void {
    if (reply.closed) return;
    if (!(error instanceof UmiakError) || error.reason === 'InternalError') log.error('a request failed', { error });
    const status = toStatus(error);
    const body = Buffer.from(JSON.stringify(status));
    const retry = status.details?.retryAfterSeconds;
    try {
      reply.head(status.code, {
        'content-type': 'application/json',
        'content-length': body.length,
        'cache-control': 'no-cache, private',
        ...(retry && { 'retry-after': retry }),
      });
      reply.end(body);
    } catch {
      reply.destroy(); // it had begun: all that can be said is that it is not whole
    }
  }

  const server: ApiServer = {
    listeners,
    async addListener(address, port) {
      const bound = await http.listen(address, port);
      listeners.push(bound);
      return bound;
    },
    setCertificate: secure => http.setCertificate(secure),
    local: identity => createLocalTransport(handle, identity),
    cluster,
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
      await cache[Symbol.asyncDispose]();
    },
  };
  for (const { address, port } of options.addresses) await server.addListener(address, port);
  return server;
}

async function stream(
  reply: Reply,
  status: number,
  headers: Record<string, string | string[] | number>,
  pieces: Iterable<Buffer>,
): Promise<void> {
  let waiting: Buffer | undefined;
  let started = false;
  for (const piece of pieces) {
    if (waiting) {
      if (!started) reply.head(status, headers);
      started = true;
      if (!reply.write(waiting)) await reply.drained();
      if (reply.closed) return;
    }
    waiting = piece;
  }
  if (!started) reply.head(status, { ...headers, 'content-length': waiting?.length ?? 0 });
  reply.end(waiting);
}

/** RFC 7234's `Warning` with code 299, as kubectl prints it. */
function warningHeader(warnings: string[]): Record<string, string[]> {
  if (warnings.length === 0) return {};
  const safe = (text: string) =>
    text
      .replaceAll(/[^\x20-\x7e]/g, ' ')
      .replaceAll(/["\\]/g, '\\$&')
      .slice(0, 1000);
  return { warning: [...new Set(warnings)].slice(0, 50).map(text => `299 - "${safe(text)}"`) };
}

/** Shows the security's eyes what is there, and then every change before its writer hears of it. */
function observe(resources: Resources, { observe: show, observed = [] }: Security): void {
  if (!show) return;
  for (const { resource, cache, conversion } of resources.all) {
    if (!cache || conversion || !observed.includes(`${resource.group}/${resource.plural}`)) continue;
    for (const stored of cache.snapshot().view.range('', '\uffff')) show(stored.object());
    cache.listen(changes => {
      for (const { type, object } of changes) show(object.object(), type === 'DELETED');
    });
  }
}

function createReader(resources: Resources): ClusterReader {
  const byName = new Map(
    resources.all
      .filter(({ cache, conversion }) => cache && !conversion)
      .map(served => [`${served.resource.group}/${served.resource.plural}`, served]),
  );
  return {
    get: (group, plural, { namespace = '', name }) => byName.get(`${group}/${plural}`)?.cache?.get(cacheKeyOf(namespace, name))?.object(),
  };
}
