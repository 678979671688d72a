import type { Duplex, Readable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { CgroupLimits } from '#linux/cgroup.ts';
import { connectInside } from '#linux/connect-inside.ts';
import { inNamespace } from '#linux/namespaces.ts';
import { type LinkCounters, Netlink } from '#linux/netlink.ts';
import type { ProjectUsage } from '#linux/quota.ts';
import type { CgroupDriver, EngineCgroups } from './cgroups.ts';
import type { ContainerLife } from './container-life.ts';
import type { ContainerRuns } from './container-runs.ts';
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
import type { EventFeed } from './events.ts';
import type { Ledger } from './ledger.ts';
import type { EnginePaths } from './paths.ts';
import { namespacesOf } from './preparation.ts';
import { type ContainerRecord, toContainer, toSandbox } from './records.ts';
import type { OciRuntimes } from './runtime.ts';
import type { RuntimeFeatures } from './runtime-features.ts';
import type { SandboxLife } from './sandbox-life.ts';
import type { ContainerStreams } from './streams.ts';
import { Turns } from './turns.ts';

const CHECKPOINT_TIMEOUT_MS = 10 * 60_000;

/** What `openEngine` makes it of. */
export interface LocalEngineParts {
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
  }: LocalEngineParts) {
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

  async pauseContainer(id: string, { isHeld = false }: { isHeld?: boolean } = {}): Promise<Container> {
    return toContainer(await this.#containers.pause(id, { isHeld }));
  }

  async unpauseContainer(id: string): Promise<Container> {
    return toContainer(await this.#containers.unpause(id));
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

  environmentOf(id: string): NonNullable<ContainerConfig['env']> {
    return this.#ledger.environmentOf(this.#ledger.need(id));
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

  checkExecUser(id: string, user: string): void {
    this.#streams.checkExecUser(id, user);
  }

  async execSync(
    id: string,
    options: { command: string[]; timeoutMs: number; maxBytes?: number },
  ): Promise<{ exitCode: number; output: string }> {
    return this.#streams.execSync(id, options);
  }

  /** A connection to a port as the sandbox itself would open it. */
  async dial(sandboxId: string, port: number): Promise<Duplex> {
    const record = this.#ledger.sandbox(sandboxId);
    if (record?.phase !== 'ready') throw new UmiakError('NotFound', `sandbox ${sandboxId} is not ready`);
    return await connectInside(namespacesOf(record).network ?? '/proc/thread-self/ns/net', port);
  }

  /** A container that is not started yet is attached at its start, before it writes anything. */
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
