import type { Fields, Shape } from './decode.ts';

/**
 * Every field of docker's Config, HostConfig and NetworkingConfig and what it may hold. Fields that are not here are unknown to docker
 * too and ignored as it ignores them. What is known and can't be had here is in `REFUSED`.
 */

const strings: Shape = { list: 'string' };
const texts: Shape = { map: 'string' };
const weights: Shape = { list: { fields: { Path: 'string', Weight: 'integer' } } };
const rates: Shape = { list: { fields: { Path: 'string', Rate: 'integer' } } };

const HEALTHCHECK: Fields = {
  Test: strings,
  Interval: 'integer',
  Timeout: 'integer',
  StartPeriod: 'integer',
  StartInterval: 'integer',
  Retries: 'integer',
};

export const CONFIG: Fields = {
  Hostname: 'string',
  Domainname: 'string',
  User: 'string',
  AttachStdin: 'boolean',
  AttachStdout: 'boolean',
  AttachStderr: 'boolean',
  ExposedPorts: { map: 'object' },
  Tty: 'boolean',
  OpenStdin: 'boolean',
  StdinOnce: 'boolean',
  Env: strings,
  Cmd: 'strings',
  Healthcheck: { fields: HEALTHCHECK },
  ArgsEscaped: 'boolean',
  Image: 'string',
  Volumes: { map: 'object' },
  WorkingDir: 'string',
  Entrypoint: 'strings',
  NetworkDisabled: 'boolean',
  MacAddress: 'string',
  OnBuild: strings,
  Labels: texts,
  StopSignal: 'string',
  StopTimeout: 'integer',
  Shell: 'strings',
};

const MOUNT: Fields = {
  Type: 'string',
  Source: 'string',
  Target: 'string',
  ReadOnly: 'boolean',
  Consistency: 'string',
  BindOptions: {
    fields: {
      Propagation: 'string',
      NonRecursive: 'boolean',
      CreateMountpoint: 'boolean',
      ReadOnlyNonRecursive: 'boolean',
      ReadOnlyForceRecursive: 'boolean',
    },
  },
  VolumeOptions: {
    fields: { NoCopy: 'boolean', Labels: texts, DriverConfig: { fields: { Name: 'string', Options: texts } }, Subpath: 'string' },
  },
  TmpfsOptions: { fields: { SizeBytes: 'integer', Mode: 'integer', Options: { list: strings } } },
  ImageOptions: { fields: { Subpath: 'string' } },
  ClusterOptions: { fields: {} },
};

const RESTART_POLICY: Shape = { fields: { Name: 'string', MaximumRetryCount: 'integer' } };

/** Those of HostConfig that limit what is used: `update` takes them too. */
export const RESOURCES: Fields = {
  CpuShares: 'integer',
  Memory: 'integer',
  NanoCpus: 'integer',
  CgroupParent: 'string',
  BlkioWeight: 'integer',
  BlkioWeightDevice: weights,
  BlkioDeviceReadBps: rates,
  BlkioDeviceWriteBps: rates,
  BlkioDeviceReadIOps: rates,
  BlkioDeviceWriteIOps: rates,
  CpuPeriod: 'integer',
  CpuQuota: 'integer',
  CpuRealtimePeriod: 'integer',
  CpuRealtimeRuntime: 'integer',
  CpusetCpus: 'string',
  CpusetMems: 'string',
  Devices: { list: { fields: { PathOnHost: 'string', PathInContainer: 'string', CgroupPermissions: 'string' } } },
  DeviceCgroupRules: strings,
  DeviceRequests: {
    list: { fields: { Driver: 'string', Count: 'integer', DeviceIDs: strings, Capabilities: { list: strings }, Options: texts } },
  },
  KernelMemory: 'integer',
  KernelMemoryTCP: 'integer',
  MemoryReservation: 'integer',
  MemorySwap: 'integer',
  MemorySwappiness: 'integer',
  OomKillDisable: 'boolean',
  PidsLimit: 'integer',
  Ulimits: { list: { fields: { Name: 'string', Hard: 'integer', Soft: 'integer' } } },
  CpuCount: 'integer',
  CpuPercent: 'integer',
  IOMaximumIOps: 'integer',
  IOMaximumBandwidth: 'integer',
};

export const HOST_CONFIG: Fields = {
  ...RESOURCES,
  Binds: strings,
  ContainerIDFile: 'string',
  LogConfig: { fields: { Type: 'string', Config: texts } },
  NetworkMode: 'string',
  PortBindings: { map: { list: { fields: { HostIp: 'string', HostPort: 'string' } } } },
  RestartPolicy: RESTART_POLICY,
  AutoRemove: 'boolean',
  VolumeDriver: 'string',
  VolumesFrom: strings,
  ConsoleSize: { list: 'integer' },
  Annotations: texts,
  CapAdd: 'strings',
  CapDrop: 'strings',
  CgroupnsMode: 'string',
  Dns: strings,
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: strings,
  IpcMode: 'string',
  Cgroup: 'string',
  Links: strings,
  OomScoreAdj: 'integer',
  PidMode: 'string',
  Privileged: 'boolean',
  PublishAllPorts: 'boolean',
  ReadonlyRootfs: 'boolean',
  SecurityOpt: strings,
  StorageOpt: texts,
  Tmpfs: texts,
  UTSMode: 'string',
  UsernsMode: 'string',
  ShmSize: 'integer',
  Sysctls: texts,
  Runtime: 'string',
  Isolation: 'string',
  Mounts: { list: { fields: MOUNT } },
  MaskedPaths: strings,
  ReadonlyPaths: strings,
  Init: 'boolean',
};

export const ENDPOINT: Fields = {
  IPAMConfig: { fields: { IPv4Address: 'string', IPv6Address: 'string', LinkLocalIPs: strings } },
  Links: strings,
  Aliases: strings,
  MacAddress: 'string',
  DriverOpts: texts,
  GwPriority: 'integer',
  NetworkID: 'string',
  EndpointID: 'string',
  Gateway: 'string',
  IPAddress: 'string',
  IPPrefixLen: 'integer',
  IPv6Gateway: 'string',
  GlobalIPv6Address: 'string',
  GlobalIPv6PrefixLen: 'integer',
  DNSNames: strings,
};

export const NETWORKING_CONFIG: Fields = { EndpointsConfig: { map: { fields: ENDPOINT } } };

/** The body of `create`. */
export const CREATE: Fields = { ...CONFIG, HostConfig: { fields: HOST_CONFIG }, NetworkingConfig: { fields: NETWORKING_CONFIG } };

/** The body of `update`. */
export const UPDATE: Fields = { ...RESOURCES, RestartPolicy: RESTART_POLICY };

/** Fields of HostConfig that are another system's, with what is said to whoever sets them. */
export const REFUSED: Readonly<Record<string, string>> = {
  CpuCount: 'the number of processors is a Windows setting; use NanoCpus (--cpus)',
  CpuPercent: 'a percentage of processors is a Windows setting; use NanoCpus (--cpus)',
  IOMaximumIOps: 'this limit is a Windows setting; use BlkioDeviceReadIOps and BlkioDeviceWriteIOps',
  IOMaximumBandwidth: 'this limit is a Windows setting; use BlkioDeviceReadBps and BlkioDeviceWriteBps',
  Cgroup: 'another container’s control group can not be shared; use CgroupParent',
};
