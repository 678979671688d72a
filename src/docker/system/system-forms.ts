import { join } from 'node:path';
import type { Platform } from '#images/index.ts';
import type { MachineFacts } from './machine-facts.ts';

/** The newest and the oldest minor of Docker Engine API 1.x that we speak. */
export const VERSION_MINOR = 51;
export const OLDEST_MINOR = 24;

/** What the agent knows of itself and docker's clients ask for. */
export interface DaemonFacts {
  /** Stays the same for an instance. */
  id: string;
  version: string;
  dataDir: string;
  /** `cgroupfs` or `systemd`. */
  cgroupDriver: string;
  defaultRuntime: string;
  runtimes: readonly string[];
  /** Log drivers that containers can have. */
  logDrivers: readonly string[];
  /** Network drivers. */
  networkDrivers: readonly string[];
  insecureRegistries: readonly string[];
  proxy: { http?: string | undefined; https?: string | undefined; no?: string | undefined };
  cdiDirectories: readonly string[];
}

/** What there is just now. */
export interface Counts {
  images: number;
  running: number;
  paused: number;
  stopped: number;
  /** Who listens to events. */
  listeners: number;
  nowMs: number;
}

/** The answer of `GET /info`. Pure. */
export function toInfo(daemon: DaemonFacts, machine: MachineFacts, counts: Counts, apiMinor: number): Record<string, unknown> {
  const { limits } = machine;
  const { running, paused, stopped } = counts;
  return {
    ID: daemon.id,
    Containers: running + paused + stopped,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    Images: counts.images,
    Driver: 'overlay2',
    DriverStatus: [
      ['Backing Filesystem', machine.fileSystem],
      ['Supports d_type', 'true'],
      ['Using metacopy', 'false'],
      ['Native Overlay Diff', 'true'],
      ['userxattr', 'false'],
    ],
    Plugins: { Volume: ['local'], Network: daemon.networkDrivers, Authorization: null, Log: daemon.logDrivers },
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    ...(apiMinor < 42 ? { KernelMemory: false } : {}),
    ...(apiMinor < 42 ? { KernelMemoryTCP: false } : {}),
    CpuCfsPeriod: limits.quota,
    CpuCfsQuota: limits.quota,
    CPUShares: limits.shares,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    IPv4Forwarding: machine.forwardsIpv4,
    // Whatever the machine has: dockerd loads that module no more by itself.
    ...(apiMinor < 50 ? { BridgeNfIptables: false, BridgeNfIp6tables: false } : {}),
    Debug: false,
    NFd: machine.openFiles,
    OomKillDisable: limits.oomKillDisable,
    NGoroutines: 0,
    SystemTime: new Date(counts.nowMs).toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: daemon.cgroupDriver,
    CgroupVersion: machine.cgroupVersion,
    NEventsListener: counts.listeners,
    KernelVersion: machine.kernel,
    OperatingSystem: machine.operatingSystem,
    OSVersion: machine.osVersion,
    OSType: 'linux',
    Architecture: machine.architecture,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: toRegistryConfig(daemon.insecureRegistries, apiMinor),
    NCPU: machine.processors,
    MemTotal: machine.memoryBytes,
    GenericResources: null,
    // Where tools look for `volumes/<name>/_data`.
    DockerRootDir: join(daemon.dataDir, 'docker'),
    HttpProxy: withoutSecret(daemon.proxy.http),
    HttpsProxy: withoutSecret(daemon.proxy.https),
    NoProxy: daemon.proxy.no ?? '',
    Name: machine.hostname,
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: daemon.version,
    Runtimes: Object.fromEntries(daemon.runtimes.map(name => [name, { path: name }])),
    DefaultRuntime: daemon.defaultRuntime,
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: 'docker-init',
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: '' },
    InitCommit: { ID: '' },
    SecurityOptions: toSecurityOptions(machine, apiMinor),
    ...(apiMinor >= 44 ? { CDISpecDirs: daemon.cdiDirectories } : {}),
    ...(apiMinor >= 49 ? { FirewallBackend: { Driver: 'nftables' } } : {}),
    ...(apiMinor >= 50 ? { DiscoveredDevices: [] } : {}),
    ...(apiMinor < 25 ? { ExecutionDriver: '<not supported>' } : {}),
    Warnings: toWarnings(machine),
  };
}

function toRegistryConfig(insecure: readonly string[], apiMinor: number): Record<string, unknown> {
  const entry = (Name: string, isSecure: boolean) => ({ Name, Mirrors: [], Secure: isSecure, Official: Name === 'docker.io' });
  const hosts = [entry('docker.io', true), ...insecure.map(name => entry(name, false))];
  return {
    ...(apiMinor < 49 ? { AllowNondistributableArtifactsCIDRs: [], AllowNondistributableArtifactsHostnames: [] } : {}),
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
    IndexConfigs: Object.fromEntries(hosts.map(host => [host.Name, host])),
    Mirrors: [],
  };
}

function toSecurityOptions({ hasAppArmor, hasSeccomp, hasSelinux, cgroupVersion }: MachineFacts, apiMinor: number): string[] {
  const names = [...(hasAppArmor ? ['apparmor'] : []), ...(hasSeccomp ? ['seccomp'] : []), ...(hasSelinux ? ['selinux'] : [])];
  if (apiMinor < 25) return names;
  const options = names.map(name => (name === 'seccomp' ? 'name=seccomp,profile=builtin' : `name=${name}`));
  return cgroupVersion === '2' ? [...options, 'name=cgroupns'] : options;
}

function toWarnings({ limits, forwardsIpv4 }: MachineFacts): string[] | null {
  const warnings = [
    ...(limits.memory ? [] : ['WARNING: No memory limit support']),
    ...(limits.swap ? [] : ['WARNING: No swap limit support']),
    ...(limits.quota ? [] : ['WARNING: No cpu cfs quota support']),
    ...(limits.shares ? [] : ['WARNING: No cpu shares support']),
    ...(limits.cpuset ? [] : ['WARNING: No cpuset support']),
    ...(limits.pids ? [] : ['WARNING: No pids limit support']),
    ...(forwardsIpv4 ? [] : ['WARNING: IPv4 forwarding is disabled']),
  ];
  return warnings.length > 0 ? warnings : null;
}

/** A proxy's address without who may use it. */
function withoutSecret(address: string | undefined): string {
  if (!address) return '';
  if (!URL.canParse(address)) return address.replace(/^.*@/, 'xxxxx:xxxxx@');
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') [url.username, url.password] = ['xxxxx', 'xxxxx'];
  return url.href;
}

/** The answer of `GET /version`. Pure. */
export function toVersion(
  version: string,
  { kernel, platform }: { kernel: string; platform: Platform },
  apiMinor: number,
): Record<string, unknown> {
  const details = {
    ApiVersion: `1.${VERSION_MINOR}`,
    ...(apiMinor >= 25 ? { MinAPIVersion: `1.${OLDEST_MINOR}` } : {}),
    Os: platform.os,
    Arch: platform.architecture,
    KernelVersion: kernel,
  };
  const engine = { ...details, GitCommit: '', GoVersion: '', BuildTime: '', Experimental: 'false' };
  return {
    ...(apiMinor >= 35 ? { Platform: { Name: 'Umiak' }, Components: [{ Name: 'Engine', Version: version, Details: engine }] } : {}),
    Version: version,
    ...details,
    GitCommit: '',
    GoVersion: '',
    BuildTime: '',
  };
}
