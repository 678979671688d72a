import type { Duplex, Readable, Writable } from 'node:stream';
import type { CgroupUsage } from '#linux/cgroup-usage.ts';
import type { LinkCounters } from '#linux/netlink.ts';
import type { ImageDefaults } from './ports.ts';
import type { RuntimeFeatures } from './runtime-features.ts';

/** Who made a sandbox or container and may act on it: our node agent, the docker face, or a foreign CRI client. */
export type Owner = 'node' | 'docker' | 'cri';

export type NamespaceMode = 'pod' | 'host' | 'container';

export interface SandboxConfig {
  owner: Owner;
  metadata: { name: string; namespace: string; uid: string; attempt: number };
  hostname?: string;
  /** Its full name in /etc/hosts, before the host name. */
  fqdn?: string;
  /**
   * `pod`: an address from the pool; `cni`: from the machine's CNI plugins; `host`: the machine's network; `none`: loopback only;
   * `sandbox`: that of the sandbox `networkOf`.
   */
  network: 'pod' | 'cni' | 'host' | 'none' | 'sandbox';
  /** The id of a sandbox that is ready whenever this one starts. */
  networkOf?: string;
  /** A part of something else, as a build's step: in no list, and no event tells of it, but for those who ask. Its containers say so, too. */
  internal?: boolean;
  /** Made without namespaces: `startSandbox` gives them, `stopSandbox` takes them back, any number of times. */
  onDemand?: boolean;
  /** `pod`: all containers share one PID namespace (runs a pause process); `container`: each its own (default). */
  pid?: NamespaceMode;
  /** `sandbox`: that of the sandbox `ipcOf`, its /dev/shm too; `none`: its own, without a /dev/shm. */
  ipc?: 'pod' | 'host' | 'sandbox' | 'none';
  /** The id of a sandbox that is ready whenever this one starts. */
  ipcOf?: string;
  /** `host`: the machine's names; its own when absent. */
  uts?: 'host';
  /** The kernel's NIS domain name. */
  domainname?: string;
  /** Of /dev/shm; 64 MiB when absent. */
  shmSizeBytes?: number;
  /** `container`: with `ipc: 'pod'`, each container has a /dev/shm of its own, which goes with its run; nobody can join it. */
  shm?: 'container';
  /** The pod's own user namespace; absent means the machine's. */
  userNamespace?: UserNamespaceMappings;
  /** The engine chooses the ids of a user namespace of its own, 65,536 that no other sandbox has; `userNamespace` says them then. */
  ownUsers?: boolean;
  dns?: { servers: string[]; searches: string[]; options: string[] };
  /** Extra lines of /etc/hosts. */
  hostAliases?: { ip: string; hostnames: string[] }[];
  /** Path below the instance's cgroup, e.g. `burstable/pod<uid>`; an absolute one is the caller's own, who makes, limits and removes it. */
  cgroupParent?: string;
  sysctls?: Record<string, string>;
  /** Ports of the machine that lead to the sandbox. The engine only remembers them; who owns the machine's rules acts on them. */
  ports?: PublishedPort[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** Directory under which the containers' `logPath`s stand. */
  logDirectory?: string;
  /** A runtime handler that the machine is configured for; its own choice when absent. */
  runtime?: string;
  /** Limits of the sandbox's own control group, all of its containers together. */
  resources?: Resources;
}

/** Ranges of ids inside a user namespace and where they lie on the machine (OCI runtime spec, "User namespace mappings"). */
export interface IdMapping {
  containerId: number;
  hostId: number;
  length: number;
}

export interface UserNamespaceMappings {
  uids: IdMapping[];
  gids: IdMapping[];
}

export interface PublishedPort {
  protocol: 'tcp' | 'udp' | 'sctp';
  containerPort: number;
  hostPort: number;
  /** All addresses of the machine when absent. */
  hostIp?: string;
}

export interface Sandbox {
  id: string;
  config: SandboxConfig;
  /** `notready` after a stop or a reboot. */
  state: 'ready' | 'notready';
  createdAtMs: number;
  /** Absent with the host's network. */
  address?: string;
  /** All of its addresses, `address` the first; several only from CNI plugins. */
  addresses?: string[];
  /** Where its network namespace is pinned; absent with the host's network. */
  netns?: string;
}

export interface Mount {
  source: string;
  destination: string;
  readOnly?: boolean;
  /** Read-only with every mount below it; needs `readOnly` and private propagation. */
  recursiveReadOnly?: boolean;
  propagation?: 'private' | 'rslave' | 'rshared';
  /** Bind mounts: what is mounted below the source is left out. */
  isShallow?: boolean;
  /** `overlay`: several `lowerDirs` as one, to be read; `source` only names it. */
  type?: 'bind' | 'tmpfs' | 'overlay';
  /** Top first. */
  lowerDirs?: string[];
  options?: string[];
  /** The image whose content it shows, which stays while the container is there. */
  imageId?: string;
  /** Of the image only what is at this path, as a process whose root the image is would find it. */
  imageSubPath?: string;
}

export interface Resources {
  cpuShares?: number;
  cpuQuotaUs?: number;
  cpuPeriodUs?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  memoryLimitBytes?: number;
  memoryReservationBytes?: number;
  /** Memory and swap together; the memory limit (so no swap) when absent, -1 without end. */
  memorySwapLimitBytes?: number;
  /** `pageSize` as the kernel names it: `2MB`, `1GB`. */
  hugepageLimits?: { pageSize: string; limitBytes: number }[];
  /** Files of cgroup v2 by name, such as `memory.high`. */
  unified?: Record<string, string>;
  pidsLimit?: number;
  oomScoreAdj?: number;
  /** 0 to 100, where the kernel has it (cgroup v1). */
  memorySwappiness?: number;
  /** A lack of memory halts instead of killing (cgroup v1). */
  isOomKillDisabled?: boolean;
  cpuRealtimePeriodUs?: number;
  cpuRealtimeRuntimeUs?: number;
  io?: IoLimits;
}

/** Of block devices, by the paths of their nodes. */
export interface IoLimits {
  /** 10 to 1000. */
  weight?: number;
  deviceWeights?: { path: string; value: number }[];
  /** Bytes a second. */
  readBps?: { path: string; value: number }[];
  writeBps?: { path: string; value: number }[];
  readIops?: { path: string; value: number }[];
  writeIops?: { path: string; value: number }[];
}

export interface SecurityConfig {
  privileged?: boolean;
  capabilities?: { add?: string[]; drop?: string[]; addAmbient?: string[] };
  noNewPrivileges?: boolean;
  readOnlyRoot?: boolean;
  /** `runtime/default`, `unconfined` or a profile's absolute path. */
  seccomp?: string;
  /** A profile itself, in place of `seccomp`. */
  seccompProfile?: Record<string, unknown>;
  /** Its own control groups may be written to. */
  hasWritableCgroups?: boolean;
  /** uid, `user`, `user:group`, `uid:gid` as images write them; default: the image's. */
  user?: string;
  runAsGroup?: number;
  supplementalGroups?: number[];
  /** `Strict`: only the groups named here; `Merge` (default): the image's /etc/group too. */
  supplementalGroupsPolicy?: 'Merge' | 'Strict';
  /** Beside the user's own: names of the image's /etc/group, or numbers. */
  addedGroups?: string[];
  /** `runtime/default`, `unconfined` or a loaded profile's name. Refused where the kernel has no AppArmor. */
  apparmor?: string;
  /** Refused where the kernel has no SELinux. */
  selinux?: { user?: string; role?: string; type?: string; level?: string };
  /** Refuse to start as uid 0. */
  runAsNonRoot?: boolean;
  maskedPaths?: string[];
  readonlyPaths?: string[];
}

export interface ContainerConfig {
  sandboxId: string;
  metadata: { name: string; attempt: number };
  /** A reference or image id that the image store knows; with `layers` only a name. */
  image: string;
  /** Its sandbox is. */
  internal?: boolean;
  /** In the place of an image: directories in overlay's form, top first, which their owner keeps while the container is there. */
  layers?: { lowerDirs: string[]; defaults: ImageDefaults };
  /** Replaces the image's entrypoint. */
  command?: string[];
  /** Replaces the image's cmd. */
  args?: string[];
  env?: { name: string; value: string }[];
  /** Nothing but `env`, and HOME if that does not say: neither the image's nor what is usual. */
  ownEnv?: boolean;
  workingDir?: string;
  /** A program on the machine that runs as the first process and reaps: bound to /sbin/docker-init. */
  init?: string;
  /** It goes with its first run, and need not outlive a loss of power before. */
  isTransient?: boolean;
  /** The terminal's size from the first moment on. */
  consoleSize?: { rows: number; columns: number };
  /** Whether it sees the machine's control groups; its own when absent, where the kernel has cgroup v2. */
  cgroupNamespace?: 'host' | 'private';
  mounts?: Mount[];
  devices?: { path: string; containerPath?: string; permissions?: string }[];
  /** What may be done with devices by number, as `c 10:229 rw` or `b 8:* r`; nodes are the container's to make. */
  deviceRules?: string[];
  /** Fully qualified CDI names, `vendor.com/class=name`. */
  cdiDevices?: string[];
  resources?: Resources;
  security?: SecurityConfig;
  rlimits?: { type: string; soft: number; hard: number }[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** CRI log file, relative to the sandbox's `logDirectory`, or absolute. */
  logPath?: string;
  /** `none`: what it writes is kept nowhere. */
  log?: 'none';
  stdin?: boolean;
  stdinOnce?: boolean;
  tty?: boolean;
  stopSignal?: string;
  /** A running container of the same sandbox, or of the same owner for one on demand, whose PID namespace this one joins. */
  pidOf?: string;
  /** The most that it may write over its image; refused where the data directory's file system has no project quotas. */
  writableLimitBytes?: number;
  /** A PID namespace of its own where the others of the sandbox share one. */
  ownPid?: boolean;
  /** What people called the image; `image` may be an id. */
  imageName?: string;
  /** What its owner wants to find again with it, JSON; the engine does not read it. Changed by `setOwnerData`. */
  ownerData?: unknown;
}

export type ContainerState = 'created' | 'running' | 'exited';

export interface Container {
  id: string;
  owner: Owner;
  config: ContainerConfig;
  /** Config digest of the image it was made from. */
  imageId: string;
  imageRef: string;
  state: ContainerState;
  /** It runs and is halted. */
  isPaused?: true;
  pid?: number;
  createdAtMs: number;
  startedAtMs?: number;
  finishedAtMs?: number;
  exitCode?: number;
  /** `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, `MonitorLost`, `StartError`. */
  reason?: string;
  message?: string;
  logPath?: string;
  /** What it is stopped with: its own, the image's, or SIGTERM. */
  stopSignal?: string;
  /** Whom its first process is started as; inside its user namespace, if it has one. */
  user?: { uid: number; gid: number; supplementalGroups: number[] };
}

/** What happened, in order, for each subscriber. A subscriber that attaches late lists first. */
export type EngineEvent =
  | { type: 'container'; action: 'created' | 'started' | 'exited' | 'removed'; container: Container }
  | { type: 'sandbox'; action: 'created' | 'stopped' | 'removed'; sandbox: Sandbox };

export interface ExecOptions {
  command: string[];
  tty?: boolean;
  /** The terminal's size from the first moment on. */
  size?: { rows: number; columns: number };
  stdin?: boolean;
  env?: { name: string; value: string }[];
  user?: string;
  workingDir?: string;
  privileged?: boolean;
  signal?: AbortSignal;
}

export interface StreamSession {
  stdin?: Writable;
  stdout: Readable;
  /** Absent with a terminal. */
  stderr?: Readable;
  resize(size: { rows: number; columns: number }): void;
  /** Detaches without ending the process (attach), or kills it (exec). */
  close(): void;
}

export interface ExecSession extends StreamSession {
  readonly exitCode: Promise<number>;
  /** On the machine, once the runtime has told it. */
  pid?(): number | undefined;
  /** How long ago the runtime told that it runs; undefined before. */
  ranMs?(): number | undefined;
  /** Why nothing was begun; then `exitCode` is known, and the outputs say it in few words. */
  refusal?: { exitCode: number; message: string };
}

/** What stands as the cause of a `Timeout` of `execSync`. */
export interface ExecCutOff {
  /** What it had said. */
  output: string;
}

export interface LogOptions {
  follow?: boolean;
  tailLines?: number;
  sinceMs?: number;
  timestamps?: boolean;
  limitBytes?: number;
  /** Lines from this moment on: RFC 3339 in UTC with nanoseconds. Goes before `sinceMs`. */
  since?: string;
  /** Ends with the first line after this moment, written likewise. */
  until?: string;
  /** Written before each line, behind its time. */
  linePrefix?: string;
  /** `docker`: each line, or piece of one, in a frame with docker's header of eight bytes, which tells its stream. */
  frames?: 'docker';
  /** `all` (default), or one stream. */
  stream?: 'all' | 'stdout' | 'stderr';
  signal?: AbortSignal;
}

export interface RotateLogOptions {
  signal?: AbortSignal;
  keep?: number;
  compress?: boolean;
}

/** What a container's control group, or a sandbox's, uses. */
export interface ContainerStats extends CgroupUsage {
  atMs: number;
}

/**
 * Pods and containers on one machine. Every call that returns is recorded on disk first: after `kill -9` of this process what it
 * acknowledged is known again, running containers still run, and half-made ones are cleaned away at the next `openEngine`.
 */
export interface Engine extends AsyncDisposable {
  createSandbox(config: SandboxConfig): Promise<Sandbox>;
  /** Gives a sandbox on demand its namespaces and network. Idempotent. */
  startSandbox(id: string): Promise<Sandbox>;
  /** Stops its containers and frees its network. Idempotent. */
  stopSandbox(id: string): Promise<void>;
  /** Stops and removes it with its containers. Idempotent. */
  removeSandbox(id: string): Promise<void>;
  /** Writes the files that its containers see as `/etc/hosts` and `/etc/resolv.conf`, until its next start. */
  setSandboxFiles(id: string, files: { hosts?: string; resolvConf?: string }): Promise<void>;
  /** Those that are `internal`, or those that are not. */
  sandboxes(filter?: { owner?: Owner; internal?: boolean }): Sandbox[];
  sandbox(id: string): Sandbox | undefined;

  /** `id` is 64 hexadecimal digits that nobody has. */
  createContainer(config: ContainerConfig, options?: { id?: string }): Promise<Container>;
  startContainer(id: string): Promise<Container>;
  /** Its stop signal, or `signal`, then SIGKILL after `graceMs`; resolves when it has exited. A halted one goes on to hear it. Idempotent. */
  stopContainer(id: string, options: { graceMs: number; signal?: string }): Promise<Container>;
  /** Halts all of a running container's processes. `isHeld`: for something that we do; should we end meanwhile, it goes on. Idempotent. */
  pauseContainer(id: string, options?: { isHeld?: boolean }): Promise<Container>;
  unpauseContainer(id: string): Promise<Container>;
  killContainer(id: string, signal: string): Promise<void>;
  /** The container must not run. Idempotent. */
  removeContainer(id: string): Promise<void>;
  /** Replaces what the owner keeps with the container. On disk when it resolves. */
  setOwnerData(id: string, ownerData: unknown): Promise<void>;
  /** Runs `visit` with the container's root file system, mounted for that time if it does not run. */
  withRootfs<T>(id: string, visit: (rootfs: string) => Promise<T>): Promise<T>;
  /** Without `internal` ones, unless by their sandbox. */
  containers(filter?: { owner?: Owner; sandboxId?: string }): Container[];
  container(id: string): Container | undefined;

  exec(id: string, options: ExecOptions): Promise<ExecSession>;
  /** Whether `exec` would find that user in the container. @throws Invalid */
  checkExecUser(id: string, user: string): void;
  /** Connects to a port on the loopback of a ready sandbox. @throws `ServiceUnavailable` when nobody listens there */
  dial(sandboxId: string, port: number): Promise<Duplex>;
  /**
   * Runs to the end, output bounded to `maxBytes` (default 16 KiB). @throws `Timeout` after `timeoutMs`, the process killed; its `cause` is
   * an `ExecCutOff`
   */
  execSync(id: string, options: { command: string[]; timeoutMs: number; maxBytes?: number }): Promise<{ exitCode: number; output: string }>;
  /**
   * The container's own streams. One that waits for its first start is attached at that, before it writes anything; with `waits` one that
   * has ended too, at its next. `signal` ends the waiting.
   */
  attach(id: string, options: { stdin?: boolean; waits?: boolean; signal?: AbortSignal }): Promise<StreamSession>;
  /** Sets the size of a running container's terminal; nothing happens where it has none. @throws Conflict when it does not run */
  resizeTerminal(id: string, size: { rows: number; columns: number }): void;
  /** The container's log as bytes ready to send; rotated files included. Ends when the container ends, if following. */
  logs(id: string, options?: LogOptions): Readable;
  /**
   * Renames the log away and makes the monitor write a new one; then compresses those before it, unless told not to. `signal` ends the
   * latter. `keep`: how many rotated files stay (4).
   */
  rotateLog(id: string, options?: RotateLogOptions): Promise<void>;
  /** Makes the monitor write a new log where somebody else has renamed it away; resolves when it is there. @throws `Timeout` */
  reopenLog(id: string): Promise<void>;
  stats(id: string): Promise<ContainerStats>;
  /** Of all of a sandbox's containers together, by its own control group, or theirs where it has none. */
  sandboxStats(id: string): Promise<ContainerStats>;
  /** What went over the links of a ready sandbox's own network, its loopback left out; nothing of one that shares the machine's. */
  networkStats(sandboxId: string): Promise<LinkCounters[]>;
  /** Where what the container writes over its image lies. */
  writableDirectory(id: string): string;
  /** The variables of its configuration, which `Container.config` leaves out where they are many. @throws NotFound */
  environmentOf(id: string): NonNullable<ContainerConfig['env']>;
  /** What its root file system is made of: what it wrote, in overlay's form or (`isWhole`) with all of its image; and the image's layers, top first. */
  rootfsParts(id: string): { directory: string; isWhole: boolean; layers: readonly string[] };
  /** Changes the limits of a sandbox's own control group; what is absent stays. */
  updateSandboxResources(id: string, resources: Resources): Promise<void>;
  /** Changes limits of a running container. */
  updateResources(id: string, resources: Resources): Promise<void>;

  /**
   * Writes a running container with its processes into an archive; it goes on running.
   * @throws `NotImplemented` in words where the machine or the runtime can't
   */
  checkpoint(id: string, options: { location: string; timeoutMs?: number }): Promise<void>;

  /** Names of the runtime handlers that sandboxes can ask for, the machine's own choice first. */
  runtimeHandlers(): string[];
  /** What a handler can do; the machine's own choice when no name is given. @throws `Invalid` when it is not configured */
  runtimeFeatures(name?: string): Promise<RuntimeFeatures>;

  /** `listener` is called in order until disposed; of what is `internal`, or of what is not. */
  subscribe(listener: (event: EngineEvent) => void, options?: { internal?: boolean }): Disposable;
}
