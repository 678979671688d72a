import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { Container, Engine } from '../engine.ts';
import { planOrder, planRestart, planReturn, type RestartPolicy, type RunNotes } from './restart-policy.ts';

export interface RestartsOptions {
  engine: Pick<Engine, 'container' | 'containers'>;
  /** What a container asks for and what was noted of it; undefined: nobody starts it again. */
  read: (container: Container) => ({ policy: RestartPolicy } & RunNotes) | undefined;
  /** Durable when it resolves. */
  note: (id: string, notes: Partial<RunNotes>) => Promise<void>;
  /**
   * Starts it with all that belongs to it. Whoever keeps one thing at a time to each container asks `isWanted` when its turn has come, and
   * does nothing if it no longer is.
   */
  start: (id: string, isWanted: () => boolean) => Promise<void>;
  /** A restart that was to come does not: somebody stopped it, or it can't be started. */
  onGivenUp?: (id: string) => void;
  /** Containers that must run before it. */
  needs?: (container: Container) => readonly string[];
  clock: Clock;
  log: Log;
}

/** A restart to come. */
interface Due {
  timer?: Disposable;
}

/** How many come back side by side at the agent's start. */
const SIDE_BY_SIDE = 8;

/** Starts containers again as their policies say. What is due is known from the records alone, so an agent may be killed anywhere. */
export class Restarts implements AsyncDisposable {
  readonly #options: RestartsOptions;
  readonly #due = new Map<string, Due>();
  /** The wait before the run that there is. */
  readonly #backOffMs = new Map<string, number>();
  /** The last run of each whose end was looked at. */
  readonly #decided = new Map<string, number | undefined>();
  readonly #underWay = new Set<Promise<void>>();
  #isOver = false;

  constructor(options: RestartsOptions) {
    this.#options = options;
  }

  /** A run has ended, or could not begin. */
  ended(container: Container, ranMs = runMs(container)): void {
    const { id, startedAtMs } = container;
    const plan = this.#plan(container, ranMs);
    this.#decided.set(id, startedAtMs);
    if (!plan?.again || this.#isOver) {
      this.forget(id);
      return;
    }
    this.#cancel(id);
    this.#backOffMs.set(id, plan.inMs);
    const due: Due = {};
    this.#due.set(id, due);
    this.#track(this.#countAndWait(id, due, plan.inMs, (this.#options.read(container)?.restartCount ?? 0) + 1));
  }

  /** Counted first: a kill in between counts one start too many, never endless ones of a policy that has an end. */
  async #countAndWait(id: string, due: Due, inMs: number, restartCount: number): Promise<void> {
    await this.#note(id, { restartCount });
    if (this.#due.get(id) !== due) return;
    due.timer = this.#options.clock.after(inMs, () => this.#track(this.#start(id, due)));
  }

  async #start(id: string, due: Due): Promise<void> {
    const { start, engine, log } = this.#options;
    const isWanted = () => this.#due.get(id) === due;
    if (!isWanted()) return;
    try {
      await start(id, isWanted);
      if (isWanted()) this.#due.delete(id);
    } catch (error) {
      if (!isWanted()) return;
      this.#due.delete(id);
      const container = engine.container(id);
      if (!container || isUmiakError(error, 'NotFound')) return this.forget(id);
      log.warn('a container could not be started again', { id, error: messageOf(error) });
      this.ended(container, 0);
      if (!this.#due.has(id)) this.#options.onGivenUp?.(id);
    }
  }

  /** Whether it has ended and will be started again; right from the moment of its end. */
  isRestarting(container: Container): boolean {
    const { id, state, startedAtMs } = container;
    if (state === 'running') return false;
    if (this.#due.has(id)) return true;
    const isOpen = state === 'exited' && !(this.#decided.has(id) && this.#decided.get(id) === startedAtMs);
    return isOpen && this.#plan(container, runMs(container))?.again === true;
  }

  #plan(container: Container, ranMs: number) {
    const read = container.startedAtMs === undefined ? undefined : this.#options.read(container);
    if (!read) return undefined;
    return planRestart({ ...read, exitCode: container.exitCode ?? 0, ranMs, backOffMs: this.#backOffMs.get(container.id) ?? 0 });
  }

  /** A person stops or kills it: durable before it resolves, so before the signal. */
  async stopping(container: Container): Promise<void> {
    this.giveUp(container.id);
    if (this.#options.read(container)?.wasStopped === false) await this.#note(container.id, { wasStopped: true });
  }

  /** A person starts it: everything begins anew. */
  async starting(container: Container): Promise<void> {
    this.forget(container.id);
    await this.#forgetRuns(container);
  }

  async #forgetRuns(container: Container): Promise<void> {
    const notes = this.#options.read(container);
    if (notes && (notes.wasStopped || notes.restartCount > 0)) await this.#note(container.id, { wasStopped: false, restartCount: 0 });
  }

  /** Starts what does not run and is to; resolves when each of them was tried. Those that fail are tried again, as after a bad run. */
  async resume(): Promise<void> {
    const { engine, read, needs = () => [] } = this.#options;
    const back = engine.containers().filter(container => {
      const notes = container.state === 'exited' && container.startedAtMs !== undefined ? read(container) : undefined;
      return notes !== undefined && planReturn({ ...notes, exitCode: container.exitCode ?? 0 });
    });
    for (const { id, state, startedAtMs } of engine.containers()) if (state === 'exited') this.#decided.set(id, startedAtMs);
    const dues = new Map(back.map(({ id }): [string, Due] => [id, {}]));
    for (const [id, due] of dues) this.#due.set(id, due);
    const attempts = new Map<string, Promise<void>>();
    const running = new Set<Promise<void>>();
    for (const container of planOrder(back, needs)) {
      while (running.size >= SIDE_BY_SIDE) await Promise.race(running);
      const before = needs(container).flatMap(id => attempts.get(id) ?? []);
      const attempt = Promise.all(before).then(() => this.#comeBack(container, dues.get(container.id)));
      attempts.set(container.id, attempt);
      running.add(attempt);
      void attempt.then(() => running.delete(attempt));
    }
    await Promise.all(running);
  }

  /** Unless somebody stopped, started or removed it meanwhile. */
  async #comeBack(container: Container, due: Due | undefined): Promise<void> {
    const { id } = container;
    if (this.#isOver || !due || this.#due.get(id) !== due) return;
    // Whose tries are counted goes on counting.
    if (this.#options.read(container)?.policy.policy !== 'on-failure') await this.#forgetRuns(container);
    await this.#start(id, due);
  }

  /** Starts it no more, and says so where it was to. */
  giveUp(id: string): void {
    const wasDue = this.#due.has(id);
    this.forget(id);
    if (wasDue) this.#options.onGivenUp?.(id);
  }

  /** No restart of it is due any more. */
  forget(id: string): void {
    this.#cancel(id);
    this.#backOffMs.delete(id);
  }

  /** The container is gone. */
  removed(id: string): void {
    this.forget(id);
    this.#decided.delete(id);
  }

  #cancel(id: string): void {
    this.#due.get(id)?.timer?.[Symbol.dispose]();
    this.#due.delete(id);
  }

  async #note(id: string, notes: Partial<RunNotes>): Promise<void> {
    try {
      await this.#options.note(id, notes);
    } catch (error) {
      // A full disk must not keep anybody from stopping and starting.
      if (!isUmiakError(error, 'NotFound'))
        this.#options.log.warn('what a container does could not be noted', { id, error: messageOf(error) });
    }
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  /** Starts nothing any more; resolves when what was being started is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const id of [...this.#due.keys()]) this.#cancel(id);
    await Promise.all(this.#underWay);
  }
}

function runMs({ startedAtMs = 0, finishedAtMs = startedAtMs }: Container): number {
  return finishedAtMs - startedAtMs;
}
