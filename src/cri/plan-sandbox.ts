import { createHash } from 'node:crypto';
import type { PublishedPort, Resources, SandboxConfig } from '#engine/engine.ts';
import { planResources } from './plan-resources.ts';
import { invalidField, requiredField } from './refuse.ts';
import type { DNSConfig, LinuxPodSandboxConfig, NamespaceOption, PodSandboxConfig, PortMapping, UserNamespace } from './types.gen.ts';

export interface PlanSandboxOptions {
  runtimeHandler: string;
  network: 'pod' | 'cni';
  /** For sandboxes without DNS of their own. */
  hostDns: NonNullable<SandboxConfig['dns']>;
}

const NAMESPACES = 'config.linux.security_context.namespace_options';

/**
 * A pod sandbox in the engine's words. What a security context says about the sandbox's own process (user, groups, profiles) has nobody to
 * hold for: namespaces are pinned, and no process lives in them. Pure. @throws `Invalid` that names the field
 */
export function planSandbox(config: PodSandboxConfig, { runtimeHandler, network, hostDns }: PlanSandboxOptions): SandboxConfig {
  const { metadata = {}, hostname = '', dnsConfig, linux = {}, windows, logDirectory = '' } = config;
  const { name = '', namespace = '', uid = '', attempt = 0 } = metadata;
  if (windows && Object.keys(windows.securityContext ?? {}).length > 0) throw invalidField('config.windows', 'this machine runs Linux');
  for (const [field, value] of Object.entries({ name, namespace, uid })) if (value === '') throw requiredField(`config.metadata.${field}`);
  const options = linux.securityContext?.namespaceOptions ?? {};
  const onHost = options.network === 'NODE';
  return {
    owner: 'cri',
    metadata: { name, namespace, uid, attempt },
    ...(hostname === '' ? {} : { hostname }),
    network: planNetwork(options, network),
    pid: planPid(options),
    ipc: planIpc(options),
    ...planUserNamespace(options.usernsOptions),
    dns: planDns(dnsConfig) ?? hostDns,
    ...planCgroup(linux, sandboxName(config)),
    ...(linux.sysctls ? { sysctls: linux.sysctls } : {}),
    ...(onHost ? {} : { ports: (config.portMappings ?? []).flatMap(planPort) }),
    labels: config.labels ?? {},
    annotations: config.annotations ?? {},
    ...(logDirectory === '' ? {} : { logDirectory }),
    ...(runtimeHandler === '' ? {} : { runtime: runtimeHandler }),
  };
}

/** What no two sandboxes may have in common. */
export function sandboxName({
  metadata: { name = '', namespace = '', uid = '', attempt = 0 } = {},
}: Pick<PodSandboxConfig, 'metadata'>): string {
  return [name, namespace, uid, attempt].join('_');
}

/** Nothing said, or nothing in it: as the machine's. */
function planDns({ servers = [], searches = [], options = [] }: DNSConfig = {}): SandboxConfig['dns'] {
  return servers.length + searches.length + options.length > 0 ? { servers, searches, options } : undefined;
}

function planNetwork({ network = 'POD' }: NamespaceOption, own: 'pod' | 'cni'): SandboxConfig['network'] {
  if (network === 'NODE') return 'host';
  if (network === 'POD') return own;
  throw invalidField(`${NAMESPACES}.network`, `${network} is not possible for a sandbox; POD and NODE are`);
}

function planPid({ pid = 'POD' }: NamespaceOption): NonNullable<SandboxConfig['pid']> {
  if (pid === 'NODE') return 'host';
  // TARGET is for single containers; the others have their own.
  return pid === 'POD' ? 'pod' : 'container';
}

function planIpc({ ipc = 'POD' }: NamespaceOption): NonNullable<SandboxConfig['ipc']> {
  if (ipc === 'NODE') return 'host';
  if (ipc === 'POD') return 'pod';
  throw invalidField(`${NAMESPACES}.ipc`, `${ipc} is not possible for a sandbox; POD and NODE are`);
}

function planUserNamespace(options: UserNamespace | undefined): Pick<SandboxConfig, 'userNamespace'> {
  const { mode = 'POD', uids = [], gids = [] } = options ?? { mode: 'NODE' as const };
  if (mode === 'NODE') {
    if (uids.length + gids.length > 0) throw invalidField(`${NAMESPACES}.userns_options`, 'mode NODE has no mappings');
    return {};
  }
  if (mode !== 'POD') throw invalidField(`${NAMESPACES}.userns_options.mode`, `${mode} is not possible; POD and NODE are`);
  if (uids.length === 0 || gids.length === 0) throw requiredField(`${NAMESPACES}.userns_options.${uids.length === 0 ? 'uids' : 'gids'}`);
  const toMapping = ({ containerId = 0, hostId = 0, length = 0 }) => ({ containerId, hostId, length });
  return { userNamespace: { uids: uids.map(toMapping), gids: gids.map(toMapping) } };
}

/**
 * A parent that is named belongs to whoever named it, who sets its limits: below it the containers get groups of their own. Without one the
 * sandbox has its own group with its limits.
 */
function planCgroup(
  { cgroupParent = '', resources, overhead }: LinuxPodSandboxConfig,
  name: string,
): Pick<SandboxConfig, 'cgroupParent' | 'resources'> {
  if (cgroupParent !== '') return { cgroupParent: cgroupParent.startsWith('/') ? cgroupParent : `/${cgroupParent}` };
  const limits = planSandboxResources(resources, overhead);
  const own = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return { cgroupParent: `cri/${own}`, ...(limits ? { resources: limits } : {}) };
}

/** Limits of a sandbox's own group; undefined when there are none. */
export function planSandboxResources(
  resources: LinuxPodSandboxConfig['resources'],
  overhead: LinuxPodSandboxConfig['overhead'],
): Resources | undefined {
  const { oomScoreAdj: _, ...limits } = planResources(withOverhead(resources, overhead), 'linux.resources');
  return Object.keys(limits).length > 0 ? limits : undefined;
}

/** What a runtime takes for itself comes on top of the containers' limits. */
function withOverhead(
  resources: LinuxPodSandboxConfig['resources'],
  overhead: LinuxPodSandboxConfig['overhead'],
): LinuxPodSandboxConfig['resources'] {
  if (!resources || !overhead) return resources;
  const sum = (key: 'cpuQuota' | 'cpuShares' | 'memoryLimitInBytes' | 'memorySwapLimitInBytes') =>
    (resources[key] ?? 0) > 0 ? { [key]: (resources[key] ?? 0) + (overhead[key] ?? 0) } : {};
  return { ...resources, ...sum('cpuQuota'), ...sum('cpuShares'), ...sum('memoryLimitInBytes'), ...sum('memorySwapLimitInBytes') };
}

function planPort({ protocol = 'TCP', containerPort = 0, hostPort = 0, hostIp = '' }: PortMapping): PublishedPort[] {
  if (hostPort === 0) return [];
  for (const [field, port] of Object.entries({ container_port: containerPort, host_port: hostPort }))
    if (port < 1 || port > 65_535) throw invalidField(`config.port_mappings.${field}`, `${port} is no port`);
  const isAny = hostIp === '' || hostIp === '0.0.0.0' || hostIp === '::';
  return [{ protocol: protocol.toLowerCase() as PublishedPort['protocol'], containerPort, hostPort, ...(isAny ? {} : { hostIp }) }];
}
