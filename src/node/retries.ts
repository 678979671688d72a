import type { Clock } from '#base/index.ts';

const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 120_000;

interface Failed {
  failures: number;
  dueAt: number;
  error: unknown;
}

/** What failed and is tried again later, by name: after two seconds, and doubling to two minutes. */
export class Retries {
  readonly #clock: Clock;
  readonly #failed = new Map<string, Failed>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long it is not to be tried yet; undefined when it may be. */
  waitMs(what: string): number | undefined {
    const waitMs = (this.#failed.get(what)?.dueAt ?? 0) - this.#clock.now();
    return waitMs > 0 ? waitMs : undefined;
  }

  /** What it failed with last. */
  error(what: string): unknown {
    return this.#failed.get(what)?.error;
  }

  /** Remembers a failure; returns when to try again, by default after growing times. */
  failed(what: string, error: unknown, inMs?: number): number {
    const failures = (this.#failed.get(what)?.failures ?? 0) + 1;
    const waitMs = inMs ?? Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
    this.#failed.set(what, { failures, dueAt: this.#clock.now() + waitMs, error });
    return waitMs;
  }

  succeeded(what: string): void {
    this.#failed.delete(what);
  }

  /** Everything may be tried at once. */
  now(): void {
    for (const failed of this.#failed.values()) failed.dueAt = 0;
  }
}
