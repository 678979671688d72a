import type { Clock } from '#base/index.ts';

export interface RetriesOptions {
  clock: Pick<Clock, 'monotonic'>;
  /** Waited after the first failure; doubles with each more. */
  firstMs: number;
  lastMs: number;
}

interface Failed<E> {
  failures: number;
  /** On the monotonic clock: a machine whose time is set back waits no longer. */
  dueAt: number;
  error: E;
}

/** What failed and is tried again later, by name, after growing times. A name that nobody asked for since long before is forgotten. */
export class Retries<E = unknown> {
  readonly #options: RetriesOptions;
  readonly #failed = new Map<string, Failed<E>>();

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  /** How long it is not to be tried yet; undefined when it may be. */
  waitMs(what: string): number | undefined {
    const waitMs = (this.#failed.get(what)?.dueAt ?? 0) - this.#now();
    return waitMs > 0 ? waitMs : undefined;
  }

  /** What it failed with last. */
  error(what: string): E | undefined {
    return this.#failed.get(what)?.error;
  }

  /** Remembers a failure; returns when to try again, by default after growing times. */
  failed(what: string, error: E, inMs?: number): number {
    const { firstMs, lastMs } = this.#options;
    const failures = (this.#failed.get(what)?.failures ?? 0) + 1;
    const waitMs = inMs ?? Math.min(firstMs * 2 ** (failures - 1), lastMs);
    this.#forgetOld();
    this.#failed.set(what, { failures, dueAt: this.#now() + waitMs, error });
    return waitMs;
  }

  succeeded(what: string): void {
    this.#failed.delete(what);
  }

  /** Everything may be tried at once. */
  now(): void {
    for (const failed of this.#failed.values()) failed.dueAt = Math.min(failed.dueAt, this.#now());
  }

  #forgetOld(): void {
    const before = this.#now() - this.#options.lastMs;
    for (const [what, { dueAt }] of this.#failed) if (dueAt < before) this.#failed.delete(what);
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}
