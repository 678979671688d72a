import { existsSync, readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { checkTcp, type DockerListeners, type DockerTcp, isLoopbackAddress } from '#docker/tcp-address.ts';
import type { CgroupDriver } from '#engine/cgroups.ts';
import { type RuntimeHandlers, toRuntimeHandlers } from '#engine/runtime-handlers.ts';
import { contains, gatewayOf, parseCidr, toAddress } from '#net/ipv4.ts';

/** What one instance is: read once, then handed to every part by its composition root. */
export interface Config {
  /** Prefix of bridges, nft tables and cgroups, so that instances live side by side. */
  name: string;
  dataDir: string;
  runDir: string;
  apiAddress: { host: string; port: number };
  registryAddress: { host: string; port: number };
  podCidr: string;
  serviceCidr: string;
  nodePortRange: { first: number; last: number };
  /** Addresses for Services of type LoadBalancer; none: the nodes' own. */
  loadBalancerPool: string[];
  nodeName: string;
  /** The runtime handler of pods that ask for none. */
  runtime: string;
  /** Runtime handlers by name, the built-in ones too. */
  runtimes: RuntimeHandlers;
  /** Who makes containers' control groups. */
  cgroupDriver: CgroupDriver;
  /** How containers get their root file systems; `auto`: by overlayfs, by copies where that can't be. */
  snapshotter: 'auto' | 'overlay' | 'copy';
  /** Processes and threads that a pod's container may have; 0: any number. */
  podPidsLimit: number;
  clusterDomain: string;
  /** Hosts of registries that are spoken to without TLS, besides loopback. */
  insecureRegistries: string[];
  /** Folder with registries' `hosts.toml`, as containerd knows it; need not be there. */
  registryConfig: string;
  /** Content of an image's layer, unpacked; 0: what the disk has room for. */
  maxLayerBytes: number;
  /** For requests to registries; what is not set here the environment of the agent says. */
  proxy: { http?: string; https?: string; no?: string };
  /** The kubelet's credential provider plugins; empty: none. */
  imageCredentialProviders: { config: string; binDir: string };
  /** Names the DNS servers that are asked for names outside the cluster, and what pods with `dnsPolicy: Default` see. */
  resolvConf: string;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** File with an `audit.k8s.io/v1` Policy; empty: no request is written down. */
  auditPolicy: string;
  /** Who drives this machine: our node agent, or a foreign kubelet by `cri.sock`. */
  nodeAgent: 'own' | 'external';
  /** Sysctls beyond the safe ones that pods may set, by name or with `*` at the end. */
  allowedUnsafeSysctls: string[];
  /** Whether pods may swap, as the kubelet's `memorySwap.swapBehavior`. */
  swapBehavior: 'NoSwap' | 'LimitedSwap';
  /** Where a foreign kubelet's pods have their network from: our pool, or the machine's CNI configuration and plugins. */
  criNetwork: 'pod' | 'cni';
  cniConfDir: string;
  /** Where CNI plugins are, the first one first. */
  cniBinDirs: string[];
  /** Where docker's clients may come besides the instance's own socket. */
  docker: DockerListeners;
}

/** One setting: its flag, its variable, its default. The flag wins over the variable, the variable over the file. */
interface Setting {
  key: string;
  flag: string;
  variable: string;
  fallback: string;
  about: string;
}

export const settings: readonly Setting[] = [
  { key: 'name', flag: '--name', variable: 'UMIAK_NAME', fallback: 'umiak', about: 'name of the instance, prefix of all it makes' },
  {
    key: 'dataDir',
    flag: '--data-dir',
    variable: 'UMIAK_DATA_DIR',
    fallback: '/var/lib/umiak',
    about: 'where everything that lasts is kept',
  },
  {
    key: 'runDir',
    flag: '--run-dir',
    variable: 'UMIAK_RUN_DIR',
    fallback: '/run/umiak',
    about: 'sockets, locks and state that a reboot ends',
  },
  {
    key: 'apiAddress',
    flag: '--api-address',
    variable: 'UMIAK_API_ADDRESS',
    fallback: '127.0.0.1:6443',
    about: 'where the Kubernetes API listens',
  },
  {
    key: 'registryAddress',
    flag: '--registry-address',
    variable: 'UMIAK_REGISTRY_ADDRESS',
    fallback: '127.0.0.1:5000',
    about: 'where the registry listens',
  },
  { key: 'podCidr', flag: '--pod-cidr', variable: 'UMIAK_POD_CIDR', fallback: '10.42.0.0/16', about: "pods' addresses" },
  { key: 'serviceCidr', flag: '--service-cidr', variable: 'UMIAK_SERVICE_CIDR', fallback: '10.43.0.0/16', about: "Services' addresses" },
  {
    key: 'nodePortRange',
    flag: '--node-port-range',
    variable: 'UMIAK_NODE_PORT_RANGE',
    fallback: '30000-32767',
    about: 'ports for NodePort Services',
  },
  {
    key: 'loadBalancerPool',
    flag: '--load-balancer-pool',
    variable: 'UMIAK_LOAD_BALANCER_POOL',
    fallback: '',
    about: "addresses and networks for LoadBalancer Services, by comma (default: the nodes' own)",
  },
  {
    key: 'nodeName',
    flag: '--node-name',
    variable: 'UMIAK_NODE_NAME',
    fallback: '',
    about: "this machine's name in the cluster (default: its host name)",
  },
  {
    key: 'runtime',
    flag: '--runtime',
    variable: 'UMIAK_RUNTIME',
    fallback: 'crun',
    about: 'OCI runtime of pods that ask for none: crun, runc, runsc or one of --runtimes',
  },
  {
    key: 'snapshotter',
    flag: '--snapshotter',
    variable: 'UMIAK_SNAPSHOTTER',
    fallback: 'auto',
    about: "containers' root file systems: overlay, copy, or auto: overlay, and copies where that can't be",
  },
  {
    key: 'runtimes',
    flag: '--runtimes',
    variable: 'UMIAK_RUNTIMES',
    fallback: '',
    about: 'further handlers of RuntimeClasses, {"NAME": {"type": "crun|runc|runsc|oci", "path": …, "args": […]}}',
  },
  {
    key: 'podPidsLimit',
    flag: '--pod-pids-limit',
    variable: 'UMIAK_POD_PIDS_LIMIT',
    fallback: '4096',
    about: "processes and threads that each of a pod's containers may have; 0: any number",
  },
  {
    key: 'cgroupDriver',
    flag: '--cgroup-driver',
    variable: 'UMIAK_CGROUP_DRIVER',
    fallback: 'auto',
    about: 'who makes control groups: cgroupfs (auto) or systemd',
  },
  { key: 'logLevel', flag: '--log-level', variable: 'UMIAK_LOG_LEVEL', fallback: 'info', about: 'debug, info, warn or error' },
  {
    key: 'auditPolicy',
    flag: '--audit-policy',
    variable: 'UMIAK_AUDIT_POLICY',
    fallback: '',
    about: 'file with an audit.k8s.io/v1 Policy: requests are written to logs/audit.log as it says',
  },
  {
    key: 'nodeAgent',
    flag: '--node-agent',
    variable: 'UMIAK_NODE_AGENT',
    fallback: 'own',
    about: 'who runs pods of the cluster here: own, or external (a kubelet over cri.sock)',
  },
  {
    key: 'allowedUnsafeSysctls',
    flag: '--allowed-unsafe-sysctls',
    variable: 'UMIAK_ALLOWED_UNSAFE_SYSCTLS',
    fallback: '',
    about: 'sysctls beyond the safe ones that pods may set, by comma: net.core.somaxconn,kernel.msg*',
  },
  {
    key: 'swapBehavior',
    flag: '--swap-behavior',
    variable: 'UMIAK_SWAP_BEHAVIOR',
    fallback: 'NoSwap',
    about: 'NoSwap, or LimitedSwap: burstable pods swap by their share of memory',
  },
  {
    key: 'criNetwork',
    flag: '--cri-network',
    variable: 'UMIAK_CRI_NETWORK',
    fallback: 'pod',
    about: "network of sandboxes made over cri.sock: pod (ours) or cni (the machine's)",
  },
  {
    key: 'cniConfDir',
    flag: '--cni-conf-dir',
    variable: 'UMIAK_CNI_CONF_DIR',
    fallback: '/etc/cni/net.d',
    about: 'folder with CNI configurations; the first valid one counts',
  },
  {
    key: 'cniBinDirs',
    flag: '--cni-bin-dirs',
    variable: 'UMIAK_CNI_BIN_DIRS',
    fallback: '/opt/cni/bin:/usr/lib/cni',
    about: 'folders with CNI plugins, by colon',
  },
  {
    key: 'dockerSocket',
    flag: '--docker-socket',
    variable: 'UMIAK_DOCKER_SOCKET',
    fallback: '',
    about: "further place of docker's socket, for clients that look there: /var/run/docker.sock",
  },
  {
    key: 'dockerAddress',
    flag: '--docker-address',
    variable: 'UMIAK_DOCKER_ADDRESS',
    fallback: '',
    about: "where docker's API listens besides its socket, with TLS: 0.0.0.0:2376",
  },
  {
    key: 'dockerTlsCert',
    flag: '--docker-tls-cert',
    variable: 'UMIAK_DOCKER_TLS_CERT',
    fallback: '',
    about: 'PEM file with the certificate of --docker-address',
  },
  {
    key: 'dockerTlsKey',
    flag: '--docker-tls-key',
    variable: 'UMIAK_DOCKER_TLS_KEY',
    fallback: '',
    about: 'PEM file with its key',
  },
  {
    key: 'dockerTlsClientCa',
    flag: '--docker-tls-client-ca',
    variable: 'UMIAK_DOCKER_TLS_CLIENT_CA',
    fallback: '',
    about: 'PEM file with the authority whose clients may come; each is root on this machine',
  },
  {
    key: 'dockerPlain',
    flag: '--docker-plain',
    variable: 'UMIAK_DOCKER_PLAIN',
    fallback: 'no',
    about: 'loopback: --docker-address without TLS, on a loopback address; whoever reaches it is root',
  },
  {
    key: 'insecureRegistries',
    flag: '--insecure-registries',
    variable: 'UMIAK_INSECURE_REGISTRIES',
    fallback: '',
    about: 'registries without TLS, by comma',
  },
  {
    key: 'registryConfig',
    flag: '--registry-config',
    variable: 'UMIAK_REGISTRY_CONFIG',
    fallback: '',
    about: "folder with registries' hosts.toml: mirrors, authorities (default: certs.d in the data directory)",
  },
  {
    key: 'maxLayerBytes',
    flag: '--max-layer-bytes',
    variable: 'UMIAK_MAX_LAYER_BYTES',
    fallback: '0',
    about: 'bytes that one layer of an image may unpack to; 0: what the disk has room for, less 2 %',
  },
  {
    key: 'httpProxy',
    flag: '--http-proxy',
    variable: 'UMIAK_HTTP_PROXY',
    fallback: '',
    about: 'proxy for registries without TLS (default: HTTP_PROXY)',
  },
  {
    key: 'httpsProxy',
    flag: '--https-proxy',
    variable: 'UMIAK_HTTPS_PROXY',
    fallback: '',
    about: 'proxy for registries with TLS (default: HTTPS_PROXY)',
  },
  {
    key: 'noProxy',
    flag: '--no-proxy',
    variable: 'UMIAK_NO_PROXY',
    fallback: '',
    about: 'hosts, addresses and networks without proxy, by comma (default: NO_PROXY)',
  },
  {
    key: 'imageCredentialProviderConfig',
    flag: '--image-credential-provider-config',
    variable: 'UMIAK_IMAGE_CREDENTIAL_PROVIDER_CONFIG',
    fallback: '',
    about: "file with a CredentialProviderConfig: programs that know registries' logins, as the kubelet's",
  },
  {
    key: 'imageCredentialProviderBinDir',
    flag: '--image-credential-provider-bin-dir',
    variable: 'UMIAK_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR',
    fallback: '/usr/libexec/kubernetes/kubelet-plugins/credential-provider/exec',
    about: 'folder with these programs',
  },
  {
    key: 'resolvConf',
    flag: '--resolv-conf',
    variable: 'UMIAK_RESOLV_CONF',
    fallback: '/etc/resolv.conf',
    about: 'names the DNS servers for names outside the cluster',
  },
];

const CONFIG_FILE = '/etc/umiak/config.yaml';

/**
 * Reads flags (by setting key), environment and the config file.
 * @throws `Invalid` naming the setting and what it may be
 */
export async function readConfig(flags: Record<string, string | undefined>, env: NodeJS.ProcessEnv = process.env): Promise<Config> {
  const file = await readConfigFile(flags.config ?? env.UMIAK_CONFIG);
  const value = (key: string): string => {
    const setting = settings.find(each => each.key === key);
    return flags[key] ?? env[setting?.variable ?? ''] ?? file[key] ?? setting?.fallback ?? '';
  };
  const runtimes = parseRuntimes(value('runtimes'));
  const config: Config = {
    name: value('name'),
    dataDir: resolve(value('dataDir')),
    runDir: resolve(value('runDir')),
    apiAddress: parseAddress('apiAddress', value('apiAddress')),
    registryAddress: parseAddress('registryAddress', value('registryAddress')),
    podCidr: value('podCidr'),
    serviceCidr: value('serviceCidr'),
    nodePortRange: parseRange(value('nodePortRange')),
    loadBalancerPool: parsePool(value('loadBalancerPool')),
    nodeName: (value('nodeName') || hostname()).toLowerCase(),
    runtime: oneOf('runtime', value('runtime'), Object.keys(runtimes)),
    runtimes,
    cgroupDriver: chooseDriver(oneOf('cgroupDriver', value('cgroupDriver'), ['auto', 'cgroupfs', 'systemd'])),
    snapshotter: oneOf('snapshotter', value('snapshotter'), ['auto', 'overlay', 'copy']),
    podPidsLimit: parseCount('podPidsLimit', value('podPidsLimit')),
    clusterDomain: 'cluster.local',
    insecureRegistries: value('insecureRegistries').split(',').filter(Boolean),
    registryConfig: resolve(value('registryConfig') || join(value('dataDir'), 'certs.d')),
    maxLayerBytes: parseCount('maxLayerBytes', value('maxLayerBytes'), 2 ** 49),
    proxy: {
      ...(value('httpProxy') ? { http: parseProxy('httpProxy', value('httpProxy')) } : {}),
      ...(value('httpsProxy') ? { https: parseProxy('httpsProxy', value('httpsProxy')) } : {}),
      ...(value('noProxy') ? { no: value('noProxy') } : {}),
    },
    imageCredentialProviders: {
      config: value('imageCredentialProviderConfig') && resolve(value('imageCredentialProviderConfig')),
      binDir: resolve(value('imageCredentialProviderBinDir')),
    },
    resolvConf: resolve(value('resolvConf')),
    logLevel: oneOf('logLevel', value('logLevel'), ['debug', 'info', 'warn', 'error']),
    auditPolicy: value('auditPolicy') && resolve(value('auditPolicy')),
    nodeAgent: oneOf('nodeAgent', value('nodeAgent'), ['own', 'external']),
    allowedUnsafeSysctls: value('allowedUnsafeSysctls').split(',').filter(Boolean),
    swapBehavior: oneOf('swapBehavior', value('swapBehavior'), ['NoSwap', 'LimitedSwap']),
    criNetwork: oneOf('criNetwork', value('criNetwork'), ['pod', 'cni']),
    cniConfDir: resolve(value('cniConfDir')),
    cniBinDirs: value('cniBinDirs')
      .split(/[:,]/) // a list in the file comes by comma
      .filter(Boolean)
      .map(directory => resolve(directory)),
    docker: {
      socketPath: value('dockerSocket') ? resolve(value('dockerSocket')) : undefined,
      tcp: parseDockerTcp(value),
    },
  };
  check(config);
  return config;
}

/** Flags and variables that give a child process the same configuration. */
export function toEnvironment(config: Config): Record<string, string> {
  const { apiAddress, registryAddress, nodePortRange } = config;
  return {
    UMIAK_NAME: config.name,
    UMIAK_DATA_DIR: config.dataDir,
    UMIAK_RUN_DIR: config.runDir,
    UMIAK_API_ADDRESS: joinAddress(apiAddress),
    UMIAK_REGISTRY_ADDRESS: joinAddress(registryAddress),
    UMIAK_POD_CIDR: config.podCidr,
    UMIAK_SERVICE_CIDR: config.serviceCidr,
    UMIAK_NODE_PORT_RANGE: `${nodePortRange.first}-${nodePortRange.last}`,
    UMIAK_LOAD_BALANCER_POOL: config.loadBalancerPool.join(','),
    UMIAK_NODE_NAME: config.nodeName,
    UMIAK_RUNTIME: config.runtime,
    UMIAK_CGROUP_DRIVER: config.cgroupDriver,
    UMIAK_RUNTIMES: JSON.stringify(config.runtimes),
    UMIAK_SNAPSHOTTER: config.snapshotter,
    UMIAK_POD_PIDS_LIMIT: String(config.podPidsLimit),
    UMIAK_LOG_LEVEL: config.logLevel,
    UMIAK_AUDIT_POLICY: config.auditPolicy,
    UMIAK_INSECURE_REGISTRIES: config.insecureRegistries.join(','),
    UMIAK_REGISTRY_CONFIG: config.registryConfig,
    UMIAK_MAX_LAYER_BYTES: String(config.maxLayerBytes),
    UMIAK_HTTP_PROXY: config.proxy.http ?? '',
    UMIAK_HTTPS_PROXY: config.proxy.https ?? '',
    UMIAK_NO_PROXY: config.proxy.no ?? '',
    UMIAK_IMAGE_CREDENTIAL_PROVIDER_CONFIG: config.imageCredentialProviders.config,
    UMIAK_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR: config.imageCredentialProviders.binDir,
    UMIAK_RESOLV_CONF: config.resolvConf,
    UMIAK_NODE_AGENT: config.nodeAgent,
    UMIAK_ALLOWED_UNSAFE_SYSCTLS: config.allowedUnsafeSysctls.join(','),
    UMIAK_SWAP_BEHAVIOR: config.swapBehavior,
    UMIAK_CRI_NETWORK: config.criNetwork,
    UMIAK_CNI_CONF_DIR: config.cniConfDir,
    UMIAK_CNI_BIN_DIRS: config.cniBinDirs.join(':'),
    ...toDockerEnvironment(config.docker),
  };
}

function toDockerEnvironment({ socketPath = '', tcp }: DockerListeners): Record<string, string> {
  return {
    UMIAK_DOCKER_SOCKET: socketPath,
    UMIAK_DOCKER_ADDRESS: tcp ? joinAddress(tcp) : '',
    UMIAK_DOCKER_TLS_CERT: tcp?.tls?.certificate ?? '',
    UMIAK_DOCKER_TLS_KEY: tcp?.tls?.key ?? '',
    UMIAK_DOCKER_TLS_CLIENT_CA: tcp?.tls?.clientCa ?? '',
    UMIAK_DOCKER_PLAIN: tcp && !tcp.tls ? 'loopback' : 'no',
  };
}

export function joinAddress({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Addresses that the instance derives from its networks. */
export function derivedAddresses({ podCidr, serviceCidr }: Config): { gateway: string; kubernetesService: string; dnsService: string } {
  return {
    gateway: gatewayOf(podCidr),
    kubernetesService: gatewayOf(serviceCidr),
    dnsService: toAddress(parseCidr(serviceCidr).base + 10),
  };
}

async function readConfigFile(path: string | undefined): Promise<Record<string, string>> {
  const from = path ?? CONFIG_FILE;
  if (!existsSync(from)) {
    if (path) throw new UmiakError('NotFound', `the configuration file ${path} does not exist`);
    return {};
  }
  const { parse } = await import('#base/yaml.ts');
  const content: unknown = parse(readFileSync(from, 'utf8')) ?? {};
  if (typeof content !== 'object' || Array.isArray(content)) throw invalid(from, 'must be a map of settings', from);
  const known = new Set(settings.map(({ key }) => key));
  for (const key of Object.keys(content ?? {}))
    if (!known.has(key)) throw invalid(key, `is no setting; there are ${[...known].join(', ')}`, from);
  return Object.fromEntries(Object.entries(content ?? {}).map(([key, value]) => [key, toText(value)]));
}

/** As a flag would say it. */
function toText(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '');
}

function parseCount(key: string, text: string, most = 999_999_999): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) > most) throw invalid(key, 'must be a whole number', text);
  return Number(text);
}

/** The one that is tested on whole machines, unless systemd is asked for. */
function chooseDriver(asked: CgroupDriver | 'auto'): CgroupDriver {
  return asked === 'systemd' ? 'systemd' : 'cgroupfs';
}

function parseRuntimes(text: string): RuntimeHandlers {
  let configured: unknown;
  try {
    configured = text === '' ? undefined : JSON.parse(text);
  } catch {
    throw invalid('runtimes', 'must be a map, written as JSON', text);
  }
  return toRuntimeHandlers(configured);
}

function check(config: Config): void {
  if (!/^[a-z][a-z0-9]{0,9}$/.test(config.name))
    throw invalid('name', 'must be 1 to 10 lower-case letters and digits, a letter first', config.name);
  for (const key of ['podCidr', 'serviceCidr'] as const) {
    parseCidr(config[key]);
    if (Number(config[key].split('/')[1]) > 24) throw invalid(key, 'must be a network of /24 or larger', config[key]);
  }
  const pods = parseCidr(config.podCidr);
  const services = parseCidr(config.serviceCidr);
  if (contains(pods, gatewayOf(config.serviceCidr)) || contains(services, gatewayOf(config.podCidr))) {
    throw invalid('serviceCidr', `must not overlap with podCidr ${config.podCidr}`, config.serviceCidr);
  }
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(config.nodeName))
    throw invalid('nodeName', 'must be a DNS subdomain', config.nodeName);
}

function parseAddress(key: string, text: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (!found || port > 65_535) throw invalid(key, 'must be HOST:PORT', text);
  return { host: found[1] ?? found[2] ?? '', port };
}

/** All three files, or on loopback none if that is said, too. */
function parseDockerTcp(value: (key: string) => string): DockerTcp | undefined {
  const files = ['dockerTlsCert', 'dockerTlsKey', 'dockerTlsClientCa'] as const;
  const address = value('dockerAddress');
  const given = files.filter(key => value(key) !== '');
  if (address === '') {
    if (given[0]) throw invalid(given[0], 'needs dockerAddress', value(given[0]));
    return undefined;
  }
  const isPlain = oneOf('dockerPlain', value('dockerPlain'), ['no', 'loopback']) === 'loopback';
  const at = parseAddress('dockerAddress', address);
  if (isPlain && given[0]) throw invalid('dockerPlain', `must be no where ${given[0]} is given`, value('dockerPlain'));
  if (isPlain && !isLoopbackAddress(at.host)) throw invalid('dockerPlain', 'goes with a loopback address only', address);
  const missing = files.find(key => value(key) === '');
  if (!isPlain && missing) throw invalid(missing, 'must name a file: the docker API listens on addresses with TLS only', '');
  const [certificate, key, clientCa] = files.map(each => resolve(value(each)));
  const tcp = isPlain ? at : { ...at, tls: { certificate: certificate ?? '', key: key ?? '', clientCa: clientCa ?? '' } };
  checkTcp(tcp);
  return tcp;
}

/** `proxy:3128`, `http://user:password@proxy:3128`, `https://proxy`. What stands there may be a secret and is not quoted. */
function parseProxy(key: string, text: string): string {
  const address = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) throw invalid(key, 'must be http(s)://HOST:PORT', '…');
  return address;
}

function parseRange(text: string): { first: number; last: number } {
  const [first, last] = text.split('-').map(Number);
  if (first === undefined || last === undefined || !(first >= 1 && first <= last && last <= 65_535))
    throw invalid('nodePortRange', 'must be FIRST-LAST', text);
  return { first, last };
}

/** Single addresses, and all of a network. */
function parsePool(text: string): string[] {
  const parts = text.split(',').map(part => part.trim());
  const addresses = parts.filter(Boolean).flatMap(part => {
    const [address = '', bits = '32'] = part.split('/');
    if (!isIPv4(address) || !/^\d+$/.test(bits) || Number(bits) < 22 || Number(bits) > 32)
      throw invalid('loadBalancerPool', 'must be IPv4 addresses and networks of /22 or smaller', text);
    const { base } = parseCidr(`${address}/${bits}`);
    return Array.from({ length: 2 ** (32 - Number(bits)) }, (_, offset) => toAddress(base + offset));
  });
  return [...new Set(addresses)];
}

function oneOf<const T extends string>(key: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find(each => each === text);
  if (found === undefined) throw invalid(key, `must be one of ${allowed.join(', ')}`, text);
  return found;
}

function invalid(key: string, what: string, got: string): UmiakError {
  const setting = settings.find(each => each.key === key);
  return new UmiakError('Invalid', `${key} ${what}, not ${JSON.stringify(got)}`, {
    ...(setting ? { hint: `Set it by ${setting.flag}, ${setting.variable} or \`${key}\` in the configuration file.` } : {}),
  });
}

/** Places in the directories of an instance that more than one part must know. */
export function pathsOf({ dataDir, runDir }: Pick<Config, 'dataDir' | 'runDir'>) {
  return {
    store: join(dataDir, 'server', 'store.db'),
    pki: join(dataDir, 'pki'),
    encryptionKeys: join(dataDir, 'pki', 'encryption-keys.json'),
    kubeconfig: join(dataDir, 'kubeconfig'),
    podLogs: join(dataDir, 'pods'),
    volumes: join(dataDir, 'volumes'),
    checkpoints: join(dataDir, 'checkpoints'),
    storage: join(dataDir, 'storage'),
    manifests: join(dataDir, 'manifests'),
    logs: join(dataDir, 'logs'),
    audit: join(dataDir, 'logs', 'audit.log'),
    dockerSocket: join(runDir, 'docker.sock'),
    criSocket: join(runDir, 'cri.sock'),
    cniSocket: join(runDir, 'cni.sock'),
    cniCache: join(dataDir, 'cni', 'results'),
    cniLent: join(dataDir, 'cni', 'lent'),
    lock: (role: Role) => join(runDir, `${role}.pid`),
    control: (role: Role) => join(runDir, `${role}.sock`),
  };
}

/** The two processes of an instance. */
export type Role = 'server' | 'agent';
