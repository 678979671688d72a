import { type Clock, isUmiakError, messageOf } from '#base/index.ts';
import type { Engine, ExecCutOff } from '../engine.ts';
import {
  type Health,
  type HealthCheck,
  judgeHealth,
  nextProbeInMs,
  type ProbeResult,
  probeCommand,
  probeTimeoutMs,
} from './health-verdict.ts';

const MOST_OUTPUT_BYTES = 4096;

export interface HealthChecksOptions {
  engine: Pick<Engine, 'container' | 'execSync'>;
  /** What was found out about a container is another thing than before. */
  onStatus: (id: string, health: Health) => void;
  clock: Clock;
  /** Spreads the first probes of containers that outlived an earlier agent: 0 up to 1. */
  random?: () => number;
}

/** A container to be watched. */
export interface Watched {
  id: string;
  startedAtMs: number;
  check: HealthCheck;
  /** What a `CMD-SHELL` line is given to. */
  shell?: readonly string[] | undefined;
  /** What an earlier agent found of this same run. */
  before?: Pick<Health, 'status' | 'failingStreak'> | undefined;
}

interface Target extends Watched {
  command: string[];
  health: Health;
  timer?: Disposable;
}

/** Health checks by timers: one a container, set when the probe before has ended, gone with the container's end. */
export class HealthChecks implements Disposable {
  readonly #options: HealthChecksOptions;
  readonly #targets = new Map<string, Target>();
  /** Of runs that are over. */
  readonly #last = new Map<string, Health>();

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** From now on until `end`. A check that runs nothing is none. */
  begin(watched: Watched): void {
    this.end(watched.id);
    const command = probeCommand(watched.check, watched.shell);
    if (!command) return;
    const { before } = watched;
    const health: Health = { status: before?.status ?? 'starting', failingStreak: before?.failingStreak ?? 0, log: [] };
    const target: Target = { ...watched, command, health };
    this.#last.delete(watched.id);
    this.#targets.set(watched.id, target);
    const { random = Math.random } = this.#options;
    this.#schedule(target, before ? random() : 1);
  }

  /** The run is over; as with docker it is not healthy from then on. */
  end(id: string): void {
    const target = this.#targets.get(id);
    if (!target) return;
    target.timer?.[Symbol.dispose]();
    this.#targets.delete(id);
    this.#last.set(id, { ...target.health, status: 'unhealthy' });
  }

  /** Nobody asks for it any more. */
  forget(id: string): void {
    this.end(id);
    this.#last.delete(id);
  }

  /** Undefined where nothing is checked. */
  of(id: string): Health | undefined {
    return this.#targets.get(id)?.health ?? this.#last.get(id);
  }

  #schedule(target: Target, share = 1): void {
    const { clock } = this.#options;
    const sinceStartMs = clock.now() - target.startedAtMs;
    const inMs = nextProbeInMs(target.check, { status: target.health.status, sinceStartMs });
    target.timer = clock.after(inMs * share, () => void this.#probe(target));
  }

  async #probe(target: Target): Promise<void> {
    const { id } = target;
    // What is paused could not answer.
    const { state, isPaused = false } = this.#options.engine.container(id) ?? {};
    const result = state === 'running' && !isPaused ? await this.#run(target) : undefined;
    if (this.#targets.get(id) !== target) return;
    if (result) {
      const before = target.health.status;
      target.health = judgeHealth(target.health, target.check, target.startedAtMs, result);
      if (target.health.status !== before) this.#options.onStatus(id, target.health);
    }
    // The listener may have ended it.
    if (this.#targets.get(id) === target) this.#schedule(target);
  }

  /** One probe; never throws. */
  async #run({ id, command, check }: Target): Promise<ProbeResult> {
    const { engine, clock } = this.#options;
    const timeoutMs = probeTimeoutMs(check);
    const startMs = clock.now();
    const done = (exitCode: number, output: string) => ({ startMs, endMs: clock.now(), exitCode, output });
    try {
      const { exitCode, output } = await engine.execSync(id, { command, timeoutMs, maxBytes: MOST_OUTPUT_BYTES + 1 });
      return done(exitCode, bounded(output));
    } catch (error) {
      if (isUmiakError(error, 'Timeout')) {
        const { output = '' } = (error.cause ?? {}) as Partial<ExecCutOff>;
        const words = `Health check exceeded timeout (${timeoutMs % 1000 ? `${timeoutMs}ms` : `${timeoutMs / 1000}s`})`;
        return done(-1, output ? `${words}: ${bounded(output)}` : words);
      }
      return done(-1, bounded(messageOf(error)));
    }
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#targets.values()) timer?.[Symbol.dispose]();
    this.#targets.clear();
    this.#last.clear();
  }
}

/** As docker shortens: three dots after what is too long. */
function bounded(output: string): string {
  const bytes = Buffer.from(output);
  return bytes.length <= MOST_OUTPUT_BYTES
    ? output
    : `${bytes
        .subarray(0, MOST_OUTPUT_BYTES)
        .toString('utf8')
        .replace(/\uFFFD$/, '')}...`;
}
