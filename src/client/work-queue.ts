import type { Clock } from '#base/clock.ts';

export interface WorkQueueOptions {
  clock: Clock;
  /** Does the work of one key. A throw means: again, later. A number means: again in so many milliseconds. */
  work: (key: string) => Promise<number | undefined>;
  onError: (key: string, error: unknown, againInMs: number) => void;
  /** Keys at work at the same time; default 4. */
  concurrency?: number;
  /** First and last pause after failures; default 10 ms and 60 s, doubling. */
  firstBackoffMs?: number;
  lastBackoffMs?: number;
}

/**
 * Keys that need work. A key stands in it once however often it is added, is never worked on twice at the same time, and comes again
 * if it was added meanwhile. Failures come again with exponential back-off.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #options: Required<WorkQueueOptions>;
  readonly #ready = new Set<string>();
  readonly #active = new Set<string>();
  readonly #later = new Map<string, { at: number; timer: Disposable }>();
  readonly #failures = new Map<string, number>();
  #idle: (() => void)[] = [];
  #closed = false;
  #scheduled = false;

  constructor(options: WorkQueueOptions) {
    this.#options = { concurrency: 4, firstBackoffMs: 10, lastBackoffMs: 60_000, ...options };
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#ready.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** Adds `key` after `ms`, unless it is due earlier already. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    const at = this.#options.clock.monotonic() + ms;
    const waiting = this.#later.get(key);
    if (waiting && waiting.at <= at) return;
    waiting?.timer[Symbol.dispose]();
    const timer = this.#options.clock.after(ms, () => {
      this.#later.delete(key);
      this.add(key);
    });
    this.#later.set(key, { at, timer });
  }

  /** Keys that wait or are at work now; delayed ones don't count. */
  get size(): number {
    return this.#ready.size + this.#active.size;
  }

  #pump(): void {
    for (const key of this.#ready) {
      if (this.#active.size >= this.#options.concurrency || this.#closed) return;
      if (this.#active.has(key)) continue;
      this.#ready.delete(key);
      this.#active.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const { work, onError, firstBackoffMs, lastBackoffMs } = this.#options;
    try {
      const againInMs = await work(key);
      this.#failures.delete(key);
      if (againInMs !== undefined) this.addAfter(key, againInMs);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      const againInMs = Math.min(firstBackoffMs * 2 ** failures, lastBackoffMs);
      this.#failures.set(key, Math.min(failures + 1, 30));
      if (!this.#closed) onError(key, error, againInMs);
      this.addAfter(key, againInMs);
    } finally {
      this.#active.delete(key);
      this.#pump();
      if (this.#active.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Takes no more keys, and waits for those at work. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#ready.clear();
    for (const { timer } of this.#later.values()) timer[Symbol.dispose]();
    this.#later.clear();
    if (this.#active.size > 0) await new Promise<void>(resolve => this.#idle.push(resolve));
  }
}
