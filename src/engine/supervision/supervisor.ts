import type { Clock, Log } from '#base/index.ts';
import type { Container, Engine } from '../engine.ts';
import { HealthChecks } from './health-checks.ts';
import type { Health, HealthCheck } from './health-verdict.ts';
import type { RestartPolicy, RunNotes } from './restart-policy.ts';
import { Restarts } from './restarts.ts';

/** What a face asks for a container of its own, and what was noted of it. */
export interface Supervised extends RunNotes {
  policy: RestartPolicy;
  check?: HealthCheck | undefined;
  /** What a `CMD-SHELL` check is given to; default `/bin/sh -c`. */
  shell?: readonly string[] | undefined;
  health?: HealthNote | undefined;
}

/** What was last found of a run. */
export interface HealthNote extends Pick<Health, 'status' | 'failingStreak'> {
  /** Which run. */
  startedAtMs: number;
}

export type Notes = RunNotes & { health: HealthNote };

export interface SupervisorOptions {
  engine: Pick<Engine, 'container' | 'containers' | 'execSync' | 'subscribe'>;
  /** Undefined: it is not ours. Called often, so cheap. */
  read: (container: Container) => Supervised | undefined;
  /** Durable when it resolves; `read` tells it from then on. */
  note: (id: string, notes: Partial<Notes>) => Promise<void>;
  /** See `RestartsOptions.start`. */
  start: (id: string, isWanted: () => boolean) => Promise<void>;
  /** Containers that must run before it, at the agent's start. */
  needs?: (container: Container) => readonly string[];
  /** A restart that was to come does not. */
  onGivenUp?: (id: string) => void;
  /** `healthy` or `unhealthy` from now on. */
  onHealth?: (container: Container, health: Health) => void;
  clock: Clock;
  log: Log;
}

/** Restart policies and health checks of a face's containers. */
export class Supervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #restarts: Restarts;
  readonly #checks: HealthChecks;
  readonly #subscription: Disposable;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { engine, clock } = options;
    this.#restarts = new Restarts(options);
    this.#checks = new HealthChecks({ engine, clock, onStatus: (id, health) => this.#tell(id, health) });
    this.#subscription = engine.subscribe(event => {
      if (event.type !== 'container') return;
      const { action, container } = event;
      if (action === 'started') this.#watch(container);
      if (action === 'exited') {
        this.#checks.end(container.id);
        this.#restarts.ended(container);
      }
      if (action === 'removed') {
        this.#checks.forget(container.id);
        this.#restarts.removed(container.id);
      }
    });
  }

  /**
   * Takes over what an earlier agent left: checks of what runs go on, what is to run and does not is started. Resolves when all of it was
   * tried once.
   */
  async resume(): Promise<void> {
    for (const container of this.#options.engine.containers()) if (container.state === 'running') this.#watch(container);
    await this.#restarts.resume();
  }

  /** A person starts it. Durable when it resolves, which is to be before the start. */
  async starting(container: Container): Promise<void> {
    await this.#restarts.starting(container);
  }

  /** A person stops, kills or removes it. Durable when it resolves, which is to be before the signal. */
  async stopping(container: Container): Promise<void> {
    await this.#restarts.stopping(container);
  }

  /** Its policy is another one now: what waits for a restart and is not to have one any more stays as it is. */
  changed(container: Container): void {
    if (this.#options.read(container)?.policy.policy === 'no') this.#restarts.giveUp(container.id);
  }

  /** Whether it has ended and will be started again. */
  isRestarting(container: Container): boolean {
    return this.#restarts.isRestarting(container);
  }

  /** Undefined where nothing is checked, and before the first start. */
  healthOf(container: Container): Health | undefined {
    const known = this.#checks.of(container.id);
    if (known || container.startedAtMs === undefined) return known;
    const noted = this.#options.read(container)?.health;
    return noted && { status: 'unhealthy', failingStreak: noted.failingStreak, log: [] };
  }

  #watch(container: Container): void {
    const { id, startedAtMs = 0 } = container;
    const { check, shell, health } = this.#options.read(container) ?? {};
    if (check) this.#checks.begin({ id, startedAtMs, check, shell, before: health?.startedAtMs === startedAtMs ? health : undefined });
  }

  #tell(id: string, health: Health): void {
    const { engine, note, onHealth, log } = this.#options;
    const container = engine.container(id);
    if (!container) return;
    const { status, failingStreak } = health;
    onHealth?.(container, health);
    note(id, { health: { status, failingStreak, startedAtMs: container.startedAtMs ?? 0 } }).catch(error => {
      log.debug('what was found of a container could not be noted', { id, error });
    });
  }

  /** Ends all timers; containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    this.#checks[Symbol.dispose]();
    await this.#restarts[Symbol.asyncDispose]();
  }
}
