import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { bootstrapCluster } from '#apiserver/bootstrap.ts';
import { DirectNodeConnector } from '#apiserver/direct-node-connector.ts';
import { type Identity, SYSTEM } from '#apiserver/identity.ts';
import { createSecurity } from '#apiserver/security.ts';
import { type ApiServer, startApiServer } from '#apiserver/server.ts';
import { type Clock, type Log, systemClock } from '#base/index.ts';
import { type Client, createClient, Informers, runControllers } from '#client/index.ts';
import { CustomKinds, coreControllers, ensureLocalPathClass, GarbageCollector, ownableKinds } from '#controllers/index.ts';
import type { Node } from '#kinds/node.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { ensureBridge } from '#net/bridge.ts';
import { ClusterPki, parseSigningRequest } from '#pki/index.ts';
import { Scheduler } from '#scheduler/index.ts';
import type { SqliteStore } from '#store/sqlite-store.ts';
import { openAudit } from './audit.ts';
import { type Config, derivedAddresses, joinAddress, pathsOf } from './config.ts';
import { openEncryptedStore, settleEncryption } from './encryption.ts';
import { Manifests } from './manifests.ts';
import { openRole, untilAborted } from './role.ts';
import { keepServerCertificates, writeAdminKubeconfig } from './server-certificates.ts';

export interface ServerOptions {
  config: Config;
  clock?: Clock;
  log: Log;
  /** Ends the server. */
  signal: AbortSignal;
}

/** The server process: store, API, controllers, scheduler. Builds them in order, runs until the signal, ends them in reverse. */
export async function runServer({ config, clock = systemClock, log, signal }: ServerOptions): Promise<void> {
  const paths = pathsOf(config);
  const { gateway, kubernetesService } = derivedAddresses(config);
  await using stack = new AsyncDisposableStack();
  const control = await openRole({ role: 'server', config, clock, log, signal, stack });
  mkdirSync(dirname(paths.store), { recursive: true, mode: 0o755 });
  const hosts = [gateway, kubernetesService, config.apiAddress.host, config.nodeName];
  const openPki = () => ClusterPki.open({ directory: paths.pki, clock, hosts });
  const [encrypted, pki] = await Promise.all([
    openEncryptedStore({ path: paths.store, keysPath: paths.encryptionKeys, clock, log: log.part('store') }),
    openPki(),
  ]);
  const { store } = encrypted;
  stack.use(store);
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const server = await startApi({ config, store, pki, openPki, clock, log, stack, onFailure: error => broken.reject(error) });
  stack.use(server);
  const kernel = new KernelChangeJournal({ holder: config.name });
  await ensureBridge({ instance: config.name, podCidr: config.podCidr, serviceCidr: config.serviceCidr, kernel });
  await server.addListener(gateway, server.listeners[0]?.port ?? config.apiAddress.port);
  const { host, port } = { host: config.apiAddress.host, port: server.listeners[0]?.port ?? config.apiAddress.port };
  await writeAdminKubeconfig(config, server, pki);

  const clientOf = (identity: Identity): Client => createClient(server.local(identity));
  const controller = (name: string): Identity => ({ name: `system:${name}`, groups: ['system:masters', 'system:authenticated'] });
  const endpoints = server.listeners.filter(({ address }) => address === gateway);
  const { serviceCidr } = config;
  await bootstrapCluster({ client: clientOf(SYSTEM), serviceAddress: kubernetesService, serviceCidr, endpoints });
  const client = clientOf(controller('kube-controller-manager'));
  await ensureLocalPathClass(client);
  const informers = stack.use(new Informers({ client, clock, log: log.part('informers') }));
  const schedulerClient = clientOf(controller('kube-scheduler'));
  control.say({ details: { api: joinAddress({ host, port }) } });
  const scheduler = stack.use(new Scheduler({ client: schedulerClient, informers, clock, log: log.part('scheduler') }));
  const kinds = ownableKinds(builtinKinds);
  const customKinds = stack.use(new CustomKinds({ client, informers, clock, log: log.part('custom-kinds') }));
  const garbage = stack.use(new GarbageCollector({ client, informers, kinds, customKinds, clock, log: log.part('garbage-collector') }));
  const caPem = pki.authority.certificate;
  const [controllers] = await Promise.all([
    runControllers({
      client,
      informers,
      controllers: coreControllers({ caPem, customKinds, loadBalancer: { pool: config.loadBalancerPool }, ...signersOf(pki) }),
      clock,
      log: log.part('controllers'),
    }),
    scheduler.start(),
    garbage.start(),
  ]);
  stack.use(controllers);
  await settleEncryption(encrypted, paths.encryptionKeys, log.part('store'));
  const transport = server.local(controller('manifests'));
  const manifests = stack.use(new Manifests({ folder: paths.manifests, transport, clock, log: log.part('manifests') }));
  await manifests.start();
  control.say({ state: 'ready' });
  log.info('the server is ready', { api: joinAddress({ host, port }) });
  // A lost store ends the process unasked, so that it is started again and reads the store anew.
  await Promise.race([untilAborted(signal), broken.promise]);
  control.say({ state: 'stopping' });
}

/** What controllers sign with. */
function signersOf({ authority, tokens }: ClusterPki) {
  return {
    signSecretToken: tokens.signLegacy.bind(tokens),
    certificateSigner: { read: parseSigningRequest, sign: authority.sign.bind(authority) },
  };
}

interface ApiParts {
  config: Config;
  store: SqliteStore;
  pki: ClusterPki;
  openPki: () => Promise<ClusterPki>;
  clock: Clock;
  log: Log;
  stack: AsyncDisposableStack;
  onFailure: (error: unknown) => void;
}

async function startApi({ config, store, pki, openPki, clock, log, stack, onFailure }: ApiParts): Promise<ApiServer> {
  const { promise, resolve } = Promise.withResolvers<ApiServer>();
  const connector = stack.use(
    new DirectNodeConnector({
      resolveNode: async name => {
        const node = (await promise).cluster.get('', 'nodes', { name }) as Node | undefined;
        const address = node?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
        const port = node?.status?.daemonEndpoints?.kubeletEndpoint?.Port;
        return address && port ? { address, port } : undefined;
      },
      authority: pki.authority.certificate,
      client: pki.kubeletClient,
    }),
  );
  const audit = await openAudit({ policyPath: config.auditPolicy, path: pathsOf(config).audit, clock, log: log.part('audit'), stack });
  const server = await startApiServer({
    store,
    kinds: builtinKinds,
    security: createSecurity({ clock, tokens: pki.tokens, authority: pki.authority.certificate }),
    tls: { cert: pki.apiServer.certificate, key: pki.apiServer.key },
    addresses: [{ address: config.apiAddress.host, port: config.apiAddress.port }],
    nodeConnector: connector,
    ...(audit && { audit }),
    serviceCidr: config.serviceCidr,
    nodePortRange: config.nodePortRange,
    onFailure,
    clock,
    log: log.part('apiserver'),
  });
  const keeping = { config, pki, reopen: openPki, server, connector, clock, log: log.part('certificates') };
  stack.use(keepServerCertificates(keeping));
  resolve(server);
  return server;
}
