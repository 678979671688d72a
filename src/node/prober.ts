import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec, ProbeKind, Prober } from './parts.ts';
import { type CheckResult, httpProbe, tcpProbe } from './probe-checks.ts';

type Probe = NonNullable<ContainerSpec['livenessProbe']>;

export interface LocalProberOptions {
  engine: Engine;
  events: EventRecorder;
  /** A verdict of one of the pod's containers has changed. */
  onVerdict: (podUid: string) => void;
  clock: Clock;
  log: Log;
}

interface Running {
  probe: Probe;
  verdict: boolean | undefined;
  /** Results alike in a row. */
  streak: { ok: boolean; count: number };
  message?: string | undefined;
  timer?: Disposable;
}

interface Target {
  pod: Pod;
  container: ContainerSpec;
  containerId: string;
  address: string;
  probes: Map<ProbeKind, Running>;
}

/** Runs probes by timers, one a probe; nothing runs for containers without probes. */
export class LocalProber implements Prober {
  readonly #options: LocalProberOptions;
  readonly #targets = new Map<string, Target>();

  constructor(options: LocalProberOptions) {
    this.#options = options;
  }

  watch({ pod, container, containerId, address }: { pod: Pod; container: ContainerSpec; containerId: string; address: string }): void {
    if (this.#targets.has(containerId)) return;
    const specs = { startup: container.startupProbe, liveness: container.livenessProbe, readiness: container.readinessProbe };
    const probes = new Map<ProbeKind, Running>();
    for (const [kind, probe] of Object.entries(specs)) {
      if (probe)
        probes.set(kind as ProbeKind, {
          probe,
          verdict: kind === 'liveness' ? true : kind === 'readiness' ? false : undefined,
          streak: { ok: false, count: 0 },
        });
    }
    const target = { pod, container, containerId, address, probes };
    this.#targets.set(containerId, target);
    for (const [kind, { probe }] of probes) this.#schedule(target, kind, (probe.initialDelaySeconds ?? 0) * 1000);
  }

  forget(containerId: string): void {
    for (const { timer } of this.#targets.get(containerId)?.probes.values() ?? []) timer?.[Symbol.dispose]();
    this.#targets.delete(containerId);
  }

  verdict(containerId: string, kind: ProbeKind): boolean | undefined {
    const target = this.#targets.get(containerId);
    const running = target?.probes.get(kind);
    return running ? running.verdict : true;
  }

  message(containerId: string, kind: ProbeKind): string | undefined {
    return this.#targets.get(containerId)?.probes.get(kind)?.message;
  }

  #schedule(target: Target, kind: ProbeKind, inMs: number): void {
    const running = target.probes.get(kind);
    if (!running || this.#targets.get(target.containerId) !== target) return;
    running.timer = this.#options.clock.after(inMs, () => void this.#probe(target, kind, running));
  }

  async #probe(target: Target, kind: ProbeKind, running: Running): Promise<void> {
    const period = (running.probe.periodSeconds ?? 10) * 1000;
    const startup = target.probes.get('startup');
    if (kind !== 'startup' && startup && startup.verdict !== true) {
      this.#schedule(target, kind, Math.min(period, 1000));
      return;
    }
    const result = await this.#check(target, running.probe);
    if (this.#targets.get(target.containerId) !== target) return;
    this.#judge(target, kind, running, result);
    if (kind === 'startup' && running.verdict !== undefined) return;
    this.#schedule(target, kind, period);
  }

  #judge(target: Target, kind: ProbeKind, running: Running, { ok, message }: CheckResult): void {
    running.streak = running.streak.ok === ok ? { ok, count: running.streak.count + 1 } : { ok, count: 1 };
    if (!ok) {
      running.message = message;
      const name = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
      this.#options.events.warning(target.pod, 'Unhealthy', `${name} probe failed: ${message}`);
    }
    const needed = ok ? (running.probe.successThreshold ?? 1) : (running.probe.failureThreshold ?? 3);
    if (running.streak.count < needed || running.verdict === ok) return;
    running.verdict = ok;
    this.#options.onVerdict(target.pod.metadata.uid);
  }

  async #check({ container, containerId, address }: Target, { exec, httpGet, tcpSocket, timeoutSeconds = 1 }: Probe): Promise<CheckResult> {
    const timeoutMs = timeoutSeconds * 1000;
    try {
      if (httpGet) return await httpProbe(httpGet, container, address, timeoutMs);
      if (tcpSocket) return await tcpProbe(tcpSocket, container, address, timeoutMs);
      if (!exec) return { ok: false, message: 'gRPC probes are not there yet; use httpGet, tcpSocket or exec' };
      const { exitCode, output } = await this.#options.engine.execSync(containerId, { command: exec.command ?? [], timeoutMs });
      return { ok: exitCode === 0, message: output };
    } catch (error) {
      if (isUmiakError(error, 'Timeout')) return { ok: false, message: `command timed out after ${timeoutSeconds}s` };
      return { ok: false, message: messageOf(error) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of [...this.#targets.keys()]) this.forget(id);
  }
}
