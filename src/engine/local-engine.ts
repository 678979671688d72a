import { mkdirSync } from 'node:fs';
import type { Duplex, Readable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { type CgroupLimits, readCgroupLayout } from '#linux/cgroup.ts';
import { connectInside } from '#linux/connect-inside.ts';
import { lockFileWhenFree } from '#linux/lock.ts';
import { inNamespace } from '#linux/namespaces.ts';
import { type LinkCounters, Netlink } from '#linux/netlink.ts';
import type { ProjectUsage } from '#linux/quota.ts';
import { AttachQueue } from './attach-queue.ts';
import { type CgroupDriver, EngineCgroups } from './cgroups.ts';
import { ContainerLife } from './container-life.ts';
import { ContainerRuns } from './container-runs.ts';
import type {
  Container,
  ContainerConfig,
  ContainerStats,
  Engine,
  EngineEvent,
  ExecOptions,
  ExecSession,
  LogOptions,
  Owner,
  Resources,
  RotateLogOptions,
  Sandbox,
  SandboxConfig,
  StreamSession,
} from './engine.ts';
import { EventFeed } from './events.ts';
import { readBootId, readHostFacts } from './host-facts.ts';
import { Ledger } from './ledger.ts';
import { MachineChecks } from './machine-checks.ts';
import { EnginePaths } from './paths.ts';
import type { CniSandboxes, ImageSource, SandboxNetworks } from './ports.ts';
import { namespacesOf, Preparation } from './preparation.ts';
import { type ContainerRecord, toContainer, toSandbox } from './records.ts';
import { recover } from './recover.ts';
import { OciRuntimes } from './runtime.ts';
import type { RuntimeFeatures } from './runtime-features.ts';
import { BUILT_IN_HANDLERS, type RuntimeHandlers } from './runtime-handlers.ts';
import { SandboxLife } from './sandbox-life.ts';
import type { SnapshotterKind } from './snapshotter.ts';
import { ContainerStreams } from './streams.ts';
import { Turns } from './turns.ts';

export interface EngineOptions {
  dataDir: string;
  runDir: string;
  /** Prefix of its control groups; instances live side by side. */
  instance: string;
  images: ImageSource;
  networks: SandboxNetworks;
  /** The machine's CNI plugins; without them no sandbox can have network `cni`. */
  cni?: CniSandboxes;
  /** For sandboxes that don't say; default crun. */
  runtime?: string;
  /** Runtime handlers; default crun, runc and runsc, where they are installed. */
  runtimes?: RuntimeHandlers;
  /** Who makes control groups; default: we do. */
  cgroupDriver?: CgroupDriver;
  /** How containers get their root file systems; default `auto`: by overlay, by copies where that can't be. */
  snapshotter?: SnapshotterKind | 'auto';
  clock?: Clock;
  log: Log;
  /** For tests of a reboot. */
  bootId?: string;
}

/** For a child that a killed engine was just starting to become the program it is to be. */
const LOCK_TIMEOUT_MS = 10_000;
const CHECKPOINT_TIMEOUT_MS = 10 * 60_000;

/** Opens the engine, comparing what was recorded with what is there: what runs is adopted, what ended is known, what is half made is cleaned away. */
export async function openEngine({
  dataDir,
  runDir,
  instance,
  images,
  networks,
  cni,
  runtime = 'crun',
  runtimes: handlers = BUILT_IN_HANDLERS,
  cgroupDriver = 'cgroupfs',
  snapshotter,
  clock = systemClock,
  log,
  bootId = readBootId(),
}: EngineOptions): Promise<LocalEngine> {
  const paths = new EnginePaths({ dataDir, runDir });
  for (const directory of [paths.sandboxes, paths.containers, paths.mapped]) mkdirSync(directory, { recursive: true, mode: 0o711 });
  for (const directory of [paths.bundles, paths.exits]) mkdirSync(directory, { recursive: true, mode: 0o700 });

  const lock = await lockFileWhenFree(paths.lock, `the engine in ${runDir}`, LOCK_TIMEOUT_MS);
  const layout = readCgroupLayout();
  const host = readHostFacts(layout);
  const ledger = new Ledger(paths);
  const cgroups = new EngineCgroups({ layout, instance, driver: cgroupDriver });
  const events = new EventFeed();
  const runtimes = new OciRuntimes({ paths, handlers, systemdCgroups: cgroupDriver === 'systemd' });
  const attachments = new AttachQueue();
  const preparation = new Preparation({
    paths,
    ledger,
    host,
    images,
    runtimes,
    snapshotter,
    onCopies: why => log.warn('overlayfs does not work here: containers get copies of their images', { why: messageOf(why) }),
  });
  const runs = new ContainerRuns({ paths, ledger, cgroups, events, preparation, runtimes, attachments, clock, bootId, log });
  const checks = new MachineChecks(layout);
  const containers = new ContainerLife({
    paths,
    ledger,
    cgroups,
    events,
    preparation,
    runs,
    images,
    runtimes,
    defaultRuntime: runtime,
    checks,
    clock,
  });
  const sandboxes = new SandboxLife({ paths, ledger, cgroups, events, containers, networks, cni, checks, clock, bootId });
  const streams = new ContainerStreams({ paths, ledger, runs, runtimes, attachments, host, clock });

  try {
    await recover({ paths, ledger, cgroups, runs, networks, cni, bootId });
    preparation.clear();
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return new LocalEngine({
    lock,
    paths,
    cgroupDriver,
    ledger,
    cgroups,
    events,
    runs,
    containers,
    sandboxes,
    streams,
    runtimes,
    defaultRuntime: runtime,
    clock,
  });
}

interface Parts {
  lock: Disposable;
  paths: EnginePaths;
  cgroupDriver: CgroupDriver;
  ledger: Ledger;
  cgroups: EngineCgroups;
  events: EventFeed;
  runs: ContainerRuns;
  containers: ContainerLife;
  sandboxes: SandboxLife;
  streams: ContainerStreams;
  runtimes: OciRuntimes;
  defaultRuntime: string;
  clock: Clock;
}

/** `Engine` over overlayfs, crun or runc, and conmon; made by `openEngine`. One door to parts that each do one thing. */
export class LocalEngine implements Engine {
  /** Who makes its control groups. */
  readonly cgroupDriver: CgroupDriver;
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #cgroups: EngineCgroups;
  readonly #events: EventFeed;
  readonly #runs: ContainerRuns;
  readonly #containers: ContainerLife;
  readonly #sandboxes: SandboxLife;
  readonly #streams: ContainerStreams;
  readonly #runtimes: OciRuntimes;
  readonly #defaultRuntime: string;
  readonly #clock: Clock;
  readonly #lock: Disposable;
  readonly #turns = new Turns();

  constructor({
    lock,
    paths,
    cgroupDriver,
    ledger,
    cgroups,
    events,
    runs,
    containers,
    sandboxes,
    streams,
    runtimes,
    defaultRuntime,
    clock,
  }: Parts) {
    this.cgroupDriver = cgroupDriver;
    this.#paths = paths;
    this.#ledger = ledger;
    this.#cgroups = cgroups;
    this.#events = events;
    this.#runs = runs;
    this.#containers = containers;
    this.#sandboxes = sandboxes;
    this.#streams = streams;
    this.#runtimes = runtimes;
    this.#defaultRuntime = defaultRuntime;
    this.#clock = clock;
    this.#lock = lock;
  }

  // ——— sandboxes ———

  async createSandbox(config: SandboxConfig): Promise<Sandbox> {
    return toSandbox(await this.#sandboxes.create(config));
  }

  async startSandbox(id: string): Promise<Sandbox> {
    return toSandbox(await this.#sandboxes.start(id));
  }

  async setSandboxFiles(id: string, files: { hosts?: string; resolvConf?: string }): Promise<void> {
    await this.#sandboxes.setFiles(this.#ledger.usableSandbox(id), files);
  }

  /** Where the files are that its containers have at /etc. */
  sandboxFiles(id: string): { hosts: string; hostname: string; resolvConf: string } {
    const directory = this.#paths.sandbox(id);
    return { hosts: `${directory}/hosts`, hostname: `${directory}/hostname`, resolvConf: `${directory}/resolv.conf` };
  }

  async stopSandbox(id: string): Promise<void> {
    const record = this.#ledger.sandbox(id);
    if (record) await this.#sandboxes.stop(record);
  }

  async removeSandbox(id: string): Promise<void> {
    const record = this.#ledger.sandbox(id);
    if (record) await this.#sandboxes.remove(record);
  }

  sandboxes({ owner, internal = false }: { owner?: Owner; internal?: boolean } = {}): Sandbox[] {
    return this.#ledger
      .sandboxes()
      .filter(({ phase, config }) => phase !== 'creating' && (owner === undefined || config.owner === owner))
      .filter(({ config }) => (config.internal ?? false) === internal)
      .map(toSandbox);
  }

  sandbox(id: string): Sandbox | undefined {
    const record = this.#ledger.sandbox(id);
    return record && record.phase !== 'creating' ? toSandbox(record) : undefined;
  }

  // ——— containers ———

  async createContainer(config: ContainerConfig, { id }: { id?: string } = {}): Promise<Container> {
    return toContainer(await this.#containers.create(config, id));
  }

  async startContainer(id: string): Promise<Container> {
    return toContainer(await this.#containers.start(id));
  }

  async stopContainer(id: string, { graceMs, signal }: { graceMs: number; signal?: string }): Promise<Container> {
    const record = this.#ledger.need(id);
    await this.#containers.stop(record, graceMs, signal);
    return toContainer(record);
  }

  async pauseContainer(id: string): Promise<Container> {
    return toContainer(await this.#containers.pause(id, true));
  }

  async unpauseContainer(id: string): Promise<Container> {
    return toContainer(await this.#containers.pause(id, false));
  }

  async killContainer(id: string, signal: string): Promise<void> {
    await this.#containers.kill(this.#ledger.need(id), signal);
  }

  async removeContainer(id: string): Promise<void> {
    const record = this.#ledger.container(id);
    if (record) await this.#containers.remove(record);
  }

  async setOwnerData(id: string, ownerData: unknown): Promise<void> {
    await this.#containers.setOwnerData(id, ownerData);
  }

  async withRootfs<T>(id: string, visit: (rootfs: string) => Promise<T>): Promise<T> {
    return await this.#containers.withRootfs(id, visit);
  }

  writableDirectory(id: string): string {
    return this.#containers.writableDirectory(id);
  }

  rootfsParts(id: string): { directory: string; isWhole: boolean; layers: readonly string[] } {
    return this.#containers.rootfsParts(id);
  }

  /** What the container wrote, told at once where the file system counts by project; undefined: its files must be counted. */
  writableUsage(id: string): ProjectUsage | undefined {
    return this.#containers.writableUsage(id);
  }

  async updateSandboxResources(id: string, resources: Resources): Promise<void> {
    await this.#sandboxes.updateResources(this.#ledger.readySandbox(id), resources);
  }

  async updateResources(id: string, resources: Resources): Promise<void> {
    await this.#containers.updateResources(id, resources);
  }

  containers({ owner, sandboxId }: { owner?: Owner; sandboxId?: string } = {}): Container[] {
    return this.#ledger
      .containers()
      .filter(record => isVisible(record) && (owner === undefined || record.owner === owner))
      .filter(({ config }) => (sandboxId === undefined ? !config.internal : config.sandboxId === sandboxId))
      .map(toContainer);
  }

  container(id: string): Container | undefined {
    const record = this.#ledger.container(id);
    return record && isVisible(record) ? toContainer(record) : undefined;
  }

  /** Whether a container, running or not, needs that image: then its layers must stay. */
  usesImage(imageId: string): boolean {
    const shows = (record: ContainerRecord) => record.config.mounts?.some(mount => mount.imageId === imageId) ?? false;
    return this.#ledger.containers().some(record => record.imageId === imageId || shows(record));
  }

  async stats(id: string): Promise<ContainerStats> {
    const record = this.#ledger.needRunning(id);
    return this.#turns.run(() => ({ atMs: this.#clock.now(), ...this.#cgroups.of(record).usage() }));
  }

  async sandboxStats(id: string): Promise<ContainerStats> {
    const record = this.#ledger.sandbox(id);
    if (!record) throw new UmiakError('NotFound', `there is no sandbox ${id}`, { details: { kind: 'sandbox', name: id } });
    return this.#turns.run(() => {
      const running = this.#ledger.containersOf(id).filter(({ phase }) => phase === 'running');
      return { atMs: this.#clock.now(), ...this.#cgroups.usageOf(record, running) };
    });
  }

  async networkStats(sandboxId: string): Promise<LinkCounters[]> {
    const record = this.#ledger.sandbox(sandboxId);
    const path = record?.phase === 'ready' ? namespacesOf(record).network : undefined;
    if (path === undefined) return [];
    return this.#turns.run(() =>
      inNamespace(path, 'net', () => {
        using netlink = new Netlink();
        return netlink.counters().filter(({ name }) => name !== 'lo');
      }),
    );
  }

  /** Processes of a running container, as the machine numbers them. */
  processes(id: string): number[] {
    return this.#cgroups.of(this.#ledger.needRunning(id)).processes();
  }

  /** The limits of a running container as the kernel holds them. */
  limits(id: string): CgroupLimits {
    return this.#cgroups.of(this.#ledger.needRunning(id)).limits();
  }

  // ——— what goes in and out ———

  async exec(id: string, options: ExecOptions): Promise<ExecSession> {
    return this.#streams.exec(id, options);
  }

  async execSync(
    id: string,
    options: { command: string[]; timeoutMs: number; maxBytes?: number },
  ): Promise<{ exitCode: number; output: string }> {
    return this.#streams.execSync(id, options);
  }

  /** A container that is not started yet is attached at its start, before it writes anything. */
  async dial(sandboxId: string, port: number): Promise<Duplex> {
    const record = this.#ledger.sandbox(sandboxId);
    if (record?.phase !== 'ready') throw new UmiakError('NotFound', `sandbox ${sandboxId} is not ready`);
    return await connectInside(namespacesOf(record).network ?? '/proc/thread-self/ns/net', port);
  }

  async attach(id: string, options: { stdin?: boolean; waits?: boolean; signal?: AbortSignal } = {}): Promise<StreamSession> {
    return this.#streams.attach(id, options);
  }

  resizeTerminal(id: string, size: { rows: number; columns: number }): void {
    this.#streams.resizeTerminal(id, size);
  }

  logs(id: string, options: LogOptions = {}): Readable {
    return this.#streams.logs(id, options);
  }

  async rotateLog(id: string, options: RotateLogOptions = {}): Promise<void> {
    await this.#streams.rotateLog(id, options);
  }

  async reopenLog(id: string): Promise<void> {
    await this.#streams.reopenLog(id);
  }

  // ——— runtimes ———

  /** Names of the runtime handlers that sandboxes can ask for, the machine's own choice first. */
  runtimeHandlers(): string[] {
    return [this.#defaultRuntime, ...this.#runtimes.names().filter(name => name !== this.#defaultRuntime)];
  }

  /** What a handler can do; the machine's own choice when no name is given. @throws Invalid when it is not configured */
  async runtimeFeatures(name: string = this.#defaultRuntime): Promise<RuntimeFeatures> {
    return this.#runtimes.features(name || this.#defaultRuntime);
  }

  /** Resolves when the machine's own runtime is found and runs. @throws ServiceUnavailable */
  async runtimeReady(): Promise<void> {
    await this.#runtimes.of({ runtime: this.#defaultRuntime });
  }

  async checkpoint(id: string, { location, timeoutMs = CHECKPOINT_TIMEOUT_MS }: { location: string; timeoutMs?: number }): Promise<void> {
    const record = this.#ledger.needRunning(id);
    const { checkpoint } = await import('./checkpoint.ts');
    await checkpoint({ record, runtime: await this.#runtimes.of(record), paths: this.#paths, location, timeoutMs });
  }

  subscribe(listener: (event: EngineEvent) => void, { internal = false }: { internal?: boolean } = {}): Disposable {
    return this.#events.subscribe(listener, internal);
  }

  /** Lets go of everything; containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#runs[Symbol.dispose]();
    this.#events.clear();
    await this.#streams[Symbol.asyncDispose]();
    this.#lock[Symbol.dispose]();
  }
}

function isVisible({ phase, isPause }: ContainerRecord): boolean {
  return phase !== 'creating' && phase !== 'removing' && !isPause;
}
