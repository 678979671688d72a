import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { MASKED_PATHS, READONLY_PATHS } from '#engine/proc-paths.ts';
import type { ContainerConfig as ImageConfig } from '#images/oci.ts';
import type { Config, EndpointSettings, Healthcheck, HostConfig } from './forms.ts';

/** A `create`, decoded: what the client said and nothing else. */
export interface CreateBody extends Partial<Config> {
  HostConfig?: Partial<HostConfig>;
  NetworkingConfig?: { EndpointsConfig?: Record<string, Partial<EndpointSettings>> };
}

const DEFAULT_SHM_BYTES = 64 << 20;

/**
 * A container's Config: the client's over the image's, by docker's rules. A Cmd of the image belongs to its Entrypoint: whoever replaces
 * the latter without a Cmd gets none. Pure.
 * @throws BadRequest when nothing is left to run
 */
export function planConfig(body: CreateBody, image: ImageConfig, id: string): Config {
  const asked: Partial<Config> = body;
  const hasEntrypoint = (asked.Entrypoint?.length ?? 0) > 0;
  // A single empty string is docker's way to say: no entrypoint at all.
  const resetsEntrypoint = asked.Entrypoint?.length === 1 && asked.Entrypoint[0] === '';
  const inheritsCmd = !hasEntrypoint && (asked.Cmd?.length ?? 0) === 0;
  const cmd = (inheritsCmd ? image.Cmd : asked.Cmd) ?? null;
  const entrypoint = resetsEntrypoint ? null : hasEntrypoint ? (asked.Entrypoint ?? null) : (image.Entrypoint ?? null);
  if ((entrypoint?.length ?? 0) + (cmd?.length ?? 0) === 0) throw new UmiakError('BadRequest', 'no command specified');
  const healthcheck = planHealthcheck(asked.Healthcheck, image.Healthcheck);
  const ports = { ...image.ExposedPorts, ...asked.ExposedPorts };
  const { StopSignal = image.StopSignal } = asked;
  return {
    Hostname: asked.Hostname || (hasOwnHostname(body) ? id.slice(0, 12) : ''),
    Domainname: asked.Domainname ?? '',
    User: asked.User || image.User || '',
    AttachStdin: asked.AttachStdin ?? false,
    AttachStdout: asked.AttachStdout ?? false,
    AttachStderr: asked.AttachStderr ?? false,
    ...(Object.keys(ports).length > 0 ? { ExposedPorts: ports } : {}),
    Tty: asked.Tty ?? false,
    OpenStdin: asked.OpenStdin ?? false,
    StdinOnce: asked.StdinOnce ?? false,
    Env: mergeEnv(asked.Env ?? [], image.Env ?? []),
    Cmd: cmd,
    ...(healthcheck ? { Healthcheck: healthcheck } : {}),
    ...(asked.ArgsEscaped ? { ArgsEscaped: true } : {}),
    Image: asked.Image ?? '',
    Volumes: asked.Volumes || image.Volumes ? { ...image.Volumes, ...asked.Volumes } : null,
    WorkingDir: toCleanPath(asked.WorkingDir || image.WorkingDir || ''),
    Entrypoint: entrypoint,
    ...(asked.NetworkDisabled ? { NetworkDisabled: true } : {}),
    ...(asked.MacAddress ? { MacAddress: asked.MacAddress } : {}),
    OnBuild: asked.OnBuild ?? null,
    Labels: { ...image.Labels, ...asked.Labels },
    ...(StopSignal ? { StopSignal } : {}),
    ...(asked.StopTimeout === undefined ? {} : { StopTimeout: asked.StopTimeout }),
    ...(asked.Shell || image.Shell ? { Shell: asked.Shell ?? image.Shell ?? [] } : {}),
  };
}

function toCleanPath(path: string): string {
  return posix.isAbsolute(path) ? posix.resolve(path) : path;
}

/** In another's network or UTS namespace the name is the other's. */
function hasOwnHostname({ HostConfig: { NetworkMode = '', UTSMode = '' } = {} }: CreateBody): boolean {
  return !NetworkMode.startsWith('container:') && NetworkMode !== 'host' && UTSMode !== 'host';
}

/** The client's variables first, then the image's that it does not name (a name without a value takes one away). Pure. */
export function mergeEnv(own: readonly string[], inherited: readonly string[]): string[] {
  const names = new Set(own.map(nameOf));
  return [...own, ...inherited.filter(pair => !names.has(nameOf(pair)))];
}

function nameOf(pair: string): string {
  const equals = pair.indexOf('=');
  return equals < 0 ? pair : pair.slice(0, equals);
}

/** The whole environment of the process but HOME. A name without a value takes docker's own default away too. Pure. */
export function planEnvironment({ Env, Hostname, Tty }: Pick<Config, 'Env' | 'Hostname' | 'Tty'>): { name: string; value: string }[] {
  const all = new Map<string, string>([['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']]);
  if (Hostname) all.set('HOSTNAME', Hostname);
  if (Tty) all.set('TERM', 'xterm');
  for (const pair of Env) {
    const name = nameOf(pair);
    if (name === pair) all.delete(name);
    else all.set(name, pair.slice(name.length + 1));
  }
  return [...all].map(([name, value]) => ({ name, value }));
}

/** What the client does not say is the image's; `NONE` switches the image's off. */
function planHealthcheck(asked: Healthcheck | undefined, inherited: Healthcheck | undefined): Healthcheck | undefined {
  if (!asked || !inherited) return asked ?? inherited;
  if (asked.Test?.[0] === 'NONE') return asked;
  const merged: Healthcheck = {};
  if (asked.Test?.length) merged.Test = asked.Test;
  else if (inherited.Test) merged.Test = inherited.Test;
  for (const field of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const value = asked[field] || inherited[field];
    if (value) merged[field] = value;
  }
  return merged;
}

/** What a client of an older version means: fields of later ones are nothing to it, and defaults were others. Pure. @throws BadRequest */
export function ofVersion(body: CreateBody, apiMinor: number): CreateBody {
  const { EndpointsConfig = {} } = body.NetworkingConfig ?? {};
  const networks = Object.keys(EndpointsConfig);
  if (apiMinor < 44 && networks.length > 1)
    throw new UmiakError('BadRequest', `Container cannot be created with multiple network endpoints: ${networks.join(', ')}`);
  const { Healthcheck: check, HostConfig: host = {} } = body;
  return {
    ...body,
    HostConfig: hostOfVersion(host, apiMinor),
    ...(check && apiMinor < 44 ? { Healthcheck: { ...check, StartInterval: 0 } } : {}),
    ...(apiMinor < 44
      ? {
          NetworkingConfig: {
            EndpointsConfig: Object.fromEntries(networks.map(name => [name, { ...EndpointsConfig[name], MacAddress: '' }])),
          },
        }
      : {}),
  };
}

function hostOfVersion({ ConsoleSize, Annotations, AutoRemove, ...older }: Partial<HostConfig>, apiMinor: number): Partial<HostConfig> {
  for (const { BindOptions, VolumeOptions } of older.Mounts ?? []) {
    if (apiMinor < 44 && BindOptions?.ReadOnlyForceRecursive)
      throw new UmiakError('BadRequest', 'BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer');
    if (apiMinor < 45 && VolumeOptions?.Subpath) throw new UmiakError('BadRequest', 'VolumeOptions.Subpath needs API v1.45 or newer');
  }
  return {
    ...older,
    // Before 1.25 the client removed it.
    ...(apiMinor >= 25 && AutoRemove !== undefined ? { AutoRemove } : {}),
    ...(apiMinor >= 42 && ConsoleSize ? { ConsoleSize } : {}),
    ...(apiMinor >= 43 && Annotations ? { Annotations } : {}),
    ...(apiMinor < 41 && !older.CgroupnsMode ? { CgroupnsMode: 'host' } : {}),
    ...(apiMinor < 40 && !older.IpcMode ? { IpcMode: 'shareable' } : {}),
  };
}

/** What HostConfig says where the client says nothing. */
export interface HostDefaults {
  runtime: string;
  cgroupns: 'host' | 'private';
}

/** The whole HostConfig: the client's over docker's defaults. Pure. */
export function planHostConfig(asked: Partial<HostConfig> = {}, { runtime, cgroupns }: HostDefaults): HostConfig {
  const privileged = asked.Privileged ?? false;
  const isUnconfined = asked.SecurityOpt?.includes('systempaths=unconfined') ?? false;
  const paths = (own: string[] | null | undefined, usual: string[]) => own ?? (privileged ? null : isUnconfined ? [] : usual);
  const { Memory = 0, MemorySwap = 0 } = asked;
  return {
    Binds: asked.Binds ?? null,
    ContainerIDFile: asked.ContainerIDFile ?? '',
    LogConfig: { Type: asked.LogConfig?.Type || 'json-file', Config: asked.LogConfig?.Config ?? {} },
    NetworkMode: asked.NetworkMode && asked.NetworkMode !== 'default' ? asked.NetworkMode : 'bridge',
    PortBindings: asked.PortBindings ?? {},
    RestartPolicy: { Name: asked.RestartPolicy?.Name || 'no', MaximumRetryCount: asked.RestartPolicy?.MaximumRetryCount ?? 0 },
    AutoRemove: asked.AutoRemove ?? false,
    VolumeDriver: asked.VolumeDriver ?? '',
    VolumesFrom: asked.VolumesFrom ?? null,
    ConsoleSize: [asked.ConsoleSize?.[0] ?? 0, asked.ConsoleSize?.[1] ?? 0],
    ...(asked.Annotations ? { Annotations: asked.Annotations } : {}),
    CapAdd: toCapabilities(asked.CapAdd),
    CapDrop: toCapabilities(asked.CapDrop),
    CgroupnsMode: asked.CgroupnsMode || cgroupns,
    Dns: asked.Dns ?? [],
    DnsOptions: asked.DnsOptions ?? [],
    DnsSearch: asked.DnsSearch ?? [],
    ExtraHosts: asked.ExtraHosts ?? null,
    GroupAdd: asked.GroupAdd ?? null,
    IpcMode: asked.IpcMode || 'private',
    Cgroup: asked.Cgroup ?? '',
    Links: asked.Links ?? null,
    OomScoreAdj: asked.OomScoreAdj ?? 0,
    PidMode: asked.PidMode ?? '',
    Privileged: privileged,
    PublishAllPorts: asked.PublishAllPorts ?? false,
    ReadonlyRootfs: asked.ReadonlyRootfs ?? false,
    SecurityOpt: asked.SecurityOpt ?? null,
    ...(asked.StorageOpt ? { StorageOpt: asked.StorageOpt } : {}),
    ...(asked.Tmpfs ? { Tmpfs: asked.Tmpfs } : {}),
    UTSMode: asked.UTSMode ?? '',
    UsernsMode: asked.UsernsMode ?? '',
    ShmSize: asked.ShmSize || DEFAULT_SHM_BYTES,
    ...(asked.Sysctls ? { Sysctls: asked.Sysctls } : {}),
    Runtime: asked.Runtime || runtime,
    Isolation: asked.Isolation ?? '',
    CpuShares: asked.CpuShares ?? 0,
    Memory,
    NanoCpus: asked.NanoCpus ?? 0,
    CgroupParent: asked.CgroupParent ?? '',
    BlkioWeight: asked.BlkioWeight ?? 0,
    BlkioWeightDevice: asked.BlkioWeightDevice ?? [],
    BlkioDeviceReadBps: asked.BlkioDeviceReadBps ?? [],
    BlkioDeviceWriteBps: asked.BlkioDeviceWriteBps ?? [],
    BlkioDeviceReadIOps: asked.BlkioDeviceReadIOps ?? [],
    BlkioDeviceWriteIOps: asked.BlkioDeviceWriteIOps ?? [],
    CpuPeriod: asked.CpuPeriod ?? 0,
    CpuQuota: asked.CpuQuota ?? 0,
    CpuRealtimePeriod: asked.CpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: asked.CpuRealtimeRuntime ?? 0,
    CpusetCpus: asked.CpusetCpus ?? '',
    CpusetMems: asked.CpusetMems ?? '',
    Devices: asked.Devices ?? [],
    DeviceCgroupRules: asked.DeviceCgroupRules ?? null,
    DeviceRequests: asked.DeviceRequests ?? null,
    MemoryReservation: asked.MemoryReservation ?? 0,
    // Twice the memory's, as docker has it, where only that is limited.
    MemorySwap: Memory > 0 && MemorySwap === 0 ? 2 * Memory : MemorySwap,
    MemorySwappiness: asked.MemorySwappiness === undefined || asked.MemorySwappiness === -1 ? null : asked.MemorySwappiness,
    OomKillDisable: asked.OomKillDisable ?? null,
    PidsLimit: asked.PidsLimit !== undefined && asked.PidsLimit !== null && asked.PidsLimit > 0 ? asked.PidsLimit : null,
    Ulimits: asked.Ulimits ?? [],
    CpuCount: asked.CpuCount ?? 0,
    CpuPercent: asked.CpuPercent ?? 0,
    IOMaximumIOps: asked.IOMaximumIOps ?? 0,
    IOMaximumBandwidth: asked.IOMaximumBandwidth ?? 0,
    ...(asked.Mounts?.length ? { Mounts: asked.Mounts } : {}),
    MaskedPaths: paths(asked.MaskedPaths, MASKED_PATHS),
    ReadonlyPaths: paths(asked.ReadonlyPaths, READONLY_PATHS),
    ...(asked.Init === undefined ? {} : { Init: asked.Init }),
  };
}

/** `net_raw` and `NET_RAW` as `CAP_NET_RAW`. */
function toCapabilities(names: readonly string[] | null | undefined): string[] | null {
  const spell = (name: string) => (name === 'ALL' || name.startsWith('CAP_') ? name : `CAP_${name}`);
  return names ? names.map(name => spell(name.toUpperCase())) : null;
}
