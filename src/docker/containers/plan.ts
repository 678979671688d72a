import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig, Mount, Resources, SandboxConfig, SecurityConfig } from '#engine/index.ts';
import type { DockerData, SandboxNetworkPlan } from '../rooms.ts';
import { planEnvironment } from './config.ts';
import type { Config, HostConfig, Ulimit } from './forms.ts';

/** What a container needs of others, found out before. */
export interface PlanContext {
  id: string;
  network: SandboxNetworkPlan;
  mounts: readonly Mount[];
  /** The engine's handler for HostConfig.Runtime. */
  runtime: string;
  /** Sandboxes and containers that this one's modes name. */
  ipcSandbox?: string | undefined;
  pidContainer?: string | undefined;
  /** Where `tini` is, for HostConfig.Init. */
  initPath?: string | undefined;
  hasSelinux: boolean;
  labels: Record<string, string>;
  logPath?: string | undefined;
}

/** The engine's sandbox of a docker container: on demand, with the namespaces that its modes ask for. Pure. */
export function planSandbox(
  { name, config, hostConfig }: Pick<DockerData, 'name' | 'config' | 'hostConfig'>,
  context: PlanContext,
): SandboxConfig {
  const { Hostname, Domainname } = config;
  const { IpcMode, PidMode, UTSMode, CgroupParent, Sysctls, ShmSize } = hostConfig;
  const ipc = IpcMode === 'host' ? 'host' : IpcMode === 'none' ? 'none' : context.ipcSandbox === undefined ? 'pod' : 'sandbox';
  return {
    owner: 'docker',
    onDemand: true,
    metadata: { name, namespace: 'docker', uid: context.id, attempt: 0 },
    ...(Hostname ? { hostname: Hostname } : {}),
    ...(Hostname && Domainname ? { fqdn: `${Hostname}.${Domainname}` } : {}),
    ...(Domainname ? { domainname: Domainname } : {}),
    ...context.network,
    pid: PidMode === 'host' ? 'host' : 'container',
    ipc,
    ...(context.ipcSandbox === undefined ? {} : { ipcOf: context.ipcSandbox }),
    ...(UTSMode === 'host' ? { uts: 'host' as const } : {}),
    ...(ShmSize > 0 && ipc === 'pod' ? { shmSizeBytes: ShmSize } : {}),
    ...(ipc === 'pod' && IpcMode !== 'shareable' ? { shm: 'container' as const } : {}),
    ...(CgroupParent ? { cgroupParent: CgroupParent } : {}),
    ...(Sysctls ? { sysctls: Sysctls } : {}),
    runtime: context.runtime,
  };
}

/** The engine's container. Pure. @throws BadRequest, NotImplemented */
export function planContainer(data: DockerData, sandboxId: string, context: PlanContext): ContainerConfig {
  const { config, hostConfig } = data;
  const { initPath, pidContainer } = context;
  const writableLimitBytes = planStorage(hostConfig.StorageOpt);
  return {
    sandboxId,
    metadata: { name: data.name, attempt: 0 },
    image: data.image,
    imageName: config.Image,
    command: [data.path, ...data.args],
    env: planEnvironment(config),
    ownEnv: true,
    ...(config.WorkingDir ? { workingDir: config.WorkingDir } : {}),
    mounts: [...context.mounts],
    ...planDevices(hostConfig),
    resources: planResources(hostConfig),
    security: planSecurity(config, hostConfig, context),
    rlimits: (hostConfig.Ulimits ?? []).map(toRlimit),
    labels: context.labels,
    ...(hostConfig.Annotations ? { annotations: hostConfig.Annotations } : {}),
    ...(context.logPath === undefined ? {} : { logPath: context.logPath }),
    stdin: config.OpenStdin,
    stdinOnce: config.StdinOnce,
    tty: config.Tty,
    ...(config.StopSignal ? { stopSignal: config.StopSignal } : {}),
    ...(pidContainer === undefined ? {} : { pidOf: pidContainer }),
    ...(writableLimitBytes === undefined ? {} : { writableLimitBytes }),
    ...(initPath === undefined ? {} : { init: initPath }),
    ...(hostConfig.ConsoleSize[0] > 0 && hostConfig.ConsoleSize[1] > 0
      ? { consoleSize: { rows: hostConfig.ConsoleSize[0], columns: hostConfig.ConsoleSize[1] } }
      : {}),
    // Its anonymous volumes would be nobody's.
    ...(hostConfig.AutoRemove && data.mounts.length === 0 ? { isTransient: true } : {}),
    cgroupNamespace: hostConfig.CgroupnsMode === 'host' ? 'host' : 'private',
    ownerData: data,
  };
}

/** What is run: the entrypoint's program with the rest of it and Cmd as arguments. Pure. */
export function planCommand({ Entrypoint, Cmd }: Pick<Config, 'Entrypoint' | 'Cmd'>): { path: string; args: string[] } {
  const [path = '', ...args] = [...(Entrypoint ?? []), ...(Cmd ?? [])];
  return { path, args };
}

/** Limits in the engine's words; those that are not set are absent. Pure. */
export function planResources(host: HostConfig): Resources {
  const { NanoCpus, CpuQuota, CpuPeriod, Memory } = host;
  const period = CpuPeriod || 100_000;
  const device = ({ Path, ...rest }: { Path: string; Weight?: number; Rate?: number }) => ({
    path: Path,
    value: rest.Weight ?? rest.Rate ?? 0,
  });
  const io = {
    ...(host.BlkioWeight ? { weight: host.BlkioWeight } : {}),
    ...ifAny('deviceWeights', (host.BlkioWeightDevice ?? []).map(device)),
    ...ifAny('readBps', (host.BlkioDeviceReadBps ?? []).map(device)),
    ...ifAny('writeBps', (host.BlkioDeviceWriteBps ?? []).map(device)),
    ...ifAny('readIops', (host.BlkioDeviceReadIOps ?? []).map(device)),
    ...ifAny('writeIops', (host.BlkioDeviceWriteIOps ?? []).map(device)),
  };
  const { CpuRealtimePeriod, CpuRealtimeRuntime } = host;
  return {
    ...(host.CpuShares ? { cpuShares: host.CpuShares } : {}),
    ...(NanoCpus ? { cpuQuotaUs: Math.round((NanoCpus / 1e9) * 100_000), cpuPeriodUs: 100_000 } : {}),
    ...(CpuQuota ? { cpuQuotaUs: CpuQuota, cpuPeriodUs: period } : CpuPeriod ? { cpuPeriodUs: CpuPeriod } : {}),
    ...(host.CpusetCpus ? { cpusetCpus: host.CpusetCpus } : {}),
    ...(host.CpusetMems ? { cpusetMems: host.CpusetMems } : {}),
    ...(Memory ? { memoryLimitBytes: Memory } : {}),
    ...(Memory && host.MemorySwap ? { memorySwapLimitBytes: host.MemorySwap } : {}),
    ...(host.MemoryReservation ? { memoryReservationBytes: host.MemoryReservation } : {}),
    ...(host.MemorySwappiness === null ? {} : { memorySwappiness: host.MemorySwappiness }),
    ...(host.OomKillDisable ? { isOomKillDisabled: true } : {}),
    ...(host.PidsLimit ? { pidsLimit: host.PidsLimit } : {}),
    ...(host.OomScoreAdj ? { oomScoreAdj: host.OomScoreAdj } : {}),
    ...(CpuRealtimePeriod ? { cpuRealtimePeriodUs: CpuRealtimePeriod } : {}),
    ...(CpuRealtimeRuntime ? { cpuRealtimeRuntimeUs: CpuRealtimeRuntime } : {}),
    ...(Object.keys(io).length > 0 ? { io } : {}),
  };
}

function ifAny<K extends string, T>(key: K, list: T[]): { [P in K]?: T[] } {
  return (list.length > 0 ? { [key]: list } : {}) as { [P in K]?: T[] };
}

function toRlimit({ Name, Soft, Hard }: Ulimit): { type: string; soft: number; hard: number } {
  return { type: Name, soft: Soft, hard: Hard };
}

/** `--device`, `--gpus` and CDI names. */
function planDevices({ Devices, DeviceCgroupRules, DeviceRequests, Privileged }: HostConfig): Partial<ContainerConfig> {
  const isCdi = (path: string) => /^[a-zA-Z0-9_.-]+\/[a-zA-Z0-9_.-]+=\S+$/.test(path);
  const cdiDevices = [
    ...(Devices ?? []).flatMap(({ PathOnHost }) => (isCdi(PathOnHost) ? [PathOnHost] : [])),
    ...(DeviceRequests ?? []).flatMap(toCdiNames),
  ];
  const devices = (Devices ?? []).flatMap(({ PathOnHost, PathInContainer, CgroupPermissions }) =>
    isCdi(PathOnHost) ? [] : [{ path: PathOnHost, containerPath: PathInContainer || PathOnHost, permissions: CgroupPermissions || 'rwm' }],
  );
  return {
    ...(devices.length > 0 && !Privileged ? { devices } : {}),
    ...(DeviceCgroupRules?.length ? { deviceRules: DeviceCgroupRules } : {}),
    ...(cdiDevices.length > 0 ? { cdiDevices } : {}),
  };
}

/** `--gpus all`, `--gpus device=0,1`, `--device vendor.com/class=name` (driver cdi) as names of the Container Device Interface. Pure. */
export function toCdiNames({ Driver, Count, DeviceIDs, Capabilities }: NonNullable<HostConfig['DeviceRequests']>[number]): string[] {
  if (Driver === 'cdi') return DeviceIDs ?? [];
  const isGpu = (Capabilities ?? []).some(set => set.includes('gpu')) || Driver === 'nvidia';
  if (!isGpu || !['', 'nvidia'].includes(Driver))
    throw new UmiakError(
      'BadRequest',
      `could not select device driver ${JSON.stringify(Driver)} with capabilities: ${JSON.stringify(Capabilities ?? [])}`,
    );
  if (Count !== 0 && DeviceIDs?.length) throw new UmiakError('BadRequest', 'cannot set both Count and DeviceIDs on device request');
  if (DeviceIDs?.length) return DeviceIDs.map(id => (id.includes('=') ? id : `nvidia.com/gpu=${id}`));
  if (Count < 0) return ['nvidia.com/gpu=all'];
  return Array.from({ length: Count }, (_, index) => `nvidia.com/gpu=${index}`);
}

/** `--storage-opt size=10G`; 0 is no limit. */
function planStorage(options: Record<string, string> = {}): number | undefined {
  if (options.size === undefined) return undefined;
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(options.size.trim()) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '));
  if (number === '' || !Number.isSafeInteger(bytes)) throw new UmiakError('BadRequest', `invalid size: '${options.size.slice(0, 64)}'`);
  return bytes || undefined;
}

/**
 * Whom it runs as and what it may do. Labels are for SELinux alone: where the kernel has none, docker leaves them out, and compose files of
 * machines that have it say them. @throws BadRequest for an option that is none
 */
export function planSecurity(
  { User }: Pick<Config, 'User'>,
  host: HostConfig,
  { hasSelinux }: Pick<PlanContext, 'hasSelinux'>,
): SecurityConfig {
  const { Privileged, CapAdd, CapDrop, ReadonlyRootfs, GroupAdd, MaskedPaths, ReadonlyPaths, SecurityOpt } = host;
  const { selinux, ...options } = planSecurityOptions(SecurityOpt ?? []);
  return {
    ...(User ? { user: User } : {}),
    ...(Privileged ? { privileged: true } : {}),
    ...(CapAdd?.length || CapDrop?.length ? { capabilities: { add: CapAdd ?? [], drop: CapDrop ?? [] } } : {}),
    ...(ReadonlyRootfs ? { readOnlyRoot: true } : {}),
    ...(GroupAdd?.length ? { addedGroups: GroupAdd } : {}),
    maskedPaths: MaskedPaths ?? [],
    readonlyPaths: ReadonlyPaths ?? [],
    ...options,
    ...(selinux && hasSelinux ? { selinux } : {}),
  };
}

/** `--security-opt`, docker's words and older ones with a colon. Pure. @throws BadRequest */
export function planSecurityOptions(options: readonly string[]): Partial<SecurityConfig> {
  const planned: Partial<SecurityConfig> = {};
  for (const option of options) {
    const refuse = (place = 2) => new UmiakError('BadRequest', `invalid --security-opt ${place}: ${JSON.stringify(option.slice(0, 256))}`);
    const [, key = '', value = ''] = /^([a-z-]+)[=:](.*)$/s.exec(option) ?? [];
    if (option === 'no-new-privileges') planned.noNewPrivileges = true;
    else if (option === 'writable-cgroups') planned.hasWritableCgroups = true;
    else if (key === '') throw refuse(1);
    else if (key === 'no-new-privileges') planned.noNewPrivileges = toFlag(value, refuse);
    else if (key === 'apparmor') {
      // That profile is dockerd's own; here it is what a container has anyway.
      if (value !== 'docker-default') planned.apparmor = value;
    } else if (key === 'seccomp') {
      if (value.trimStart().startsWith('{')) planned.seccompProfile = parseProfile(value);
      else planned.seccomp = value === 'builtin' ? 'runtime/default' : value;
    } else if (key === 'label') planLabel(planned, value, refuse);
    else if (key === 'systempaths' && value === 'unconfined') continue;
    else if (key === 'writable-cgroups') planned.hasWritableCgroups = toFlag(value, refuse);
    else throw refuse();
  }
  return planned;
}

function toFlag(value: string, refuse: () => UmiakError): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw refuse();
}

function parseProfile(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new UmiakError('BadRequest', 'Decoding seccomp profile failed: it is no JSON', { cause });
  }
}

function planLabel(planned: Partial<SecurityConfig>, value: string, refuse: () => UmiakError): void {
  if (value === 'disable') return;
  const [, key = '', rest = ''] = /^(user|role|type|level)[:=](.+)$/.exec(value) ?? [];
  if (key === '') throw refuse();
  planned.selinux = { ...planned.selinux, [key]: rest };
}
