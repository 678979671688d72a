import { isAbsolute, join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import { requireAnswering } from '#linux/answering.ts';
import { parseSignal } from '#linux/process.ts';
import type { ProjectUsage } from '#linux/quota.ts';
import type { EngineCgroups } from './cgroups.ts';
import type { ContainerRuns } from './container-runs.ts';
import type { ContainerConfig, Mount, Resources } from './engine.ts';
import type { EventFeed } from './events.ts';
import { type Ledger, notRunning } from './ledger.ts';
import type { MachineChecks } from './machine-checks.ts';
import type { EnginePaths } from './paths.ts';
import { makePauseContainer } from './pause.ts';
import type { ImageSource, ResolvedImage } from './ports.ts';
import type { Preparation } from './preparation.ts';
import { type ContainerRecord, type SandboxRecord, toContainer } from './records.ts';
import { clearRun } from './remains.ts';
import type { OciRuntimes } from './runtime.ts';
import type { RuntimeType } from './runtime-handlers.ts';
import { writableOf } from './snapshotter.ts';
import { stopSignalOf } from './stop-signal.ts';

const SIGKILL = 9;

export interface ContainerLifeOptions {
  paths: EnginePaths;
  ledger: Ledger;
  cgroups: EngineCgroups;
  events: EventFeed;
  preparation: Preparation;
  runs: ContainerRuns;
  images: ImageSource;
  runtimes: OciRuntimes;
  defaultRuntime: string;
  checks: MachineChecks;
  clock: Clock;
}

/** What is done to containers, one thing at a time to each: create, start, stop, change, remove. */
export class ContainerLife {
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #cgroups: EngineCgroups;
  readonly #events: EventFeed;
  readonly #preparation: Preparation;
  readonly #runs: ContainerRuns;
  readonly #images: ImageSource;
  readonly #runtimes: OciRuntimes;
  readonly #defaultRuntime: string;
  readonly #checks: MachineChecks;
  readonly #clock: Clock;
  readonly #locks = new KeyedLock();
  /** How many look into a root file system that was mounted for them. */
  readonly #visitors = new Map<string, number>();

  constructor({
    paths,
    ledger,
    cgroups,
    events,
    preparation,
    runs,
    images,
    runtimes,
    defaultRuntime,
    checks,
    clock,
  }: ContainerLifeOptions) {
    this.#paths = paths;
    this.#ledger = ledger;
    this.#cgroups = cgroups;
    this.#events = events;
    this.#preparation = preparation;
    this.#runs = runs;
    this.#images = images;
    this.#runtimes = runtimes;
    this.#defaultRuntime = defaultRuntime;
    this.#checks = checks;
    this.#clock = clock;
  }

  async create(config: ContainerConfig, id = newContainerId()): Promise<ContainerRecord> {
    const { config: sandboxConfig } = this.#ledger.usableSandbox(config.sandboxId);
    await requireAnswering(this.#foreignSources(config));
    this.#checks.container(config, sandboxConfig);
    this.#preparation.check(config);
    const image = config.layers ? imageOfLayers(config.image, config.layers) : await this.#images.resolve(config.image);
    const sandbox = this.#ledger.usableSandbox(config.sandboxId); // it may have been stopped meanwhile
    const { imageId, reference: imageRef, config: imageConfig, lowerDirs } = image;
    return this.#create(sandbox, { config, imageId, imageRef, imageConfig, lowerDirs }, id);
  }

  /** What is to be mounted from elsewhere on the machine. */
  #foreignSources({ mounts = [] }: ContainerConfig): string[] {
    const isBind = ({ type = 'bind', source }: Mount) => type === 'bind' && source.startsWith('/');
    return mounts.filter(isBind).flatMap(({ source }) => (source.startsWith(`${this.#paths.dataDir}/`) ? [] : [source]));
  }

  /** Makes and starts what holds a shared PID namespace of the sandbox open; its id. */
  async startPause(sandbox: SandboxRecord): Promise<string> {
    const record = await this.#create(sandbox, makePauseContainer(sandbox, this.#paths.pauseRoot));
    await this.#runs.start(record, sandbox);
    return record.id;
  }

  async #create(
    sandbox: SandboxRecord,
    what: Pick<ContainerRecord, 'config' | 'imageId' | 'imageRef' | 'imageConfig' | 'lowerDirs' | 'isPause'>,
    id = newContainerId(),
  ): Promise<ContainerRecord> {
    stopSignalOf(what);
    if (this.#ledger.container(id)) throw new UmiakError('AlreadyExists', `there is a container ${id} already`);
    const runtime = sandbox.config.runtime ?? this.#defaultRuntime;
    refuseSharing(this.#runtimes.typeOf(runtime), sandbox, what.config);
    const record: ContainerRecord = {
      version: 1,
      id,
      owner: sandbox.config.owner,
      ...what,
      phase: 'creating',
      createdAtMs: this.#clock.now(),
      logPath: this.#logPath(id, what.config, sandbox),
      cgroupPath: this.#cgroups.containerPath(sandbox, id),
      runtime,
    };
    await this.#locks.run(id, () => this.#make(record, sandbox));
    return record;
  }

  async #make(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    try {
      this.#ledger.setEnvironmentAside(record);
      if (sandbox.phase === 'ready') {
        this.#ledger.saveContainer(record);
        await this.#preparation.prepare(record, sandbox);
      }
      record.phase = 'created';
      this.#ledger.saveContainer(record);
      await this.#ledger.settleCreated(record, sandbox);
    } catch (error) {
      await this.#discard(record);
      throw error;
    }
    if (!record.isPause) this.#events.emit({ type: 'container', action: 'created', container: toContainer(record) });
  }

  async start(id: string): Promise<ContainerRecord> {
    return this.#locks.run(id, async () => {
      const record = this.#ledger.need(id);
      if (record.phase === 'running') return record;
      const sandbox = this.#ledger.readySandbox(record.config.sandboxId);
      await this.#runs.start(record, sandbox);
      return record;
    });
  }

  async stop(record: ContainerRecord, graceMs: number, signal?: string): Promise<void> {
    const number = signal === undefined ? undefined : parseSignal(signal);
    await this.#locks.run(record.id, () => {}); // a start under way comes to its end first
    await this.#runs.stop(record, graceMs, number);
  }

  /** Noted before it halts: nobody is halted whose record does not say so. @throws Conflict when it does not run */
  async pause(id: string, { isHeld }: { isHeld: boolean }): Promise<ContainerRecord> {
    return this.#locks.run(id, async () => {
      const record = this.#ledger.needRunning(id);
      this.#ledger.beginContainer(record, { isPaused: true, isHeld });
      await this.#cgroups.of(record).freeze(true);
      if (record.phase !== 'running') throw notRunning(id); // it has ended meanwhile
      return record;
    });
  }

  /** Noted after it goes on. @throws Conflict when it does not run */
  async unpause(id: string): Promise<ContainerRecord> {
    return this.#locks.run(id, async () => {
      const record = this.#ledger.needRunning(id);
      await this.#cgroups.of(record).freeze(false);
      if (record.phase !== 'running') return record;
      delete record.isPaused;
      delete record.isHeld;
      this.#ledger.saveContainer(record);
      return record;
    });
  }

  /** @throws Conflict when it does not run */
  async kill(record: ContainerRecord, signal: string): Promise<void> {
    const number = parseSignal(signal);
    if (record.phase !== 'running' || !record.init) throw notRunning(record.id);
    if (number === SIGKILL) this.#cgroups.of(record).signalKill();
    else await this.#runs.signal(record, number);
  }

  /** @throws Conflict when it runs */
  async remove(record: ContainerRecord): Promise<void> {
    const { id } = record;
    await this.#locks.run(id, async () => {
      if (!this.#ledger.container(id)) return;
      if (record.phase === 'running')
        throw new UmiakError('Conflict', `container ${id} is running`, {
          details: { kind: 'container', name: id },
          hint: 'Stop it first.',
        });
      await this.#runs.ended(id);
      const container = toContainer(record);
      this.#ledger.beginRemoval(record);
      await this.#discard(record);
      if (!record.isPause) this.#events.emit({ type: 'container', action: 'removed', container });
    });
  }

  /** Everything of a container that does not run, the record last. */
  async #discard(record: ContainerRecord): Promise<void> {
    await this.#preparation.unmount(record.id);
    clearRun(this.#paths, record.id, this.#cgroups.of(record));
    this.#preparation.forget(record.id);
    await this.#ledger.removeContainer(record.id);
  }

  /** Changes limits, of the run there is and of those to come. @throws Invalid */
  async updateResources(id: string, resources: Resources): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#ledger.need(id);
      const all = planUpdate(record.config.resources, resources);
      this.#checks.resources(all);
      const { memorySwapLimitBytes } = all;
      const change = resources.memoryLimitBytes && memorySwapLimitBytes ? { ...resources, memorySwapLimitBytes } : resources;
      if (record.phase === 'running') await this.#cgroups.limit(record, change);
      record.config = { ...record.config, resources: all };
      this.#preparation.expire(id);
      this.#ledger.saveContainer(record);
      await this.#ledger.settleContainer(record);
    });
  }

  async setOwnerData(id: string, ownerData: unknown): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#ledger.need(id);
      this.#ledger.beginContainer(record, { config: { ...record.config, ownerData } });
      await this.#ledger.settleContainer(record);
    });
  }

  /** Several may visit at once, also while it runs; none keeps it from being started or removed. */
  async withRootfs<T>(id: string, visit: (rootfs: string) => Promise<T>): Promise<T> {
    await this.#locks.run(id, async () => {
      const record = this.#ledger.need(id);
      const isOurs = await this.#preparation.mountRoot(record, this.#ledger.sandbox(record.config.sandboxId));
      const others = this.#visitors.get(id);
      if (isOurs || others !== undefined) this.#visitors.set(id, (others ?? 0) + 1);
    });
    try {
      return await visit(this.#paths.rootfs(id));
    } finally {
      await this.#locks.run(id, () => this.#leaveRootfs(id));
    }
  }

  async #leaveRootfs(id: string): Promise<void> {
    const visitors = this.#visitors.get(id);
    if (visitors === undefined) return;
    if (visitors > 1) return void this.#visitors.set(id, visitors - 1);
    this.#visitors.delete(id);
    const isIdle = ['created', 'exited'].includes(this.#ledger.container(id)?.phase ?? '');
    if (isIdle && !this.#runs.ended(id)) await this.#preparation.unmount(id);
  }

  writableUsage(id: string): ProjectUsage | undefined {
    return this.#preparation.writableUsage(this.#ledger.need(id).id);
  }

  writableDirectory(id: string): string {
    return writableOf(this.#paths.container(this.#ledger.need(id).id));
  }

  rootfsParts(id: string): { directory: string; isWhole: boolean; layers: readonly string[] } {
    const { lowerDirs } = this.#ledger.need(id);
    const directory = this.writableDirectory(id);
    return { directory, isWhole: directory === this.#paths.rootfs(id), layers: lowerDirs };
  }

  #logPath(id: string, { logPath }: ContainerConfig, { config: { logDirectory } }: SandboxRecord): string {
    if (logPath === undefined) return `${this.#paths.container(id)}/log/0.log`;
    if (isAbsolute(logPath)) return logPath;
    if (logDirectory === undefined) throw new UmiakError('Invalid', `logPath ${logPath} is relative, and the sandbox has no logDirectory`);
    return join(logDirectory, logPath);
  }
}

function imageOfLayers(name: string, { lowerDirs, defaults }: NonNullable<ContainerConfig['layers']>): ResolvedImage {
  return { imageId: name, reference: name, config: defaults, lowerDirs };
}

/** @throws Invalid for what a runtime with a kernel of its own in each container can't do */
function refuseSharing(type: RuntimeType, sandbox: SandboxRecord, { pidOf }: ContainerConfig): void {
  if (type !== 'runsc' || (sandbox.config.pid !== 'pod' && pidOf === undefined)) return;
  throw new UmiakError('Invalid', 'a shared PID namespace is not to be had under gVisor (runsc): each container has a kernel of its own', {
    hint: 'Leave shareProcessNamespace and ephemeral containers with a target away, or choose another RuntimeClass.',
  });
}

/** Limits after a change. One of swap that was the memory's own goes with it. Pure. */
export function planUpdate(before: Resources = {}, change: Resources): Resources {
  const all = { ...before, ...change };
  const wasNone = before.memorySwapLimitBytes !== undefined && before.memorySwapLimitBytes === before.memoryLimitBytes;
  if (wasNone && change.memorySwapLimitBytes === undefined && all.memoryLimitBytes) all.memorySwapLimitBytes = all.memoryLimitBytes;
  return all;
}
