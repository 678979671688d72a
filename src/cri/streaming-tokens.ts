import { randomBytes } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';

/** As the kubelet's CRI streaming library has them. */
const LIFETIME_MS = 60_000;
const MOST = 1_000;
const TOKEN_BYTES = 24;

/** What was asked for, kept under random tokens of which each opens once, within a minute. Nothing runs for those that never come. */
export class StreamingTokens<T> {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #entries = new Map<string, { asked: T; untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws `TooManyRequests` when as many as may be wait for their client */
  issue(asked: T): string {
    const nowMs = this.#clock.monotonic();
    for (const [token, { untilMs }] of this.#entries) {
      if (untilMs > nowMs) break;
      this.#entries.delete(token);
    }
    if (this.#entries.size >= MOST)
      throw new UmiakError('TooManyRequests', `${MOST} streams were asked for and not opened yet`, {
        details: { retryAfterSeconds: LIFETIME_MS / 1000 },
      });
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    this.#entries.set(token, { asked, untilMs: nowMs + LIFETIME_MS });
    return token;
  }

  /** What the token was given for; undefined for one that is unknown, used, or too old. */
  redeem(token: string): T | undefined {
    const entry = this.#entries.get(token);
    this.#entries.delete(token);
    return entry && entry.untilMs > this.#clock.monotonic() ? entry.asked : undefined;
  }
}
