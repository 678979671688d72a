import { type Clock, systemClock } from '#base/clock.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import { Slots } from '#images/slots.ts';
import type { VisitorHandlers } from './visitor-worker.ts';

export type Visitor = Pick<WorkerCalls<VisitorHandlers>, 'call'>;

export interface VisitorsOptions {
  /** At a time; the others wait. */
  most?: number;
  /** How long an idle thread is kept: less than a process rests before it gives back what it had, threads that have ended among it. */
  idleMs?: number;
  clock?: Clock;
}

/** How long a thread may take to notice that nobody waits for it; one that does not is held by what it looks at, and left behind. */
const PATIENCE_MS = 2_000;

/** Threads that look into containers, one visit at a time each: made when needed, gone when idle. */
export class Visitors implements AsyncDisposable {
  readonly #slots: Slots;
  readonly #idleMs: number;
  readonly #clock: Clock;
  readonly #idle: { worker: WorkerCalls<VisitorHandlers>; timer: Disposable }[] = [];
  readonly #busy = new Set<WorkerCalls<VisitorHandlers>>();

  constructor({ most = 16, idleMs = 2_000, clock = systemClock }: VisitorsOptions = {}) {
    this.#slots = new Slots(most);
    this.#idleMs = idleMs;
    this.#clock = clock;
  }

  /** Live threads, for tests and metrics. */
  get threads(): number {
    return this.#idle.length + this.#busy.size;
  }

  /** Gives `work` a thread of its own; all its calls must have been made when it settles. */
  async run<T>(work: (visitor: Visitor) => Promise<T>, signal?: AbortSignal): Promise<T> {
    using _ = await this.#slots.take(signal);
    const worker = this.#take();
    const calls = new Set<Promise<unknown>>();
    const visitor: Visitor = {
      call(name, ...args) {
        const call = worker.call(name, ...args);
        const settled = call.then(
          () => void calls.delete(settled),
          () => void calls.delete(settled),
        );
        calls.add(settled);
        return call;
      },
    };
    try {
      return await work(visitor);
    } finally {
      const isBack = await this.#within(Promise.all(calls));
      this.#busy.delete(worker);
      if (isBack) this.#rest(worker);
      // Not awaited: the kernel may hold it for as long as it likes.
      else void worker[Symbol.asyncDispose]().catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const idle = this.#idle.splice(0);
    for (const { timer } of idle) timer[Symbol.dispose]();
    const workers = [...idle.map(({ worker }) => worker), ...this.#busy];
    await this.#within(Promise.all(workers.map(worker => worker[Symbol.asyncDispose]())));
  }

  #take(): WorkerCalls<VisitorHandlers> {
    const idle = this.#idle.pop();
    idle?.timer[Symbol.dispose]();
    const worker = idle?.worker ?? new WorkerCalls<VisitorHandlers>(new URL('./visitor-worker.ts', import.meta.url), { name: 'visitor' });
    this.#busy.add(worker);
    return worker;
  }

  #rest(worker: WorkerCalls<VisitorHandlers>): void {
    const timer = this.#clock.after(this.#idleMs, () => {
      this.#idle.splice(
        this.#idle.findIndex(idle => idle.worker === worker),
        1,
      );
      void worker[Symbol.asyncDispose]();
    });
    this.#idle.push({ worker, timer });
  }

  /** Whether it came to its end in time. */
  async #within(end: Promise<unknown>): Promise<boolean> {
    const { promise: patience, resolve } = Promise.withResolvers<boolean>();
    using _ = this.#clock.after(PATIENCE_MS, () => resolve(false));
    return await Promise.race([end.then(() => true), patience]);
  }
}
