import { existsSync, readFileSync, rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { identify, type ProcessIdentity } from '#linux/process.ts';
import type { AttachQueue } from './attach-queue.ts';
import type { EngineCgroups } from './cgroups.ts';
import { createUnderMonitor, watchMonitor } from './conmon.ts';
import type { EventFeed } from './events.ts';
import type { Ledger } from './ledger.ts';
import type { EnginePaths } from './paths.ts';
import type { Preparation } from './preparation.ts';
import { type ContainerRecord, type SandboxRecord, toContainer } from './records.ts';
import { MONITOR_LOST_EXIT_CODE } from './recovery.ts';
import { clearRun, killRemains } from './remains.ts';
import type { OciRuntimes } from './runtime.ts';
import { stopSignalOf } from './stop-signal.ts';
import { readExitCode } from './world.ts';

export interface ContainerRunsOptions {
  paths: EnginePaths;
  ledger: Ledger;
  cgroups: EngineCgroups;
  events: EventFeed;
  preparation: Preparation;
  runtimes: OciRuntimes;
  attachments: AttachQueue;
  clock: Clock;
  bootId: string;
  log: Log;
}

export interface Exit {
  exitCode: number;
  reason?: string;
  message?: string;
  /** When, if it was not just now. */
  atMs?: number | undefined;
}

/** One run of a container, from its start to its exit. */
interface Run {
  watcher: Disposable;
  /** Resolves when its exit is recorded and what it used is free. */
  ended: Promise<void>;
}

/** The runs of containers: each is let go under a monitor, watched, and recorded when it ends, however it ends. */
export class ContainerRuns implements Disposable {
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #cgroups: EngineCgroups;
  readonly #events: EventFeed;
  readonly #preparation: Preparation;
  readonly #runtimes: OciRuntimes;
  readonly #attachments: AttachQueue;
  readonly #clock: Clock;
  readonly #bootId: string;
  readonly #log: Log;
  readonly #runs = new Map<string, Run>();
  /** Kills that the group above a scope had counted when its run began. */
  readonly #oomsAbove = new Map<string, number>();

  constructor({ paths, ledger, cgroups, events, preparation, runtimes, attachments, clock, bootId, log }: ContainerRunsOptions) {
    this.#paths = paths;
    this.#ledger = ledger;
    this.#cgroups = cgroups;
    this.#events = events;
    this.#preparation = preparation;
    this.#runtimes = runtimes;
    this.#attachments = attachments;
    this.#clock = clock;
    this.#bootId = bootId;
    this.#log = log;
  }

  /** Nobody else starts, stops or removes the container meanwhile. @throws what the container could not start for, recorded as its exit */
  async start(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    await this.ended(record.id);
    this.#ledger.beginContainer(record, { phase: 'starting', bootId: this.#bootId });
    try {
      await this.#preparation.prepare(record, sandbox);
      await this.#launch(record);
    } catch (error) {
      await this.#failStart(record, error);
      throw error;
    }
  }

  async #launch(record: ContainerRecord): Promise<void> {
    const { id, config } = record;
    const runtime = await this.#runtimes.of(record);
    rmSync(this.#paths.exit(id), { force: true });
    const { monitor, pid } = await createUnderMonitor({
      id,
      bundle: this.#paths.bundle(id),
      exitDir: this.#paths.exits,
      logPath: config.log === 'none' ? undefined : record.logPath,
      runtime,
      terminal: config.tty ?? false,
      stdin: config.stdin ?? false,
      // A terminal is both ways one: without its input nobody would hear it either.
      leaveStdinOpen: config.tty === true || config.stdinOnce !== true,
      clock: this.#clock,
    });
    await this.#preparation.settle(id);
    if (this.#cgroups.isSystemd) this.#oomsAbove.set(id, this.#cgroups.oomKillsAbove(record));
    record.monitor = monitor;
    record.init = identify(pid) ?? { pid, startTime: -1 };
    this.#attachments.open(id);
    await runtime.start(id);
    this.#begin(record);
    this.#ledger.saveContainer(record);
    this.#follow(record);
    this.#attachments.open(id); // who came while it was let go
    this.#tell('started', record);
  }

  async #failStart(record: ContainerRecord, error: unknown): Promise<void> {
    const { id } = record;
    this.#attachments.fail(id, error);
    const cgroup = this.#cgroups.of(record);
    await killRemains(id, cgroup);
    clearRun(this.#paths, id, cgroup);
    await this.#preparation.unmount(id);
    const message = messageOf(error);
    const isMissing = /not found|no such file/i.test(message);
    this.recordExit(record, { exitCode: isMissing ? 127 : 128, reason: isMissing ? 'ContainerCannotRun' : 'StartError', message });
  }

  /** Takes over a run that a former process of ours started. */
  adopt(record: ContainerRecord, monitor: ProcessIdentity): void {
    this.#preparation.adopt(record.id);
    if (record.phase !== 'running' || !isDeepStrictEqual(record.monitor, monitor)) {
      record.monitor = monitor;
      const init = readInit(this.#paths.bundle(record.id));
      if (init) record.init = init;
      else delete record.init; // an earlier run's
      this.#begin(record);
      this.#ledger.noteContainer(record);
    }
    this.#follow(record);
  }

  /** In the record; what an earlier run left there goes. */
  #begin(record: ContainerRecord): void {
    record.startedAtMs = this.#clock.now();
    for (const field of ['finishedAtMs', 'exitCode', 'reason', 'message'] as const) delete record[field];
    record.phase = 'running';
  }

  /** From now on it runs, until its monitor ends. */
  #follow(record: ContainerRecord): void {
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
    const watcher = watchMonitor(this.#paths.bundle(record.id), () => this.#finish(record).then(resolve, reject));
    ended.catch(error => this.#log.error('a container that ended could not be cleaned away', { id: record.id, error }));
    this.#runs.set(record.id, { watcher, ended });
  }

  /** The monitor has ended: the exit is read, recorded and told, then what the run used is freed. */
  async #finish(record: ContainerRecord): Promise<void> {
    const { id } = record;
    const cgroup = this.#cgroups.of(record);
    const exitCode = readExitCode(this.#paths, id);
    await (exitCode === undefined ? killRemains(id, cgroup) : cgroup.empty());
    const lost = {
      exitCode: MONITOR_LOST_EXIT_CODE,
      reason: 'MonitorLost',
      message: 'its monitor (conmon) was killed, so that its exit code can not be known',
    };
    const isRecorded = this.recordExit(record, exitCode === undefined ? lost : { exitCode });
    if (!cgroup.remove()) await cgroup.kill();
    clearRun(this.#paths, id, cgroup, isRecorded);
    await this.#preparation.unmount(id);
    await this.#attachments.ended(id, this.#clock);
    this.#runs.delete(id);
    this.#oomsAbove.delete(id);
    this.#tell('exited', record);
  }

  /** Its control group must still be there: it knows of a lack of memory. False when the disk did not take it. */
  recordExit(record: ContainerRecord, { exitCode, reason, message, atMs }: Exit): boolean {
    const wasOomKilled = exitCode !== 0 && this.#lackedMemory(record);
    record.phase = 'exited';
    delete record.isPaused;
    delete record.isHeld;
    // The machine's time may have been set back since it began.
    record.finishedAtMs = Math.max(atMs ?? this.#clock.now(), record.startedAtMs ?? 0);
    record.exitCode = exitCode;
    record.reason = reason ?? (wasOomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error');
    if (message !== undefined) record.message = message;
    return this.#ledger.noteContainer(record);
  }

  /** Where systemd makes groups, it takes one away with its last process: the monitor's note stays, and what the group above counted. */
  #lackedMemory(record: ContainerRecord): boolean {
    if (this.#cgroups.of(record).oomKills() > 0 || existsSync(`${this.#paths.bundle(record.id)}/oom`)) return true;
    const before = this.#oomsAbove.get(record.id);
    return before !== undefined && this.#cgroups.oomKillsAbove(record) > before;
  }

  /** Signal, grace, force; resolves when the run that there was, if any, has ended. */
  async stop(record: ContainerRecord, graceMs: number, signal = stopSignalOf(record)): Promise<void> {
    const run = this.#runs.get(record.id);
    if (!run) return;
    if (graceMs > 0) {
      await this.signal(record, signal).catch(() => {}); // it has ended meanwhile, or does not hear: force comes
      if (record.isPaused)
        await this.#cgroups
          .of(record)
          .freeze(false)
          .catch(() => {}); // gone meanwhile
      const { promise: patience, resolve } = Promise.withResolvers<void>();
      using _ = this.#clock.after(graceMs, resolve);
      await Promise.race([run.ended, patience]);
    }
    if (this.#runs.get(record.id) === run) this.#cgroups.of(record).signalKill();
    await run.ended;
  }

  /** Sends a signal to the container's first process. */
  async signal(record: ContainerRecord, signal: number): Promise<void> {
    await (await this.#runtimes.of(record)).signal(record, signal);
  }

  /** Resolves when the container's run, if there is one, has ended and is recorded. */
  ended(id: string): Promise<void> | undefined {
    return this.#runs.get(id)?.ended;
  }

  /** Looks no more; containers go on. */
  [Symbol.dispose](): void {
    for (const { watcher } of this.#runs.values()) watcher[Symbol.dispose]();
  }

  #tell(action: 'started' | 'exited', record: ContainerRecord): void {
    if (!record.isPause) this.#events.emit({ type: 'container', action, container: toContainer(record) });
  }
}

/** A container's first process, as its monitor wrote it down; undefined when it has ended. */
function readInit(bundle: string): ProcessIdentity | undefined {
  return existsSync(`${bundle}/pid`) ? identify(Number(readFileSync(`${bundle}/pid`, 'utf8'))) : undefined;
}
