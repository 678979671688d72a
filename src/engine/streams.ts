import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import { readBelow } from '#linux/open-below.ts';
import { resizeTerminalOf } from '#linux/pty.ts';
import { SeqpacketSockets } from '#linux/seqpacket.ts';
import { openAttach } from './attach.ts';
import type { AttachQueue } from './attach-queue.ts';
import { reopenLog, resizeTerminal } from './conmon.ts';
import type { ContainerRuns } from './container-runs.ts';
import type { ExecOptions, ExecSession, LogOptions, RotateLogOptions, StreamSession } from './engine.ts';
import { collectExec, planExecProcess, startExec } from './exec.ts';
import { refusedSession, refuseExec } from './exec-lookup.ts';
import { type Ledger, notRunning } from './ledger.ts';
import { compressRotated } from './log-compression.ts';
import { renameLog } from './log-files.ts';
import { readLog } from './log-reader.ts';
import { hasOpen, untilFileIs } from './log-reopen.ts';
import type { HostFacts } from './oci-spec.ts';
import type { OciSpec } from './oci-types.ts';
import type { EnginePaths } from './paths.ts';
import type { ContainerRecord } from './records.ts';
import type { OciRuntimes } from './runtime.ts';
import { planUser, type ResolvedUser } from './user.ts';

export interface ContainerStreamsOptions {
  paths: EnginePaths;
  ledger: Ledger;
  runs: ContainerRuns;
  runtimes: OciRuntimes;
  attachments: AttachQueue;
  host: HostFacts;
  clock: Clock;
}

/** What goes into containers and comes out of them: processes run inside, attached streams, logs. */
export class ContainerStreams implements AsyncDisposable {
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #runs: ContainerRuns;
  readonly #runtimes: OciRuntimes;
  readonly #attachments: AttachQueue;
  readonly #host: HostFacts;
  readonly #clock: Clock;
  readonly #sockets = new SeqpacketSockets();
  readonly #compressing = new KeyedLock();

  constructor({ paths, ledger, runs, runtimes, attachments, host, clock }: ContainerStreamsOptions) {
    this.#paths = paths;
    this.#ledger = ledger;
    this.#runs = runs;
    this.#runtimes = runtimes;
    this.#attachments = attachments;
    this.#host = host;
    this.#clock = clock;
  }

  async exec(id: string, options: ExecOptions): Promise<ExecSession> {
    const record = this.#ledger.needRunning(id);
    if (options.command.length === 0) throw new UmiakError('Invalid', 'there is no command to run');
    const bundle = this.#paths.bundle(id);
    const spec = JSON.parse(await readFile(`${bundle}/config.json`, 'utf8')) as OciSpec;
    const user = options.user === undefined ? undefined : this.#resolveUser(record, options.user);
    const process = planExecProcess(spec, options, user, this.#host.capabilities);
    const stdin = options.stdin ?? false;
    const runtime = await this.#runtimes.of(record);
    const refusal = runtime.hasHostProcesses && record.init && refuseExec(`/proc/${record.init.pid}/root`, process);
    if (refusal) return refusedSession(refusal, { terminal: process.terminal, stdin });
    return startExec({
      id,
      runtime,
      bundle,
      process,
      stdin,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  checkExecUser(id: string, user: string): void {
    this.#resolveUser(this.#ledger.needRunning(id), user);
  }

  async execSync(
    id: string,
    { command, timeoutMs, maxBytes }: { command: string[]; timeoutMs: number; maxBytes?: number },
  ): Promise<{ exitCode: number; output: string }> {
    const session = await this.exec(id, { command });
    const after = (ms: number, run: () => void) => this.#clock.after(ms, run);
    return collectExec(session, { timeoutMs, after, what: `command ${command[0]}`, ...(maxBytes !== undefined ? { maxBytes } : {}) });
  }

  #resolveUser({ id, config }: ContainerRecord, user: string): ResolvedUser {
    const rootfs = this.#paths.rootfs(id);
    return planUser({
      user,
      supplementalGroups: config.security?.supplementalGroups,
      supplementalGroupsPolicy: config.security?.supplementalGroupsPolicy,
      passwd: readBelow(rootfs, '/etc/passwd'),
      group: readBelow(rootfs, '/etc/group'),
    });
  }

  /** A container that is not started yet is attached at its start, before it writes anything. */
  async attach(
    id: string,
    { stdin = false, waits = false, signal }: { stdin?: boolean; waits?: boolean; signal?: AbortSignal } = {},
  ): Promise<StreamSession> {
    const { phase, config } = this.#ledger.need(id);
    if (phase === 'exited' && !waits) throw notRunning(id);
    const bundle = this.#paths.bundle(id);
    // The monitor takes the end of any client for the end of the input that is open once: who has none of it goes without a word.
    const isListener = !stdin && config.stdin === true && config.stdinOnce === true && config.tty !== true;
    const open = () => {
      const session = openAttach({
        socket: this.#sockets.connect(`${bundle}/attach`, { quietly: isListener }),
        terminal: config.tty ?? false,
        stdin: stdin && (config.stdin ?? false),
        resize: size => this.#resize(id, size),
      });
      this.#attachments.listens(id, session);
      return session;
    };
    if (phase === 'running') return open();
    this.#sockets.prepare();
    return this.#attachments.wait(id, open, signal);
  }

  resizeTerminal(id: string, size: { rows: number; columns: number }): void {
    const { config } = this.#ledger.needRunning(id);
    if (config.tty) this.#resize(id, size);
  }

  #resize(id: string, size: { rows: number; columns: number }): void {
    resizeTerminal(this.#paths.bundle(id), size);
    // The monitor takes its time; the process's own terminal has the size at once.
    const { init } = this.#ledger.need(id);
    if (init) resizeTerminalOf(init.pid, size);
  }

  logs(id: string, options: LogOptions): Readable {
    const { logPath } = this.#ledger.need(id);
    const ended = this.#runs.ended(id);
    if (!options.follow || options.until === undefined) return readLog({ ...options, logPath, ended });
    // Who follows until a moment that is to come is let go then, also when nothing is written any more.
    const { promise: past, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.after(Math.max(Date.parse(options.until) - this.#clock.now(), 0), resolve);
    const log = readLog({ ...options, logPath, ended: Promise.race([ended, past]) });
    log.once('close', () => timer[Symbol.dispose]());
    return log;
  }

  async rotateLog(id: string, { signal, keep, compress = true }: RotateLogOptions = {}): Promise<void> {
    const { logPath } = this.#ledger.needRunning(id);
    renameLog(logPath, this.#clock.now(), keep);
    reopenLog(this.#paths.bundle(id));
    if (compress) await this.#compressing.run(logPath, () => compressRotated(logPath, signal));
  }

  async reopenLog(id: string): Promise<void> {
    const { logPath, monitor } = this.#ledger.needRunning(id);
    // Told to reopen what nobody renamed, it would begin that file anew.
    if (monitor && hasOpen(monitor.pid, logPath)) return;
    await untilFileIs(logPath, this.#clock, () => {
      if (!reopenLog(this.#paths.bundle(id))) throw notRunning(id);
    });
  }

  /** Detaches from everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sockets[Symbol.asyncDispose]();
  }
}
