/** How many keys are remembered; the longest unused are forgotten first. */
const MOST_KEYS = 10_000;

/** The first and the longest pause. */
export interface BackoffOptions {
  firstMs: number;
  lastMs: number;
}

/** Pauses that double with every try of the same key, and start anew after twice the longest pause. Kept in memory only. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #tries = new Map<string, { pauseMs: number; atMs: number }>();

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** How long `key` must still wait; 0: not at all. */
  leftMs(key: string, nowMs: number): number {
    const last = this.#recent(key, nowMs);
    return last ? Math.max(0, last.atMs + last.pauseMs - nowMs) : 0;
  }

  /** `key` is tried now: the next try waits longer. */
  tried(key: string, nowMs: number): void {
    const { firstMs, lastMs } = this.#options;
    const last = this.#recent(key, nowMs);
    this.#tries.delete(key);
    this.#tries.set(key, { pauseMs: last ? Math.min(last.pauseMs * 2, lastMs) : firstMs, atMs: nowMs });
    if (this.#tries.size > MOST_KEYS) for (const oldest of this.#tries.keys()) if (this.#tries.delete(oldest)) return;
  }

  #recent(key: string, nowMs: number): { pauseMs: number; atMs: number } | undefined {
    const last = this.#tries.get(key);
    return last && nowMs - last.atMs <= 2 * this.#options.lastMs ? last : undefined;
  }
}
