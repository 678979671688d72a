import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { expand } from './environment.ts';
import type { ContainerSpec, ProbeKind, Prober } from './parts.ts';
import { type CheckResult, httpProbe, MOST_OUTPUT_BYTES, tcpProbe } from './probe-checks.ts';
import { firstState, isSettled, judgeProbe, type ProbeState } from './probe-verdict.ts';

type Probe = NonNullable<ContainerSpec['livenessProbe']>;

export interface LocalProberOptions {
  engine: Pick<Engine, 'container' | 'execSync' | 'subscribe'>;
  events: Pick<EventRecorder, 'warning'>;
  /** A verdict of one of the pod's containers has changed. */
  onVerdict: (podUid: string) => void;
  clock: Clock;
  log: Log;
  /** Spreads the probes of containers that outlived an earlier agent: 0 up to 1. */
  random?: () => number;
}

interface Running {
  kind: ProbeKind;
  probe: Probe;
  state: ProbeState;
  message?: string | undefined;
  timer?: Disposable | undefined;
  /** Ends the try under way. */
  abort?: AbortController | undefined;
}

interface Target {
  pod: Pod;
  container: ContainerSpec;
  containerId: string;
  address: string;
  startedAtMs: number;
  /** Nobody probes it any more; its verdicts stand until it is removed. */
  isOver: boolean;
  probes: ReadonlyMap<ProbeKind, Running>;
}

/**
 * Runs probes by timers, at most one a probe; containers without probes have none. While a container has not started up, only its startup
 * probe runs. A container that ends is left alone at once; what was last known of it is forgotten when the engine removes it.
 */
export class LocalProber implements Prober {
  readonly #options: LocalProberOptions;
  readonly #targets = new Map<string, Target>();
  readonly #subscription: Disposable;
  readonly #bornMs: number;

  constructor(options: LocalProberOptions) {
    this.#options = options;
    this.#bornMs = options.clock.now();
    this.#subscription = options.engine.subscribe(event => {
      if (event.type !== 'container') return;
      const { id } = event.container;
      if (event.action === 'exited' || event.action === 'removed') this.forget(id);
      if (event.action === 'removed') this.#targets.delete(id);
    });
  }

  watch({ pod, container, containerId, address }: { pod: Pod; container: ContainerSpec; containerId: string; address: string }): void {
    const known = this.#targets.get(containerId);
    if (known && !known.isOver) return;
    const instance = this.#options.engine.container(containerId);
    if (instance?.state !== 'running') return;
    const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
    const before = statuses.find(status => status.containerID === `umiak://${containerId}`);
    const { startupProbe: startup, livenessProbe: liveness, readinessProbe: readiness } = container;
    const probes = new Map<ProbeKind, Running>();
    for (const [kind, probe] of Object.entries({ startup, liveness, readiness }) as [ProbeKind, Probe | undefined][])
      if (probe) probes.set(kind, { kind, probe, state: firstState(kind, before) });
    if (probes.size === 0) return;
    const startedAtMs = instance.startedAtMs ?? this.#options.clock.now();
    const target = { pod, container, containerId, address, startedAtMs, isOver: false, probes };
    this.#targets.set(containerId, target);
    this.#begin(target);
  }

  forget(containerId: string): void {
    const target = this.#targets.get(containerId);
    if (!target) return;
    target.isOver = true;
    for (const { timer, abort } of target.probes.values()) {
      timer?.[Symbol.dispose]();
      abort?.abort();
    }
  }

  verdict(containerId: string, kind: ProbeKind): boolean | undefined {
    const running = this.#targets.get(containerId)?.probes.get(kind);
    return running ? running.state.verdict : true;
  }

  message(containerId: string, kind: ProbeKind): string | undefined {
    const running = this.#targets.get(containerId)?.probes.get(kind);
    return running?.state.verdict === false ? running.message : undefined;
  }

  /** Sets the timers of the probes whose turn it is: startup alone, or once it has passed the others. */
  #begin(target: Target): void {
    const startup = target.probes.get('startup');
    const mustStart = startup !== undefined && startup.state.verdict !== true;
    for (const running of mustStart ? [startup] : target.probes.values())
      if (!isSettled(running.kind, running.state)) this.#schedule(target, running, this.#firstDelay(target, running));
  }

  /** The rest of the initial delay. What an earlier agent found well can wait its turn, so that not all are asked at once. */
  #firstDelay({ startedAtMs }: Target, { probe, state }: Running): number {
    const { clock, random = Math.random } = this.#options;
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000;
    const restMs = startedAtMs + delayMs - clock.now();
    if (restMs > 0) return Math.min(restMs, delayMs); // the machine's time may have been set back since
    return startedAtMs < this.#bornMs && state.verdict === true ? random() * periodMs(probe) : 0;
  }

  #schedule(target: Target, running: Running, inMs: number): void {
    running.timer = this.#options.clock.after(inMs, () => void this.#run(target, running));
  }

  async #run(target: Target, running: Running): Promise<void> {
    const { clock } = this.#options;
    const began = clock.monotonic();
    const abort = new AbortController();
    running.abort = abort;
    const timeout = clock.after((running.probe.timeoutSeconds ?? 1) * 1000, () => abort.abort());
    const result = await this.#check(target, running.probe, abort.signal);
    timeout[Symbol.dispose]();
    running.abort = undefined;
    if (target.isOver) return;
    const verdictBefore = running.state.verdict;
    running.state = judgeProbe(running.state, running.probe, result);
    if (!result.ok || result.note) this.#report(target, running, result);
    if (running.state.verdict !== verdictBefore) this.#options.onVerdict(target.pod.metadata.uid);
    // The listener may have ended it.
    if (target.isOver) return;
    if (running.kind === 'startup' && running.state.verdict) this.#begin(target);
    if (!isSettled(running.kind, running.state))
      this.#schedule(target, running, Math.max(0, periodMs(running.probe) - (clock.monotonic() - began)));
  }

  /** The kubelet's words. */
  #report({ pod }: Target, running: Running, { ok, note, message }: CheckResult): void {
    const { events } = this.#options;
    const name = `${running.kind[0]?.toUpperCase()}${running.kind.slice(1)} probe`;
    if (!ok) running.message = message;
    if (ok) events.warning(pod, 'ProbeWarning', `${name} warning: ${message}`);
    else if (note) events.warning(pod, 'Unhealthy', `${name} errored and resulted in unknown state: ${message}`);
    else events.warning(pod, 'Unhealthy', `${name} failed: ${message}`);
  }

  /** One try; never throws. */
  async #check({ container, containerId, address }: Target, probe: Probe, signal: AbortSignal): Promise<CheckResult> {
    const { httpGet, tcpSocket, grpc, exec, timeoutSeconds = 1 } = probe;
    try {
      if (httpGet) return await httpProbe(httpGet, container, address, signal);
      if (tcpSocket) return await tcpProbe(tcpSocket, container, address, signal);
      if (grpc) return await (await import('./grpc-probe.ts')).grpcProbe(grpc, address, signal);
      if (!exec) return { ok: false, note: 'error', message: 'the probe names no way to check' };
      const values = new Map((container.env ?? []).map(({ name, value }) => [name, value]));
      const command = (exec.command ?? []).map(word => expand(word, name => values.get(name)));
      const limits = { timeoutMs: timeoutSeconds * 1000, maxBytes: MOST_OUTPUT_BYTES };
      const { exitCode, output } = await this.#options.engine.execSync(containerId, { command, ...limits });
      return { ok: exitCode === 0, message: output };
    } catch (error) {
      if (isUmiakError(error, 'Timeout'))
        return { ok: false, message: `command timed out: ${(probe.exec?.command ?? []).join(' ')} after ${timeoutSeconds}s` };
      return { ok: false, note: 'error', message: messageOf(error) };
    }
  }

  /** Ends all probes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    for (const id of this.#targets.keys()) this.forget(id);
    this.#targets.clear();
  }
}

function periodMs({ periodSeconds = 10 }: Probe): number {
  return periodSeconds * 1000;
}
