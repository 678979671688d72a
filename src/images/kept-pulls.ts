import type { Clock } from '#base/clock.ts';

/** So long the layers that a pull brought before its registry failed are kept; a kubelet waits five minutes at most before it tries again. */
export const KEPT_MS = 600_000;
/** Of all but the newest, as they were downloaded. */
const MOST_BYTES = 8 * 2 ** 30;

interface KeptPull extends Disposable {
  bytes: number;
}

/** Holds what failed pulls brought for whoever tries again soon, within bounds of time and size. */
export class KeptPulls implements Disposable {
  readonly #clock: Clock;
  readonly #onLapse: () => void;
  /** The oldest first. */
  readonly #pulls = new Set<KeptPull>();

  /** `onLapse` is called when something is not held any longer. */
  constructor(clock: Clock, onLapse: () => void) {
    this.#clock = clock;
    this.#onLapse = onLapse;
  }

  /** Takes over what holds the content of a pull. */
  add(held: Disposable, bytes: number): void {
    const stack = new DisposableStack();
    stack.use(held);
    const pull = { bytes, [Symbol.dispose]: () => stack.dispose() };
    stack.use(this.#clock.after(KEPT_MS, () => this.#lapse(pull)));
    stack.defer(() => this.#pulls.delete(pull));
    let others = [...this.#pulls].reduce((sum, each) => sum + each.bytes, 0);
    for (const old of this.#pulls) {
      if (others <= MOST_BYTES) break;
      others -= old.bytes;
      this.#lapse(old);
    }
    this.#pulls.add(pull);
  }

  #lapse(pull: KeptPull): void {
    pull[Symbol.dispose]();
    this.#onLapse();
  }

  [Symbol.dispose](): void {
    for (const pull of [...this.#pulls]) pull[Symbol.dispose]();
  }
}
