import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Log } from '#base/log.ts';
import { Cgroup, type CgroupLayout, type CgroupLimits, readCgroupLayout } from '#linux/cgroup.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount } from '#linux/mount.ts';
import { readBelow } from '#linux/open-below.ts';
import { identify, parseSignal, signalProcess } from '#linux/process.ts';
import { SeqpacketSockets } from '#linux/seqpacket.ts';
import { openAttach } from './attach.ts';
import { createUnderMonitor, reopenLog, resizeTerminal, watchMonitor } from './conmon.ts';
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
  Sandbox,
  SandboxConfig,
  StreamSession,
} from './engine.ts';
import { collectExec, planExecProcess, startExec } from './exec.ts';
import { readBootId, readHostFacts } from './host-facts.ts';
import { renameLog } from './log-files.ts';
import { readLog } from './log-reader.ts';
import type { OciSpec } from './oci-types.ts';
import { EnginePaths } from './paths.ts';
import type { ImageSource, PinKind, SandboxNetworks } from './ports.ts';
import { Preparation } from './preparation.ts';
import { type ContainerRecord, readRecords, type SandboxRecord, syncRecord, toContainer, toSandbox, writeRecord } from './records.ts';
import { MONITOR_LOST_EXIT_CODE, planRecovery, type RecoveryPlan } from './recovery.ts';
import { clearRun, killRemains, unmountBelow } from './remains.ts';
import { type OciRuntime, openRuntime } from './runtime.ts';
import { sandboxHostname, writeSandboxFiles } from './sandbox-files.ts';
import { SeccompCache } from './seccomp-cache.ts';
import { planUser, type ResolvedUser } from './user.ts';
import { exitTime, readExitCode, readWorld } from './world.ts';

export interface EngineOptions {
  dataDir: string;
  runDir: string;
  /** Prefix of its control groups; instances live side by side. */
  instance: string;
  images: ImageSource;
  networks: SandboxNetworks;
  /** For sandboxes that don't say; default crun. */
  runtime?: 'crun' | 'runc';
  clock?: Clock;
  log: Log;
  /** For tests of a reboot. */
  bootId?: string;
}

interface Exit {
  exitCode: number;
  reason?: string;
  message?: string;
  /** When, if it was not just now. */
  atMs?: number | undefined;
}

/** Who attached before the start. */
interface Attaching {
  open(): void;
  fail(error: unknown): void;
}

/** One run of a container, from its start to its exit. */
interface Run {
  watcher: Disposable;
  /** Resolves when its exit is recorded and what it used is free. */
  ended: Promise<void>;
}

const SIGKILL = 9;
const DEFAULT_STOP_SIGNAL = 'SIGTERM';
const PAUSE_COMMAND = ['/bin/busybox', 'sh', '-c', "trap '' CHLD; exec /bin/busybox sleep 2147483647"];
const SHM_OPTIONS = 'mode=1777,size=65536k';

/** Opens the engine, comparing what was recorded with what is there: what runs is adopted, what ended is known, what is half made is cleaned away. */
export async function openEngine(options: EngineOptions): Promise<LocalEngine> {
  const engine = new LocalEngine(options);
  await engine.recover();
  return engine;
}

/** `Engine` over overlayfs, crun or runc, and conmon. */
export class LocalEngine implements Engine {
  readonly #paths: EnginePaths;
  readonly #instance: string;
  readonly #images: ImageSource;
  readonly #networks: SandboxNetworks;
  readonly #defaultRuntime: 'crun' | 'runc';
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bootId: string;
  readonly #layout: CgroupLayout = readCgroupLayout();
  readonly #host = readHostFacts(this.#layout);
  readonly #preparation: Preparation;
  readonly #runtimes = new Map<string, OciRuntime>();
  readonly #locks = new KeyedLock();
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new Map<string, ContainerRecord>();
  readonly #runs = new Map<string, Run>();
  readonly #sockets = new SeqpacketSockets();
  readonly #attaching = new Map<string, Attaching[]>();
  readonly #listeners = new Set<(event: EngineEvent) => void>();

  constructor({ dataDir, runDir, instance, images, networks, runtime = 'crun', clock = systemClock, log, bootId }: EngineOptions) {
    this.#paths = new EnginePaths({ dataDir, runDir });
    this.#instance = instance;
    this.#images = images;
    this.#networks = networks;
    this.#defaultRuntime = runtime;
    this.#clock = clock;
    this.#log = log;
    this.#bootId = bootId ?? readBootId();
    this.#preparation = new Preparation({ paths: this.#paths, host: this.#host, seccomp: new SeccompCache() });
    for (const directory of [this.#paths.sandboxes, this.#paths.containers]) mkdirSync(directory, { recursive: true, mode: 0o711 });
    for (const directory of [this.#paths.bundles, this.#paths.exits]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Called once by `openEngine`. */
  async recover(): Promise<void> {
    const sandboxes = readRecords<SandboxRecord>(this.#paths.sandboxes);
    const containers = readRecords<ContainerRecord>(this.#paths.containers);
    const world = readWorld(this.#paths, {
      bootId: this.#bootId,
      sandboxes: sandboxes.records,
      nameless: { sandboxes: sandboxes.nameless, containers: containers.nameless },
    });
    const plan = planRecovery({ sandboxes: sandboxes.records, containers: containers.records }, world);
    for (const { record } of plan.sandboxes) this.#sandboxes.set(record.id, record);
    for (const { record } of plan.containers) this.#containers.set(record.id, record);
    for (const id of plan.orphans) await this.#discardTraces(id, new Cgroup(this.#layout, `/${this.#instance}/${id}`));
    for (const step of plan.containers) await this.#recoverContainer(step);
    await this.#recoverSandboxes(plan);
    for (const id of sandboxes.nameless) this.#discardSandboxDirectory(id);
  }

  async #recoverContainer(step: RecoveryPlan['containers'][number]): Promise<void> {
    const { record, action } = step;
    const cgroup = this.#cgroup(record);
    if (action === 'adopt') {
      this.#preparation.adopt(record.id);
      record.monitor = step.monitor;
      record.phase = 'running';
      record.startedAtMs ??= this.#clock.now();
      this.#save(record);
      this.#follow(record);
      return;
    }
    if (action === 'exit') {
      if (step.kill) await killRemains(record.id, cgroup);
      this.#recordExit(record, { ...step, atMs: exitTime(this.#paths, record.id) });
    }
    if (action === 'rollback') {
      record.phase = record.finishedAtMs === undefined ? 'created' : 'exited';
      this.#save(record);
    }
    await this.#discardTraces(record.id, cgroup);
    if (action === 'discard') this.#forget(record);
  }

  async #recoverSandboxes({ sandboxes }: RecoveryPlan): Promise<void> {
    const kept = sandboxes.filter(({ record, action }) => action === 'keep' && record.phase === 'ready').map(({ record }) => record);
    const networks = kept.flatMap(record => record.network ?? []);
    const pinIds = kept.filter(record => record.pins).map(record => pinIdOf(record));
    const { lost } = await this.#networks.adopt(networks, pinIds);
    const lostIds = new Set(lost.map(({ id }) => id));
    for (const { record, action } of sandboxes) {
      const isLost = record.network !== undefined && lostIds.has(record.network.id);
      if (action === 'discard') this.#discardSandboxDirectory(record.id);
      else if (action === 'notready' || isLost) {
        unmountBelow(this.#paths.sandbox(record.id));
        record.phase = 'notready';
        delete record.network;
        delete record.pins;
        writeRecord(this.#paths.sandbox(record.id), record);
      }
      if (action === 'discard') this.#sandboxes.delete(record.id);
    }
  }

  async #discardTraces(id: string, cgroup: Cgroup): Promise<void> {
    await killRemains(id, cgroup);
    clearRun(this.#paths, id, cgroup);
    unmountBelow(this.#paths.container(id));
    if (!this.#containers.has(id)) rmSync(this.#paths.container(id), { recursive: true, force: true });
  }

  #discardSandboxDirectory(id: string): void {
    unmountBelow(this.#paths.sandbox(id));
    rmSync(this.#paths.sandbox(id), { recursive: true, force: true });
  }

  // ——— sandboxes ———

  async createSandbox(config: SandboxConfig): Promise<Sandbox> {
    const id = newContainerId();
    const directory = this.#paths.sandbox(id);
    const record: SandboxRecord = { version: 1, id, config, phase: 'creating', createdAtMs: this.#clock.now(), bootId: this.#bootId };
    writeRecord(directory, record);
    this.#sandboxes.set(id, record);
    try {
      await this.#giveNamespaces(record);
      writeSandboxFiles(directory, config, record.network?.address);
      if (config.ipc !== 'host') {
        mkdirSync(`${directory}/shm`);
        mount('shm', `${directory}/shm`, 'tmpfs', MS_NOSUID | MS_NODEV | MS_NOEXEC, SHM_OPTIONS);
      }
      if (config.pid === 'pod') record.pauseId = await this.#startPause(record);
    } catch (error) {
      await this.#dropSandbox(record);
      throw error;
    }
    record.phase = 'ready';
    writeRecord(directory, record);
    await this.#settle(config.owner, directory);
    const sandbox = toSandbox(record);
    this.#emit({ type: 'sandbox', action: 'created', sandbox });
    return sandbox;
  }

  async #giveNamespaces(record: SandboxRecord): Promise<void> {
    const { config } = record;
    const hostname = sandboxHostname(config);
    if (config.network === 'pod') {
      record.network = await this.#networks.take({ hostname });
      return;
    }
    const kinds: PinKind[] = [
      ...(config.network === 'none' ? (['net', 'uts'] as const) : []),
      ...(config.ipc === 'host' ? [] : (['ipc'] as const)),
    ];
    if (kinds.length === 0) return;
    record.pins = await this.#networks.pinNamespaces({ id: pinIdOf(record), kinds, ...(kinds.includes('uts') ? { hostname } : {}) });
  }

  async stopSandbox(id: string): Promise<void> {
    const record = this.#sandboxes.get(id);
    if (!record) return;
    await this.#locks.run(id, async () => {
      if (record.phase !== 'ready' && !record.network && !record.pins) return;
      record.phase = 'notready'; // from now on nothing starts in it
      await Promise.all(this.#containersOf(id).map(container => this.#stop(container, 0)));
      const { network, pins } = record;
      writeRecord(this.#paths.sandbox(id), record);
      delete record.network;
      delete record.pins;
      await this.#freeSandbox(record, network?.id, pins !== undefined);
      writeRecord(this.#paths.sandbox(id), record);
      this.#emit({ type: 'sandbox', action: 'stopped', sandbox: toSandbox(record) });
    });
  }

  async removeSandbox(id: string): Promise<void> {
    const record = this.#sandboxes.get(id);
    if (!record) return;
    await this.stopSandbox(id);
    await this.#locks.run(id, async () => {
      if (!this.#sandboxes.has(id)) return;
      record.phase = 'removing';
      writeRecord(this.#paths.sandbox(id), record);
      await Promise.all(this.#containersOf(id).map(container => this.#remove(container)));
      await this.#dropSandbox(record);
      this.#emit({ type: 'sandbox', action: 'removed', sandbox: toSandbox(record) });
    });
  }

  sandboxes({ owner }: { owner?: Owner } = {}): Sandbox[] {
    return [...this.#sandboxes.values()]
      .filter(({ phase, config }) => phase !== 'creating' && (owner === undefined || config.owner === owner))
      .map(toSandbox);
  }

  sandbox(id: string): Sandbox | undefined {
    const record = this.#sandboxes.get(id);
    return record && record.phase !== 'creating' ? toSandbox(record) : undefined;
  }

  /** Takes back everything that a sandbox has but its record. */
  async #freeSandbox(record: SandboxRecord, networkId: string | undefined, hasPins: boolean): Promise<void> {
    unmountBelow(this.#paths.sandbox(record.id));
    if (networkId !== undefined) await this.#networks.release({ id: networkId });
    if (hasPins) await this.#networks.unpinNamespaces(pinIdOf(record));
  }

  async #dropSandbox(record: SandboxRecord): Promise<void> {
    for (const container of this.#containersOf(record.id)) {
      await this.#stop(container, 0);
      await this.#remove(container);
    }
    await this.#freeSandbox(record, record.network?.id, record.pins !== undefined);
    if (record.config.cgroupParent !== undefined) new Cgroup(this.#layout, this.#cgroupParent(record)).remove();
    await rm(this.#paths.sandbox(record.id), { recursive: true, force: true });
    this.#sandboxes.delete(record.id);
  }

  #containersOf(sandboxId: string): ContainerRecord[] {
    return [...this.#containers.values()].filter(({ config }) => config.sandboxId === sandboxId);
  }

  // ——— containers ———

  async createContainer(config: ContainerConfig): Promise<Container> {
    this.#readySandbox(config.sandboxId);
    const image = await this.#images.resolve(config.image);
    const sandbox = this.#readySandbox(config.sandboxId); // it may have been stopped meanwhile
    const id = newContainerId();
    const record: ContainerRecord = {
      version: 1,
      id,
      owner: sandbox.config.owner,
      config,
      imageId: image.imageId,
      imageRef: image.reference,
      imageConfig: image.config,
      lowerDirs: image.lowerDirs,
      phase: 'creating',
      createdAtMs: this.#clock.now(),
      logPath: this.#logPath(id, config, sandbox.config),
      cgroupPath: `${this.#cgroupParent(sandbox)}/${id}`,
      runtime: sandbox.config.runtime ?? this.#defaultRuntime,
    };
    return this.#create(record, sandbox);
  }

  async #create(record: ContainerRecord, sandbox: SandboxRecord): Promise<Container> {
    const { id } = record;
    parseSignal(record.config.stopSignal ?? record.imageConfig.StopSignal ?? DEFAULT_STOP_SIGNAL);
    writeRecord(this.#paths.container(id), record);
    this.#containers.set(id, record);
    try {
      this.#preparation.prepare(record, sandbox, this.#runtime(record), this.#pidNamespace(sandbox));
    } catch (error) {
      await this.#discard(record);
      throw error;
    }
    record.phase = 'created';
    this.#save(record);
    await this.#settle(record.owner, this.#paths.container(id));
    const container = toContainer(record);
    this.#emitContainer('created', record);
    return container;
  }

  async startContainer(id: string): Promise<Container> {
    return this.#locks.run(id, async () => {
      const record = this.#need(id);
      if (record.phase === 'running') return toContainer(record);
      await this.#runs.get(id)?.ended;
      await this.#start(record, this.#readySandbox(record.config.sandboxId));
      return toContainer(record);
    });
  }

  async #start(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    const runtime = this.#runtime(record);
    record.phase = 'starting';
    record.bootId = this.#bootId;
    this.#save(record);
    try {
      await this.#refreshLayers(record);
      this.#preparation.prepare(record, sandbox, runtime, this.#pidNamespace(sandbox));
      await this.#launch(record, runtime);
    } catch (error) {
      await this.#failStart(record, error);
      throw error;
    }
  }

  async #launch(record: ContainerRecord, runtime: OciRuntime): Promise<void> {
    const { id, config } = record;
    const bundle = this.#paths.bundle(id);
    rmSync(this.#paths.exit(id), { force: true });
    const { monitor, pid } = await createUnderMonitor({
      id,
      bundle,
      exitDir: this.#paths.exits,
      logPath: record.logPath,
      runtime,
      terminal: config.tty ?? false,
      stdin: config.stdin ?? false,
      leaveStdinOpen: !(config.stdinOnce ?? false),
    });
    record.monitor = monitor;
    record.init = identify(pid) ?? { pid, startTime: -1 };
    for (const waiting of this.#takeAttaching(id)) waiting.open();
    await runtime.start(id);
    record.phase = 'running';
    record.startedAtMs = this.#clock.now();
    for (const field of ['finishedAtMs', 'exitCode', 'reason', 'message'] as const) delete record[field];
    this.#save(record);
    this.#follow(record);
    this.#emitContainer('started', record);
  }

  async #failStart(record: ContainerRecord, error: unknown): Promise<void> {
    for (const waiting of this.#takeAttaching(record.id)) waiting.fail(error);
    const cgroup = this.#cgroup(record);
    await killRemains(record.id, cgroup);
    clearRun(this.#paths, record.id, cgroup);
    this.#preparation.unmount(record.id);
    const message = messageOf(error);
    const isMissing = /not found|no such file/i.test(message);
    this.#recordExit(record, { exitCode: isMissing ? 127 : 128, reason: isMissing ? 'ContainerCannotRun' : 'StartError', message });
  }

  /** Watches a running container's monitor. */
  #follow(record: ContainerRecord): void {
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
    const watcher = watchMonitor(this.#paths.bundle(record.id), () => this.#finish(record).then(resolve, reject));
    ended.catch(error => this.#log.error('a container that ended could not be cleaned away', { id: record.id, error }));
    this.#runs.set(record.id, { watcher, ended });
  }

  /** The monitor has ended: the exit is read, recorded and told, then what the run used is freed. */
  async #finish(record: ContainerRecord): Promise<void> {
    const { id } = record;
    const cgroup = this.#cgroup(record);
    const exitCode = readExitCode(this.#paths, id);
    await (exitCode === undefined ? killRemains(id, cgroup) : cgroup.kill());
    if (exitCode !== undefined) this.#recordExit(record, { exitCode });
    else
      this.#recordExit(record, {
        exitCode: MONITOR_LOST_EXIT_CODE,
        reason: 'MonitorLost',
        message: 'its monitor (conmon) was killed, so that its exit code can not be known',
      });
    clearRun(this.#paths, id, cgroup);
    this.#preparation.unmount(id);
    this.#runs.delete(id);
    this.#emitContainer('exited', record);
  }

  #recordExit(record: ContainerRecord, { exitCode, reason, message, atMs }: Exit): void {
    const wasOomKilled = exitCode !== 0 && this.#cgroup(record).oomKills() > 0;
    record.phase = 'exited';
    record.finishedAtMs = atMs ?? this.#clock.now();
    record.exitCode = exitCode;
    record.reason = reason ?? (wasOomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error');
    if (message !== undefined) record.message = message;
    this.#save(record);
  }

  async stopContainer(id: string, { graceMs }: { graceMs: number }): Promise<Container> {
    const record = this.#need(id);
    await this.#stop(record, graceMs);
    return toContainer(record);
  }

  async #stop(record: ContainerRecord, graceMs: number): Promise<void> {
    await this.#locks.run(record.id, () => {}); // a start under way comes to its end first
    const run = this.#runs.get(record.id);
    if (!run) return;
    if (graceMs > 0) {
      const signal = parseSignal(record.config.stopSignal ?? record.imageConfig.StopSignal ?? DEFAULT_STOP_SIGNAL);
      if (record.init) signalProcess(record.init, signal);
      const { promise: patience, resolve } = Promise.withResolvers<void>();
      using _ = this.#clock.after(graceMs, resolve);
      await Promise.race([run.ended, patience]);
    }
    if (this.#runs.get(record.id) === run) this.#cgroup(record).signalKill();
    await run.ended;
  }

  async killContainer(id: string, signal: string): Promise<void> {
    const record = this.#need(id);
    const number = parseSignal(signal);
    if (record.phase !== 'running' || !record.init) throw notRunning(id);
    if (number === SIGKILL) this.#cgroup(record).signalKill();
    else signalProcess(record.init, number);
  }

  async removeContainer(id: string): Promise<void> {
    const record = this.#containers.get(id);
    if (record) await this.#remove(record);
  }

  async #remove(record: ContainerRecord): Promise<void> {
    const { id } = record;
    await this.#locks.run(id, async () => {
      if (!this.#containers.has(id)) return;
      if (record.phase === 'running')
        throw new UmiakError('Conflict', `container ${id} is running`, {
          details: { kind: 'container', name: id },
          hint: 'Stop it first.',
        });
      await this.#runs.get(id)?.ended;
      const container = toContainer(record);
      record.phase = 'removing';
      this.#save(record);
      await this.#discard(record);
      if (!record.isPause) this.#emit({ type: 'container', action: 'removed', container });
    });
  }

  /** Everything of a container that does not run, the record last. */
  async #discard(record: ContainerRecord): Promise<void> {
    const { id } = record;
    this.#preparation.unmount(id);
    clearRun(this.#paths, id, this.#cgroup(record));
    const directory = this.#paths.container(id);
    for (const part of ['upper', 'work', 'merged']) await rm(`${directory}/${part}`, { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
    this.#containers.delete(id);
  }

  /** Like `#discard` for what recovery found: already unmounted and cleared. */
  #forget(record: ContainerRecord): void {
    rmSync(this.#paths.container(record.id), { recursive: true, force: true });
    this.#containers.delete(record.id);
  }

  containers({ owner, sandboxId }: { owner?: Owner; sandboxId?: string } = {}): Container[] {
    return [...this.#containers.values()]
      .filter(record => isVisible(record) && (owner === undefined || record.owner === owner))
      .filter(({ config }) => sandboxId === undefined || config.sandboxId === sandboxId)
      .map(toContainer);
  }

  container(id: string): Container | undefined {
    const record = this.#containers.get(id);
    return record && isVisible(record) ? toContainer(record) : undefined;
  }

  /** Whether a container, running or not, needs that image: then its layers must stay. */
  usesImage(imageId: string): boolean {
    return [...this.#containers.values()].some(record => record.imageId === imageId);
  }

  // ——— what goes in and out ———

  async exec(id: string, options: ExecOptions): Promise<ExecSession> {
    const record = this.#needRunning(id);
    if (options.command.length === 0) throw new UmiakError('Invalid', 'there is no command to run');
    const bundle = this.#paths.bundle(id);
    const spec = JSON.parse(await readFile(`${bundle}/config.json`, 'utf8')) as OciSpec;
    const user = options.user === undefined ? undefined : this.#resolveUser(record, options.user);
    return startExec({
      id,
      runtime: this.#runtime(record),
      bundle,
      process: planExecProcess(spec, options, user, this.#host.capabilities),
      stdin: options.stdin ?? false,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  async execSync(
    id: string,
    { command, timeoutMs, maxBytes }: { command: string[]; timeoutMs: number; maxBytes?: number },
  ): Promise<{ exitCode: number; output: string }> {
    const session = await this.exec(id, { command });
    const after = (ms: number, run: () => void) => this.#clock.after(ms, run);
    return collectExec(session, { timeoutMs, after, what: `command ${command[0]}`, ...(maxBytes !== undefined ? { maxBytes } : {}) });
  }

  /** A container that is not started yet is attached at its start, before it writes anything. */
  async attach(id: string, { stdin = false }: { stdin?: boolean } = {}): Promise<StreamSession> {
    const record = this.#need(id);
    if (record.phase === 'exited') throw notRunning(id);
    const open = () =>
      openAttach({
        socket: this.#sockets.connect(`${this.#paths.bundle(id)}/attach`),
        terminal: record.config.tty ?? false,
        stdin: stdin && (record.config.stdin ?? false),
        resize: size => void resizeTerminal(this.#paths.bundle(id), size),
      });
    if (record.phase === 'running') return open();
    const { promise, resolve, reject } = Promise.withResolvers<StreamSession>();
    const waiting = this.#attaching.get(id) ?? [];
    this.#attaching.set(id, [...waiting, { open: () => resolve(open()), fail: reject }]);
    return promise;
  }

  logs(id: string, options: LogOptions = {}): Readable {
    const { logPath } = this.#need(id);
    return readLog({ ...options, logPath, ended: this.#runs.get(id)?.ended });
  }

  async rotateLog(id: string): Promise<void> {
    const { logPath } = this.#needRunning(id);
    renameLog(logPath, this.#clock.now());
    reopenLog(this.#paths.bundle(id));
  }

  async stats(id: string): Promise<ContainerStats> {
    const record = this.#needRunning(id);
    return { atMs: this.#clock.now(), ...this.#cgroup(record).usage() };
  }

  async updateResources(id: string, resources: Resources): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#need(id);
      if (record.phase === 'running') this.#cgroup(record).update(resources);
      record.config = { ...record.config, resources: { ...record.config.resources, ...resources } };
      this.#save(record);
      await this.#settle(record.owner, this.#paths.container(id));
    });
  }

  /** The limits of a running container as the kernel holds them. */
  limits(id: string): CgroupLimits {
    return this.#cgroup(this.#needRunning(id)).limits();
  }

  subscribe(listener: (event: EngineEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Lets go of everything; containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { watcher } of this.#runs.values()) watcher[Symbol.dispose]();
    this.#listeners.clear();
    await this.#sockets[Symbol.asyncDispose]();
  }

  // ——— small things ———

  #emitContainer(action: 'created' | 'started' | 'exited', record: ContainerRecord): void {
    if (!record.isPause) this.#emit({ type: 'container', action, container: toContainer(record) });
  }

  /** In order, and apart from the caller: what a listener throws is not the engine's. */
  #emit(event: EngineEvent): void {
    for (const listener of this.#listeners) queueMicrotask(() => listener(event));
  }

  #need(id: string): ContainerRecord {
    const record = this.#containers.get(id);
    if (!record || record.phase === 'creating' || record.phase === 'removing')
      throw new UmiakError('NotFound', `there is no container ${id}`, { details: { kind: 'container', name: id } });
    return record;
  }

  #needRunning(id: string): ContainerRecord {
    const record = this.#need(id);
    if (record.phase !== 'running') throw notRunning(id);
    return record;
  }

  #takeAttaching(id: string): Attaching[] {
    const waiting = this.#attaching.get(id) ?? [];
    this.#attaching.delete(id);
    return waiting;
  }

  #resolveUser({ id, config }: ContainerRecord, user: string): ResolvedUser {
    const rootfs = this.#paths.rootfs(id);
    return planUser({
      user,
      supplementalGroups: config.security?.supplementalGroups,
      passwd: readBelow(rootfs, '/etc/passwd'),
      group: readBelow(rootfs, '/etc/group'),
    });
  }

  #readySandbox(id: string): SandboxRecord {
    const record = this.#sandboxes.get(id);
    if (!record) throw new UmiakError('NotFound', `there is no sandbox ${id}`, { details: { kind: 'sandbox', name: id } });
    if (record.phase !== 'ready')
      throw new UmiakError('Conflict', `sandbox ${id} is not ready`, {
        details: { kind: 'sandbox', name: id },
        hint: 'Make a new sandbox.',
      });
    return record;
  }

  #runtime({ runtime: name }: ContainerRecord): OciRuntime {
    const runtime = this.#runtimes.get(name) ?? openRuntime(name, this.#paths.runtimeRoot(name));
    this.#runtimes.set(name, runtime);
    return runtime;
  }

  #cgroup({ cgroupPath }: ContainerRecord): Cgroup {
    return new Cgroup(this.#layout, cgroupPath);
  }

  #cgroupParent({ config }: SandboxRecord): string {
    return `/${[this.#instance, ...(config.cgroupParent ?? '').split('/').filter(part => part !== '' && part !== '..' && part !== '.')].join('/')}`;
  }

  #logPath(id: string, { logPath }: ContainerConfig, { logDirectory }: SandboxConfig): string {
    if (logPath === undefined) return `${this.#paths.container(id)}/log/0.log`;
    if (isAbsolute(logPath)) return logPath;
    if (logDirectory === undefined) throw new UmiakError('Invalid', `logPath ${logPath} is relative, and the sandbox has no logDirectory`);
    return join(logDirectory, logPath);
  }

  /** Layers can be unpacked elsewhere after a restart. */
  async #refreshLayers(record: ContainerRecord): Promise<void> {
    if (record.isPause || this.#preparation.hasLayers(record)) return;
    record.lowerDirs = (await this.#images.resolve(record.imageId)).lowerDirs;
  }

  #pidNamespace({ pauseId }: SandboxRecord): string | undefined {
    const pause = pauseId === undefined ? undefined : this.#containers.get(pauseId);
    return pause?.init && `/proc/${pause.init.pid}/ns/pid`;
  }

  #save(record: ContainerRecord): void {
    writeRecord(this.#paths.container(record.id), record);
  }

  /** What the node's agent asked for stands in the API's store and is asked for again after a loss of power; others ask once. */
  async #settle(owner: Owner, directory: string): Promise<void> {
    if (owner !== 'node') await syncRecord(directory);
  }

  /** A process that does nothing but hold a PID namespace open and let the kernel reap what is orphaned in it. */
  async #startPause(sandbox: SandboxRecord): Promise<string> {
    const id = newContainerId();
    const record: ContainerRecord = {
      version: 1,
      id,
      owner: sandbox.config.owner,
      config: { sandboxId: sandbox.id, metadata: { name: 'pause', attempt: 0 }, image: 'pause', security: { readOnlyRoot: true } },
      imageId: '',
      imageRef: '',
      imageConfig: { Entrypoint: PAUSE_COMMAND },
      lowerDirs: [makePauseRoot(`${this.#paths.sandboxes}/../pause`)],
      phase: 'creating',
      createdAtMs: this.#clock.now(),
      logPath: `${this.#paths.container(id)}/log/0.log`,
      cgroupPath: `${this.#cgroupParent(sandbox)}/${id}`,
      runtime: sandbox.config.runtime ?? this.#defaultRuntime,
      isPause: true,
    };
    await this.#create(record, sandbox);
    await this.#start(record, sandbox);
    return id;
  }
}

function notRunning(id: string): UmiakError {
  return new UmiakError('Conflict', `container ${id} is not running`, { details: { kind: 'container', name: id } });
}

/** A root file system with nothing but a static busybox. */
function makePauseRoot(directory: string): string {
  if (!existsSync(`${directory}/bin/busybox`)) {
    mkdirSync(`${directory}/bin`, { recursive: true });
    copyFileSync('/bin/busybox', `${directory}/bin/busybox.new`);
    renameSync(`${directory}/bin/busybox.new`, `${directory}/bin/busybox`);
  }
  return directory;
}

function isVisible({ phase, isPause }: ContainerRecord): boolean {
  return phase !== 'creating' && phase !== 'removing' && !isPause;
}

function pinIdOf({ id }: SandboxRecord): string {
  return id.slice(0, 16);
}
