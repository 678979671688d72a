import { Resolver } from 'node:dns/promises';
import { mkdirSync, readFileSync } from 'node:fs';
import { type Clock, type Log, systemClock } from '#base/index.ts';
import { createClient, EventRecorder, HttpsTransport, Informer } from '#client/index.ts';
import { startCri } from '#cri/index.ts';
import { type DockerRooms, hasNetworks, openDockerRooms, startDockerApi, toMirrored } from '#docker/index.ts';
import type { Finding } from '#engine/doctor/index.ts';
import { readBootId } from '#engine/host-facts.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import { applyMachine } from '#engine/machine.ts';
import { openEngine } from '#engine/open-engine.ts';
import { openImages } from '#images/images.ts';
import { proxyOf } from '#images/proxy.ts';
import { LOCAL_PATH_DIRECTORY } from '#kinds/local-path.ts';
import { Service } from '#kinds/service.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { ensureMemoryDirectory } from '#linux/memory-directory.ts';
import { Orphans } from '#linux/orphans.ts';
import { EmbeddedDns } from '#net/bridges/index.ts';
import { CniNetworks, LentRecords, PluginServer } from '#net/cni/index.ts';
import {
  DnsServer,
  ensureBridge,
  NetworkPool,
  NftTransactions,
  nameserversOf,
  PortReservations,
  parseResolvConf,
  RuleTable,
} from '#net/index.ts';
import { ClusterNetwork, HostPorts, reverseOf } from '#network/index.ts';
import {
  ClaimVolumes,
  handlersOf,
  hostAddressOf,
  LocalContainerPlanner,
  LocalHooks,
  LocalImagePuller,
  LocalPathDirectories,
  LocalProber,
  LocalVolumes,
  MirrorPods,
  type MirrorPodsOptions,
  NodeRegistration,
  ObjectSource,
  PodAgent,
  readTraits,
  SandboxPlanner,
  startKubeletServer,
  untilAnswering,
} from '#node/index.ts';
import { CertificateKeeper, type CertificatePair, ClusterPki } from '#pki/index.ts';
import { type Config, derivedAddresses, joinAddress, pathsOf } from './config.ts';
import { whenState } from './control-socket.ts';
import { openRole, untilAborted } from './role.ts';
import { countFindings, StartFindings } from './start-findings.ts';
import { VERSION } from './version.ts';

export interface AgentOptions {
  config: Config;
  clock?: Clock;
  log: Log;
  /** Ends the agent; containers go on. */
  signal: AbortSignal;
}

/** The agent process: engine, images, network, node and docker faces. Builds them in order, runs until the signal, ends them in reverse. */
export async function runAgent({ config, clock = systemClock, log, signal }: AgentOptions): Promise<void> {
  const paths = pathsOf(config);
  await using stack = new AsyncDisposableStack();
  stack.use(new Orphans());
  const control = await openRole({ role: 'agent', config, clock, log, signal, stack });
  for (const directory of [paths.podLogs, paths.volumes]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  const dns = stack.use(new EmbeddedDns());
  if (hasNetworks(config.dataDir)) dns.start(); // beside the engine, that names are back at once
  const machine = await startMachine({ config, clock, log, stack });
  const { networks: pool, lentRecords: records, bridge } = machine;
  stack.use(await PluginServer.listen({ socketPath: paths.cniSocket, records, pool, bridge }));
  const docker = { socketPath: paths.dockerSocket, images: machine.images, version: VERSION, clock, log: log.part('docker') };
  const { name: instance, dataDir, runDir, podCidr, serviceCidr, resolvConf } = config;
  const network = { instance, podCidr, serviceCidr, resolvConf, dns, ...machine };
  const rooms = stack.use(await openDockerRooms({ ...docker, dataDir, runDir, engine: machine.engine, network }));
  stack.use(await startDockerApi({ ...docker, ...rooms, listeners: config.docker, daemon: daemonFacts(config, machine.engine) }));
  stack.use(await openCri({ config, machine, clock, log }));
  try {
    await whenState(paths.control('server'), { accept: ({ details }) => details?.api !== undefined, signal });
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  const { problems, ...node } = await joinCluster({ config, machine, docker: rooms, clock, log, stack });
  const details = { docker: paths.dockerSocket, cri: paths.criSocket, node: config.nodeName, ...node };
  control.say({ state: 'ready', details });
  log.info('the agent is ready', { node: config.nodeName, ...node });
  const tell = (findings: readonly Finding[]) => {
    control.say({ details: { ...details, doctor: countFindings(findings) } });
    problems?.(findings.filter(({ state }) => state === 'missing').map(({ about, says }) => `${about}: ${says}`));
  };
  stack.use(new StartFindings({ config, bootId: process.env.UMIAK_BOOT_ID ?? readBootId(), tell, clock, log: log.part('doctor') }));
  await untilAborted(signal);
  control.say({ state: 'stopping' });
}

interface Parts {
  config: Config;
  clock: Clock;
  log: Log;
  stack: AsyncDisposableStack;
}

/** What docker's `info` tells of this agent. */
function daemonFacts({ dataDir, cgroupDriver, runtime, insecureRegistries, proxy }: Config, engine: LocalEngine) {
  const runtimes = engine.runtimeHandlers();
  return { dataDir, cgroupDriver, defaultRuntime: runtime, runtimes, insecureRegistries, proxy: { ...proxyOf(process.env), ...proxy } };
}

/** What needs no cluster: the bridge, the pool of networks, images, the engine. */
export async function startMachine({ config, clock, log, stack }: Parts) {
  const { name: instance, dataDir, runDir, podCidr, serviceCidr } = config;
  const kernel = new KernelChangeJournal({ holder: instance });
  await applyMachine(kernel);
  // Another boot's id, for tests of a reboot.
  const bootId = process.env.UMIAK_BOOT_ID ? { bootId: process.env.UMIAK_BOOT_ID } : {};
  const bridge = await ensureBridge({ instance, podCidr, serviceCidr, kernel });
  const lentRecords = new LentRecords(pathsOf(config).cniLent);
  const lent = lentRecords.all.filter(({ phase }) => phase === 'made').map(({ link }) => link);
  const networks = stack.use(new NetworkPool({ instance, runDir, podCidr, bridge, lent, clock }));
  const nft = stack.use(new NftTransactions({ clock }));
  const rules = new RuleTable({ nft, config: { instance, podCidr, clusterCidr: podCidr, serviceCidr } });
  const hasRules = rules.ensure();
  hasRules.catch(() => {}); // awaited below
  const reservations = stack.use(new PortReservations());
  const cni = new CniNetworks({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDirs,
    cacheDir: pathsOf(config).cniCache,
    log: log.part('cni'),
  });
  let engine: LocalEngine | undefined;
  const imageChanges = new Set<() => void>();
  const imageUsers = new Set<(id: string) => boolean>();
  // Bundles and the runtime's state: a dozen small files a start, gone with the machine's boot anyway.
  ensureMemoryDirectory(`${runDir}/engine`, { mode: 0o711 });
  const images = stack.use(
    await openImages({
      dataDir,
      log: log.part('images'),
      clock,
      hosts: Object.fromEntries(config.insecureRegistries.map(host => [host, { insecure: true }])),
      registryConfig: config.registryConfig,
      ...(config.maxLayerBytes > 0 ? { unpackLimits: { bytes: config.maxLayerBytes } } : {}),
      proxy: { ...proxyOf(process.env), ...config.proxy },
      ...bootId,
      isInUse: id => (engine?.usesImage(id) ?? true) || [...imageUsers].some(uses => uses(id)),
      onChange: () => {
        for (const tell of imageChanges) tell();
      },
    }),
  );
  engine = stack.use(
    await openEngine({
      dataDir,
      runDir,
      instance,
      images: {
        async resolve(reference) {
          const record = await images.inspect(reference);
          const lowerDirs = await images.ensureUnpacked(record.id);
          return { imageId: record.id, reference: record.repoTags[0] ?? record.id, config: record.config.config ?? {}, lowerDirs };
        },
      },
      networks,
      cni,
      runtime: config.runtime,
      runtimes: config.runtimes,
      cgroupDriver: config.cgroupDriver,
      snapshotter: config.snapshotter,
      ...bootId,
      clock,
      log: log.part('engine'),
    }),
  );
  await hasRules;
  return { kernel, bridge, networks, nft, rules, reservations, lentRecords, cni, images, imageChanges, imageUsers, engine };
}

/** The engine's CRI face; what serves it is loaded with its first connection. */
function openCri({ config, machine, clock, log }: Omit<JoinParts, 'stack' | 'docker'>): Promise<AsyncDisposable> {
  const { engine, images, cni } = machine;
  return startCri({
    socketPath: pathsOf(config).criSocket,
    engine,
    images,
    version: VERSION,
    scope: config.nodeAgent === 'own' ? 'all' : 'cri',
    network: config.criNetwork,
    networkStatus: async () => (config.criNetwork === 'cni' ? await cni.status() : { isReady: true, reason: '', message: '' }),
    resolvConf: config.resolvConf,
    dataDir: config.dataDir,
    clock,
    log: log.part('cri'),
  });
}

interface JoinParts extends Parts {
  machine: Awaited<ReturnType<typeof startMachine>>;
  docker: DockerRooms;
}

interface Joined {
  /** Absent where a foreign kubelet runs the machine's pods. */
  kubelet?: string;
  dns: string;
  /** Tells what the machine lacks, on the Node; absent where a foreign kubelet speaks for it. */
  problems?: (found: readonly string[]) => void;
}

/**
 * What makes this machine a node: Services' rules, DNS, pods, the node's HTTPS API; at last the Node object says Ready. Where a foreign kubelet runs the
 * pods, it has the Node object and the HTTPS API too, and we have the network.
 */
async function joinCluster({ config, machine, docker, clock, log, stack }: JoinParts): Promise<Joined> {
  const { engine, images, imageChanges, imageUsers, bridge, rules, reservations } = machine;
  const { nodeName, clusterDomain, podCidr, serviceCidr } = config;
  const paths = pathsOf(config);
  const { kubernetesService } = derivedAddresses(config);
  const hostAddress = hostAddressOf(bridge.gateway);
  const pki = await ClusterPki.open({
    directory: paths.pki,
    clock,
    hosts: [bridge.gateway, kubernetesService, config.apiAddress.host, nodeName],
  });
  const issue = () => pki.node(nodeName, [hostAddress, bridge.gateway, '127.0.0.1']);
  const credentials = await issue();
  const transport = stack.use(
    new HttpsTransport({
      server: `https://${joinAddress(config.apiAddress)}`,
      ca: pki.authority.certificate,
      cert: credentials.client.certificate,
      key: credentials.client.key,
      userAgent: `kubelet/${VERSION} (umiak agent)`,
      connections: 8,
    }),
  );
  const client = createClient(transport);
  const events = new EventRecorder({ client, component: 'kubelet', host: nodeName, clock, log: log.part('events') });

  const resolvConf = readFileSync(config.resolvConf, 'utf8');
  const dns = stack.use(
    await DnsServer.listen({
      address: bridge.gateway,
      zones: [clusterDomain, ...[podCidr, serviceCidr].map(cidr => reverseZoneOf(cidr))],
      upstreams: nameserversOf(resolvConf, bridge.gateway),
    }),
  );
  const network = stack.use(
    new ClusterNetwork({
      client,
      nodeName,
      domain: clusterDomain,
      rules,
      dns,
      onRefused: (service, message) => events.warning(service, 'FailedToStartServiceHealthcheck', message),
      clock,
      log: log.part('network'),
    }),
  );

  const hostPorts = stack.use(
    new HostPorts({
      engine,
      rules,
      reservations,
      log: log.part('network'),
      onRefused: ({ config: { metadata } }, message) => {
        const about = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, resourceVersion: '', creationTimestamp: '' } };
        events.warning(about, 'HostPortConflict', message);
      },
    }),
  );

  const dnsAddress = joinAddress({ host: bridge.gateway, port: dns.port });
  const untilServing = () =>
    untilAnswering({ DNS: () => askDns(dnsAddress, clusterDomain), runtime: () => engine.runtimeReady() }, { clock });
  const renewing = { clock, log: log.part('certificates'), pairs: Object.values(credentials) };
  const renew = async (take?: (server: CertificatePair) => void) => {
    const fresh = await issue();
    transport.setClientCertificate({ cert: fresh.client.certificate, key: fresh.client.key });
    take?.(fresh.server);
    return Object.values(fresh);
  };
  if (config.nodeAgent === 'external') {
    stack.use(new CertificateKeeper({ ...renewing, renew: () => renew() }));
    await network.start();
    await hostPorts.start();
    await untilServing();
    return { dns: dnsAddress };
  }

  const traits = readTraits(config.swapBehavior);
  const facts = { nodeName, hostAddress, allocatable: {}, traits };
  const objects = stack.use(new ObjectSource({ client, clock, log: log.part('node') }));
  const services = stack.use(new Informer({ client, kind: Service, clock, log }));
  const registration = stack.use(
    new NodeRegistration({
      client,
      nodeName,
      hostAddress,
      dataDir: config.dataDir,
      annotations: { [LOCAL_PATH_DIRECTORY]: paths.storage },
      version: VERSION,
      handlers: () => handlersOf(engine),
      images: async () =>
        (await images.list()).map(({ repoTags, repoDigests, sizeBytes }) => ({ names: [...repoTags, ...repoDigests], sizeBytes })),
      clock,
      log: log.part('node'),
    }),
  );
  facts.allocatable = registration.allocatable;
  const providers = await openCredentialProviders(config, clock);
  let agent: PodAgent | undefined;
  const touch = (uid: string) => agent?.touch(uid);
  const directories = stack.use(new LocalPathDirectories({ directory: paths.storage, nodeName, client, clock, log: log.part('volumes') }));
  const volumes = stack.use(
    new LocalVolumes({
      directory: paths.volumes,
      client,
      objects,
      claims: new ClaimVolumes({ client, nodeName, directories }),
      images,
      facts,
      onChange: uid => agent?.retry(uid),
      clock,
      log: log.part('volumes'),
    }),
  );
  imageUsers.add(id => volumes.usesImage(id));
  const prober = stack.use(new LocalProber({ engine, clock, log: log.part('prober'), events, onVerdict: touch }));
  agent = stack.use(
    new PodAgent({
      nodeName,
      client,
      engine,
      volumes,
      prober,
      planner: new LocalContainerPlanner({
        objects,
        services: () => services.list(),
        facts,
        podDirectory: paths.volumes,
        onChange: uid => agent?.retry(uid),
      }),
      sandboxes: new SandboxPlanner({
        clusterDns: bridge.gateway,
        clusterDomain,
        hostDns: parseResolvConf(resolvConf),
        podLogDirectory: paths.podLogs,
      }),
      images: new LocalImagePuller({ images, objects, events, clock, ...(providers ? { providers } : {}) }),
      hooks: new LocalHooks({ engine, podDirectory: paths.volumes }),
      hostAddress,
      allocatable: registration.allocatable,
      traits,
      allowedUnsafeSysctls: config.allowedUnsafeSysctls,
      pidsLimit: config.podPidsLimit || undefined,
      clock,
      log: log.part('node'),
    }),
  );
  imageChanges.add(() => {
    registration.imagesChanged();
    agent?.imagesChanged();
  });
  const kubelet = stack.use(
    await startKubeletServer({
      address: hostAddress,
      port: 0,
      tls: credentials.server,
      checkpointDirectory: paths.checkpoints,
      authority: pki.authority.certificate,
      pods: agent,
      engine,
      log: log.part('kubelet'),
    }),
  );
  stack.use(new CertificateKeeper({ ...renewing, renew: () => renew(server => kubelet.setCertificate(server)) }));
  await Promise.all([network.start(), services.start(), registration.start({ kubeletPort: kubelet.port })]);
  await hostPorts.start();
  await Promise.all([agent.start(), directories.start(), untilServing()]);
  const mirrors = stack.use(mirrorDocker({ docker, machine, client, nodeName, hostAddress, clock, log: log.part('mirror-pods') }));
  await Promise.all([mirrors.start(), registration.markReady()]);
  const problems = (found: readonly string[]) => {
    registration.problemsFound(found);
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: nodeName, uid: nodeName, resourceVersion: '', creationTimestamp: '' },
    };
    for (const problem of found) events.warning(node, 'MachineLacks', problem);
  };
  return { kubelet: joinAddress({ host: hostAddress, port: kubelet.port }), dns: dnsAddress, problems };
}

/** Docker's containers as Pods. */
function mirrorDocker({
  docker: { containers, supervision, journal },
  machine: { engine },
  ...options
}: Pick<JoinParts, 'docker' | 'machine'> & Omit<MirrorPodsOptions, 'engine' | 'describe' | 'stop' | 'changes'>): MirrorPods {
  return new MirrorPods({
    ...options,
    engine,
    describe: ({ id }) => toMirrored(containers.find(id), supervision),
    stop: async (id, seconds) => void (await containers.stop(id, { seconds })),
    changes: hear => journal.follow(({ type, id }) => type === 'container' && hear(id)),
  });
}

/** Asks the cluster's DNS server for the API's own Service. */
async function askDns(server: string, clusterDomain: string): Promise<void> {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([server]);
  await resolver.resolve4(`kubernetes.default.svc.${clusterDomain}`);
}

/** `42.10.in-addr.arpa` for 10.42.0.0/16: the zone of the whole bytes of a network. */
function reverseZoneOf(cidr: string): string {
  const [address = '', length = '32'] = cidr.split('/');
  return reverseOf(address)
    .split('.')
    .slice(4 - Math.floor(Number(length) / 8))
    .join('.');
}

/** The kubelet's plugins for registries' logins, where the configuration names any. */
async function openCredentialProviders({ imageCredentialProviders }: Config, clock: Clock) {
  if (imageCredentialProviders.config === '') return undefined;
  const { CredentialProviders } = await import('#node/credential-providers.ts');
  return await CredentialProviders.open({ ...imageCredentialProviders, clock });
}
