import type { SecureContextOptions } from 'node:tls';
import { type Clock, systemClock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import { type Log, silentLog } from '#base/log.ts';
import type { Transport } from '#client/transport.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { metricsKinds } from '#kinds/metrics.ts';
import type { Pod, Service } from '#kinds/types.gen.ts';
import type { Store } from '#store/store.ts';
import { createAdmission } from './admission/index.ts';
import { answerResource } from './answer.ts';
import { ClusterCache } from './cluster-cache.ts';
import { customResourceAdmission } from './crd/admission.ts';
import { CustomResources } from './crd/custom-resources.ts';
import { restoreCustomResources } from './crd/served-definitions.ts';
import { Discovery } from './discovery.ts';
import { EventSweeper } from './event-sweeper.ts';
import { FlowControl, OBSERVED_FLOWS } from './flow-control/flow-control.ts';
import { evictionHandler } from './handlers/eviction.ts';
import { bindingHandler } from './handlers/pods.ts';
import { reviewHandlers } from './handlers/reviews.ts';
import { tokenHandler } from './handlers/tokens.ts';
import { HttpProxy } from './http-proxy.ts';
import { HttpServer } from './http-server.ts';
import type { Authenticator, Authorizer, Identity, RulesOf, TokenIssuer, TokenReviewer } from './identity.ts';
import { createLocalTransport } from './local-transport.ts';
import { Metrics } from './metrics.ts';
import { metricsHandlers } from './metrics-api/handlers.ts';
import type { NodeConnector } from './node-connector.ts';
import { createNodeProxy } from './node-proxy.ts';
import { OpenApi } from './openapi.ts';
import { answerPath, type Documents } from './paths.ts';
import { createPipeline, type Step } from './pipeline.ts';
import { Policies, PolicyStatuses } from './policies/index.ts';
import { ResourceQuotas } from './quota/resource-quotas.ts';
import type { EscalationCheck } from './rbac-escalation.ts';
import type { Context, Outcome, PathRoute, ResourceRoute } from './request.ts';
import { cacheKeyOf, Resources, ROOT } from './resources.ts';
import { createServe } from './serve.ts';
import { ServiceAddresses } from './service-addresses.ts';
import { connectAdmission, Webhooks } from './webhooks/index.ts';
import { serviceResolver } from './webhooks/service-endpoints.ts';
import { WebhookCaller } from './webhooks/webhook-caller.ts';
import { Writer } from './writer.ts';

/** Who may do what: made from a view of the cluster's objects, which it follows. */
export interface Security {
  authenticate: Authenticator;
  authorize: Authorizer;
  rulesOf?: RulesOf;
  reviewToken?: TokenReviewer;
  issueToken?: TokenIssuer;
  checkEscalation?: EscalationCheck;
  /** Further paths that are answered with bytes, as they are at the moment. */
  documents?: Documents;
  /** Told of every object of the `observed` resources, at start and at each change, before its writer is answered. */
  observe?: (object: KubeObject, deleted?: boolean) => void;
  /** `group/plural` */
  observed?: readonly string[];
}

/** The cluster's objects as of now, for parts of the server itself. */
export interface ClusterReader {
  get(group: string, plural: string, key: { namespace?: string; name: string }): KubeObject | undefined;
}

export interface ApiServerOptions {
  store: Store;
  kinds: readonly Kind[];
  /** Made once the cache is filled; see `createSecurity`. */
  security: (cluster: ClusterReader) => Security;
  /** The serving pair; `ca` is what client certificates are signed by. */
  tls: SecureContextOptions;
  /** Where to listen from the start. Port 0 takes a free one. */
  addresses: readonly { address: string; port: number }[];
  serviceCidr?: string;
  nodePortRange?: { first: number; last: number };
  /** The way to nodes, for logs, exec and attach. */
  nodeConnector?: NodeConnector;
  clock?: Clock;
  log?: Log;
  audit?: Step;
  /** Instead of the cluster's own FlowSchemas. */
  fairness?: Step;
  /** Requests served at the same time, over all priority levels. */
  seats?: number;
  /** The store's watch broke: the server says so at `/livez`, tells nothing new any more and should be started anew. */
  onFailure?: (error: unknown) => void;
}

export interface ApiServer extends AsyncDisposable {
  readonly listeners: readonly { address: string; port: number }[];
  /** Listens there too, with the same certificate. */
  addListener(address: string, port: number): Promise<{ address: string; port: number }>;
  /** New connections get this certificate. */
  setCertificate(tls: SecureContextOptions): void;
  /** The client's way in without a network, as `identity`. */
  local(identity: Identity): Transport;
  readonly cluster: ClusterReader;
  /** Resolves when all custom resources are served as their definitions say now. */
  settled(): Promise<void>;
  /** The `kubernetes` Service's address. */
  readonly serviceAddress: string;
}

/** Reads the store, then serves it over TLS and in this process. Owns what it makes, not the store. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, clock = systemClock, log = silentLog, nodeConnector } = options;
  let failure: string | undefined;
  const onFailure = (error: unknown) => {
    failure ??= messageOf(error);
    log.error('the store can no longer be followed', { error });
    options.onFailure?.(error);
  };

  const resources = new Resources(nodeConnector ? [...options.kinds, ...metricsKinds] : options.kinds);
  const conversions = new WebhookCaller(serviceResolver(resources));
  const restored = await restoreCustomResources(resources, store, conversions);
  const cache = await ClusterCache.open({ store, root: ROOT, caches: resources.caches, onFailure });
  const cluster = createReader(resources);
  const security = options.security(cluster);
  observe(resources, security);
  const flows = new FlowControl({ clock, ...(options.seats && { seats: options.seats }) });
  observe(resources, { observe: flows.observe.bind(flows), observed: OBSERVED_FLOWS });

  const core = (plural: string) => resources.stored('', 'v1', plural);
  const [pods, services, events] = [core('pods'), core('services'), core('events')];
  const { serviceCidr = '10.43.0.0/16', nodePortRange = { first: 30000, last: 32767 } } = options;
  const networking = (plural: string) => resources.stored('networking.k8s.io', 'v1', plural);
  const [ranges, kept] = [networking('servicecidrs'), networking('ipaddresses')];
  const addresses = await ServiceAddresses.open({ store, services, ranges, kept, serviceCidr, nodePortRange, onFailure });
  const quotas = new ResourceQuotas({
    resources,
    clock,
    onFailure: error => log.warn('the status of quotas can not be written', { error }),
  });
  const webhooks = new Webhooks(resources);
  const policies = new Policies({ resources, authorize: security.authorize });
  const writer = new Writer({
    store,
    clock,
    claims: [addresses, quotas],
    admission: [
      customResourceAdmission(served => customResources.isTerminating(served)),
      ...createAdmission({
        resources,
        checkEscalation: security.checkEscalation,
        webhooks,
        policies,
        authorize: security.authorize,
        clock,
      }),
    ],
  });
  const customResources = new CustomResources({
    resources,
    cluster: cache,
    writer,
    restored,
    caller: conversions,
    clock,
    log: log.part('custom-resources'),
  });
  const onStatusFailure = (error: unknown) => log.warn('the status of an admission policy can not be written', { error });
  const policyStatuses = new PolicyStatuses({ resources, writer, onFailure: onStatusFailure });
  quotas.start(writer);
  const sweeper = new EventSweeper({ store, events, clock });

  const listeners: { address: string; port: number }[] = [];
  const discovery = new Discovery(resources, () => `${listeners[0]?.address}:${listeners[0]?.port}`);
  const openApi = new OpenApi(resources);
  const metrics = new Metrics(resources, () => [
    ['apiserver_open_connections', 'Connections of clients.', http.connectionCount],
    ['umiak_store_revision', 'The newest durable revision.', store.revision],
    ['umiak_store_compacted_revision', 'The oldest revision that can be read.', store.compactedRevision],
    ['process_resident_memory_bytes', 'Memory of this process.', process.memoryUsage.rss()],
    ...flows.gauges(),
  ]);
  const health = [{ name: 'store', check: () => failure }];
  const getPod = (namespace: string, name: string) => pods.cache.get(cacheKeyOf(namespace, name))?.object<Pod>();
  const httpProxy = new HttpProxy({
    getPod,
    getService: (namespace, name) => services.cache.get(cacheKeyOf(namespace, name))?.object<Service>(),
    resolveService: serviceResolver(resources),
  });
  const handlers = collectHandlers();

  const handle = createPipeline({
    resources,
    authenticate: security.authenticate,
    authorize: security.authorize,
    ...(options.audit && { audit: options.audit }),
    fairness: options.fairness ?? flows.step,
    answer: async context =>
      context.route.type === 'resource'
        ? await answerResource(context as Context<ResourceRoute>, { store, writer, handlers, clock })
        : answerPath(context as Context<PathRoute>, { discovery, openApi, metrics, health, documents: security.documents }),
  });
  const http = new HttpServer({ tls: options.tls, ...createServe({ handle, clock, log, metrics }) });

  function collectHandlers(): Map<string, (context: Context<ResourceRoute>) => Promise<Outcome>> {
    const bind = bindingHandler(pods, writer, clock);
    return new Map([
      ['pods/binding', bind],
      ['bindings', bind],
      ['pods/eviction', evictionHandler({ pods, budgets: resources.stored('policy', 'v1', 'poddisruptionbudgets'), writer })],
      ...(security.issueToken ? [['serviceaccounts/token', tokenHandler(resources, security.issueToken)] as const] : []),
      ...reviewHandlers(security),
      ...(nodeConnector ? metricsHandlers({ connector: nodeConnector, nodes: core('nodes'), pods, clock }) : []),
      ...connectAdmission(
        [
          ...httpProxy.handlers(),
          ...(nodeConnector ? createNodeProxy({ connector: nodeConnector, getPod, authorize: security.authorize }) : []),
        ],
        attributes => {
          const judged = policies.admit(attributes);
          return judged ? judged.then(() => webhooks.admit(attributes)) : webhooks.admit(attributes);
        },
      ),
    ]);
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
    settled: () => customResources.settled(),
    serviceAddress: addresses.firstAddress,
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
      await customResources[Symbol.asyncDispose]();
      conversions[Symbol.dispose]();
      httpProxy[Symbol.dispose]();
      sweeper[Symbol.dispose]();
      quotas[Symbol.dispose]();
      await policyStatuses[Symbol.asyncDispose]();
      policies[Symbol.dispose]();
      webhooks[Symbol.dispose]();
      await addresses[Symbol.asyncDispose]();
      await cache[Symbol.asyncDispose]();
    },
  };
  try {
    for (const { address, port } of options.addresses) await server.addListener(address, port);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

/** Shows the security's eyes what is there, and then every change. */
function observe(resources: Resources, { observe: show, observed = [] }: Pick<Security, 'observe' | 'observed'>): void {
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
  const stored = resources.all.filter(({ cache, conversion }) => cache && !conversion);
  const byName = new Map(stored.map(served => [`${served.resource.group}/${served.resource.plural}`, served]));
  return {
    get: (group, plural, { namespace = '', name }) => byName.get(`${group}/${plural}`)?.cache?.get(cacheKeyOf(namespace, name))?.object(),
  };
}
