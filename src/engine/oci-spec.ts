import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { planAmbient, planCapabilities } from './capabilities.ts';
import { blockNumbers, parseDeviceRule } from './devices.ts';
import type { ContainerConfig, IdMapping, IoLimits, Mount, Resources, SandboxConfig } from './engine.ts';
import type { OciDevice, OciIdMapping, OciMount, OciResources, OciSpec } from './oci-types.ts';
import type { ImageDefaults } from './ports.ts';
import { MASKED_PATHS, READONLY_PATHS } from './proc-paths.ts';
import { SHM_BYTES } from './sandbox-files.ts';
import type { ModuleLabels } from './security-modules.ts';
import type { ResolvedUser } from './user.ts';

/** What the machine can give; read once. */
export interface HostFacts {
  capabilities: ReadonlySet<string>;
  cgroupVersion: 'v1' | 'hybrid' | 'v2';
  /** Hard limits that we can't exceed, by OCI name; absent means free. */
  rlimitCeilings: Record<string, number>;
  /** Our own `oom_score_adj`, below which we can't go without CAP_SYS_RESOURCE; absent means free. */
  oomScoreAdjFloor?: number;
}

export interface SpecInput {
  sandbox: SandboxConfig;
  container: ContainerConfig;
  image: ImageDefaults;
  user: ResolvedUser;
  host: HostFacts;
  /** Absolute, mounted. */
  rootfs: string;
  cgroupsPath: string;
  /** Where the sandbox's pinned namespaces are; absent ones are the host's. */
  namespaces: { network?: string; ipc?: string; uts?: string; pid?: string; user?: string };
  /** The sandbox's files that are bound into every container. */
  files: { hosts?: string; hostname?: string; resolvConf?: string; shm?: string };
  /** Device nodes that the container asks for, or all of the host's for privileged ones. */
  devices: (OciDevice & { permissions: string })[];
  /** Of the kernel's security modules. */
  labels?: ModuleLabels;
}

/** Where an init program of the machine is seen. */
const INIT = '/sbin/docker-init';
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const NO = ['nosuid', 'noexec', 'nodev'];

/**
 * Annotations of a client that may stand in config.json. Runtimes take orders from others: crun from `run.oci.…`, runc and crun from
 * `org.systemd.property.…`, gVisor and kata from `io.kubernetes.cri.…`, by which a container would join another pod's kernel.
 */
const PASSED_ANNOTATIONS = /^(io\.kubernetes\.(pod|container)\.|org\.opencontainers\.image\.)/;

/**
 * The OCI configuration of a container, without seccomp. Pure.
 * @throws Invalid for what can't be asked for
 */
export function planOciSpec(input: SpecInput): OciSpec {
  const { sandbox, container, image, user, host, labels = {} } = input;
  const security = container.security ?? {};
  const privileged = security.privileged ?? false;
  const capabilities = planCapabilities({ ...security.capabilities, privileged }, host.capabilities);
  const ambient = planAmbient(security.capabilities?.addAmbient, capabilities);
  const annotations = planAnnotations({ ...sandbox.annotations, ...container.annotations });
  const rlimits = planRlimits(container.rlimits ?? [], host.rlimitCeilings);
  const oomScoreAdj = container.resources?.oomScoreAdj;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: container.tty ?? false,
      user: { uid: user.uid, gid: user.gid, ...(user.additionalGids.length > 0 ? { additionalGids: user.additionalGids } : {}) },
      args: planArgs(container, image),
      ...(container.consoleSize && container.tty
        ? { consoleSize: { height: container.consoleSize.rows, width: container.consoleSize.columns } }
        : {}),
      env: planEnv(container, image, sandbox.hostname, user.home),
      cwd: planCwd(container.workingDir || image.WorkingDir),
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        ...(ambient.length > 0 ? { inheritable: ambient, ambient } : {}),
      },
      ...(rlimits.length > 0 ? { rlimits } : {}),
      noNewPrivileges: security.noNewPrivileges ?? false,
      ...(oomScoreAdj !== undefined ? { oomScoreAdj: Math.max(oomScoreAdj, host.oomScoreAdjFloor ?? -1000) } : {}),
      ...(labels.apparmorProfile ? { apparmorProfile: labels.apparmorProfile } : {}),
      ...(labels.selinuxLabel ? { selinuxLabel: labels.selinuxLabel } : {}),
    },
    root: { path: input.rootfs, readonly: security.readOnlyRoot ?? false },
    mounts: planMounts(input, privileged),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    linux: {
      namespaces: planNamespaces(input),
      ...(sandbox.userNamespace
        ? { uidMappings: toOciMappings(sandbox.userNamespace.uids), gidMappings: toOciMappings(sandbox.userNamespace.gids) }
        : {}),
      cgroupsPath: input.cgroupsPath,
      resources: {
        devices: planDeviceRules(input.devices, container.deviceRules ?? [], privileged),
        ...planResources(container.resources ?? {}),
      },
      ...(input.devices.length > 0 ? { devices: input.devices.map(({ permissions, ...device }) => device) } : {}),
      ...planSysctls(sandbox),
      ...(privileged ? {} : { maskedPaths: security.maskedPaths ?? MASKED_PATHS, readonlyPaths: security.readonlyPaths ?? READONLY_PATHS }),
      ...planRootPropagation(container.mounts ?? []),
      ...(labels.mountLabel ? { mountLabel: labels.mountLabel } : {}),
    },
  };
}

/** Kubernetes' rule: a command replaces entrypoint and cmd; args alone replace cmd. @throws Invalid when nothing is left to run */
export function planArgs(container: Pick<ContainerConfig, 'command' | 'args' | 'image' | 'init'>, image: ImageDefaults): string[] {
  const command = container.command ?? [];
  const args = container.args ?? [];
  const init = container.init === undefined ? [] : [INIT, '--'];
  const all = command.length > 0 ? [...command, ...args] : [...(image.Entrypoint ?? []), ...(args.length > 0 ? args : (image.Cmd ?? []))];
  if (all.length === 0)
    throw new UmiakError('Invalid', `image ${container.image} says nothing about what to run, and neither does the container`, {
      hint: 'Give a command.',
    });
  return [...init, ...all];
}

/** The image's environment overlaid by the container's; later wins, the first place is kept. */
export function planEnv(
  container: Pick<ContainerConfig, 'env' | 'tty' | 'ownEnv'>,
  image: ImageDefaults,
  hostname: string | undefined,
  home: string,
): string[] {
  const own = (container.env ?? []).map(({ name, value }) => `${name}=${value}`);
  const usual = [PATH, ...(hostname ? [`HOSTNAME=${hostname}`] : []), ...(container.tty ? ['TERM=xterm'] : [])];
  const inherited = container.ownEnv ? [] : [...usual, ...(image.Env ?? [])];
  const merged = new Map<string, string>();
  for (const pair of [...inherited, ...own]) merged.set(pair.split('=', 1)[0]!, pair);
  if (!merged.has('HOME')) merged.set('HOME', `HOME=${home}`);
  return [...merged.values()];
}

function planCwd(workingDir: string | undefined): string {
  return posix.resolve('/', workingDir || '/');
}

/** What a client's annotations may say to the runtime: nothing that it acts on. */
export function planAnnotations(annotations: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => PASSED_ANNOTATIONS.test(name)));
}

function planRlimits(
  wanted: readonly { type: string; soft: number; hard: number }[],
  ceilings: Record<string, number>,
): { type: string; soft: number; hard: number }[] {
  return wanted.map(({ type, soft, hard }) => {
    const name = `RLIMIT_${type.toUpperCase().replace(/^RLIMIT_/, '')}`;
    const ceiling = ceilings[name] ?? Number.POSITIVE_INFINITY;
    return { type: name, soft: Math.min(soft, ceiling), hard: Math.min(hard, ceiling) };
  });
}

function planNamespaces({ namespaces, sandbox, host, container }: SpecInput): { type: string; path?: string }[] {
  const planned: { type: string; path?: string }[] = [{ type: 'mount' }];
  if (namespaces.user !== undefined) planned.push({ type: 'user', path: namespaces.user });
  if (sandbox.pid !== 'host') planned.push({ type: 'pid', ...(namespaces.pid !== undefined ? { path: namespaces.pid } : {}) });
  if (namespaces.network !== undefined) planned.push({ type: 'network', path: namespaces.network });
  if (namespaces.ipc !== undefined && sandbox.ipc !== 'host') planned.push({ type: 'ipc', path: namespaces.ipc });
  if (namespaces.uts !== undefined) planned.push({ type: 'uts', path: namespaces.uts });
  const ownCgroups = container.cgroupNamespace ? container.cgroupNamespace === 'private' : !container.security?.privileged;
  if (container.cgroupNamespace === 'private' || (host.cgroupVersion === 'v2' && ownCgroups)) planned.push({ type: 'cgroup' });
  return planned;
}

function toOciMappings(mappings: readonly IdMapping[]): OciIdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({ containerID: containerId, hostID: hostId, size: length }));
}

function planMounts({ sandbox, container, files }: SpecInput, privileged: boolean): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  const cgroupAccess = container.security?.hasWritableCgroups ? 'rw' : access;
  const mounts: OciMount[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: NO },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: NO },
    // Its own also on the machine's network, which then is the one that it shows: the machine's brought all control groups, writable, with it.
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...NO, access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...NO, 'relatime', cgroupAccess] },
  ];
  const bind = (source: string | undefined, destination: string, options: string[]) => {
    if (source !== undefined) mounts.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate', ...options] });
  };
  if (sandbox.shm === 'container' && (sandbox.ipc ?? 'pod') === 'pod')
    mounts.push({
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...NO, 'mode=1777', `size=${sandbox.shmSizeBytes ?? SHM_BYTES}`],
    });
  else bind(sandbox.ipc === 'host' ? '/dev/shm' : files.shm, '/dev/shm', ['rw', ...NO]);
  bind(container.init, INIT, ['ro']);
  const fileAccess = container.security?.readOnlyRoot ? 'ro' : 'rw';
  bind(files.hosts, '/etc/hosts', [fileAccess]);
  bind(files.hostname, '/etc/hostname', [fileAccess]);
  bind(files.resolvConf, '/etc/resolv.conf', [fileAccess]);
  // Parents before children, and what the container asks for in place of what it would get.
  const own = [...(container.mounts ?? [])]
    .map(toOciMount)
    .sort((a, b) => a.destination.split('/').length - b.destination.split('/').length);
  const replaced = new Set(own.map(mount => mount.destination));
  return [...mounts.filter(mount => !replaced.has(mount.destination)), ...own];
}

function toOciMount({
  source,
  destination,
  readOnly = false,
  recursiveReadOnly,
  propagation = 'private',
  isShallow = false,
  type = 'bind',
  lowerDirs = [],
  options = [],
}: Mount): OciMount {
  const target = posix.resolve('/', destination);
  if (!destination.startsWith('/') || target === '/')
    throw new UmiakError('Invalid', `mount destination ${JSON.stringify(destination)} must be an absolute path below /`);
  const access = recursiveReadOnly ? 'rro' : readOnly ? 'ro' : 'rw';
  if (type === 'tmpfs') return { destination: target, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', access, ...options] };
  if (type === 'overlay')
    return { destination: target, type: 'overlay', source: 'overlay', options: ['ro', ...options, `lowerdir=${lowerDirs.join(':')}`] };
  if (!source.startsWith('/')) throw new UmiakError('Invalid', `mount source ${JSON.stringify(source)} must be an absolute path`);
  const spread = propagation === 'private' ? 'rprivate' : propagation;
  // crun takes a recursive propagation for a recursive bind.
  const how = isShallow ? ['bind', spread.slice(1)] : ['rbind', spread];
  return { destination: target, type: 'bind', source, options: [...how, access, ...options] };
}

/** A mount that propagates needs a root that is at least a slave of the host's. */
function planRootPropagation(mounts: readonly Mount[]): { rootfsPropagation?: string } {
  if (mounts.some(mount => mount.propagation === 'rshared')) return { rootfsPropagation: 'shared' };
  if (mounts.some(mount => mount.propagation === 'rslave')) return { rootfsPropagation: 'slave' };
  return {};
}

function planDeviceRules(devices: SpecInput['devices'], rules: readonly string[], privileged: boolean): OciResources['devices'] {
  if (privileged) return [{ allow: true, access: 'rwm' }];
  return [
    { allow: false, access: 'rwm' },
    ...devices.map(({ type, major, minor, permissions }) => ({ allow: true, access: permissions, type, major, minor })),
    ...rules.map(parseDeviceRule),
  ];
}

/** OCI's form of limits; used for updates too. Pure. */
export function planResources(resources: Resources): Omit<OciResources, 'devices'> {
  const planned: Omit<OciResources, 'devices'> = {};
  const memory = withoutUndefined({
    limit: resources.memoryLimitBytes || undefined,
    reservation: resources.memoryReservationBytes || undefined,
    // No swap beyond the limit unless it is asked for, as the kubelet sets it.
    swap: (resources.memoryLimitBytes && resources.memorySwapLimitBytes) || resources.memoryLimitBytes || undefined,
    swappiness: resources.memorySwappiness,
    disableOOMKiller: resources.isOomKillDisabled || undefined,
  });
  const cpu = withoutUndefined({
    shares: resources.cpuShares,
    quota: resources.cpuQuotaUs || undefined,
    period: resources.cpuPeriodUs || undefined,
    cpus: resources.cpusetCpus || undefined,
    mems: resources.cpusetMems || undefined,
    realtimePeriod: resources.cpuRealtimePeriodUs || undefined,
    realtimeRuntime: resources.cpuRealtimeRuntimeUs || undefined,
  });
  if (Object.keys(memory).length > 0) planned.memory = memory;
  if (Object.keys(cpu).length > 0) planned.cpu = cpu;
  if (resources.pidsLimit !== undefined) planned.pids = { limit: resources.pidsLimit || -1 };
  const { hugepageLimits = [], unified = {} } = resources;
  if (hugepageLimits.length > 0)
    planned.hugepageLimits = hugepageLimits.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes }));
  if (Object.keys(unified).length > 0) planned.unified = unified;
  if (resources.io) planned.blockIO = planBlockIo(resources.io);
  return planned;
}

/** @throws Invalid for a path that is no block device */
function planBlockIo({ weight, deviceWeights, readBps, writeBps, readIops, writeIops }: IoLimits): NonNullable<OciResources['blockIO']> {
  const rates = (limits: IoLimits['readBps']) => limits?.map(({ path, value }) => ({ ...blockNumbers(path), rate: value }));
  return withoutUndefined({
    weight,
    weightDevice: deviceWeights?.map(({ path, value }) => ({ ...blockNumbers(path), weight: value })),
    throttleReadBpsDevice: rates(readBps),
    throttleWriteBpsDevice: rates(writeBps),
    throttleReadIOPSDevice: rates(readIops),
    throttleWriteIOPSDevice: rates(writeIops),
  });
}

function planSysctls({ sysctls, domainname }: SandboxConfig): { sysctl?: Record<string, string> } {
  const all = { ...(domainname ? { 'kernel.domainname': domainname } : {}), ...sysctls };
  return Object.keys(all).length > 0 ? { sysctl: all } : {};
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
