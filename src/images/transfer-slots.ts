import type { Clock } from '#base/clock.ts';

export interface TransferSlotsOptions {
  /** So many bring bytes side by side. */
  count: number;
  /** So many go on at all, those included that bring none. */
  most: number;
  clock: Clock;
}

/** A transfer under way; disposed when it has ended. */
export interface Transfer extends Disposable {
  /** It is at this byte now. */
  at(bytes: number): void;
}

interface Counted {
  bytes: number;
  /** At the last look; undefined before the first. */
  seenBytes?: number;
  isSlow: boolean;
}

/** While somebody waits, who has not brought this much since the last look does not count. */
const LEAST_BYTES = 64 << 10;
const LOOK_MS = 3_000;

/**
 * Bounds the transfers that go on side by side; who comes later waits, in order. A transfer that brings nothing takes nothing from others
 * either: while somebody waits, it goes on beside the bound, so that registries that never get on keep nobody from all others. Nothing is
 * looked at while nobody waits.
 */
export class TransferSlots {
  readonly #options: TransferSlotsOptions;
  readonly #underWay = new Set<Counted>();
  readonly #waiting: ((transfer: Transfer) => void)[] = [];
  #nextLook: Disposable | undefined;

  constructor(options: TransferSlotsOptions) {
    this.#options = options;
  }

  /** @throws the reason of `signal` when it is aborted meanwhile */
  async take(signal?: AbortSignal): Promise<Transfer> {
    signal?.throwIfAborted();
    if (this.#hasRoom()) return this.#begin();
    const { promise, resolve, reject } = Promise.withResolvers<Transfer>();
    this.#waiting.push(resolve);
    if (!this.#nextLook) this.#look();
    const leave = () => {
      const at = this.#waiting.indexOf(resolve);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      this.#letIn();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', leave, { once: true });
    return await promise.finally(() => signal?.removeEventListener('abort', leave));
  }

  #hasRoom(): boolean {
    let counted = 0;
    for (const { isSlow } of this.#underWay) if (!isSlow) counted++;
    return counted < this.#options.count && this.#underWay.size < this.#options.most;
  }

  #begin(): Transfer {
    const transfer: Counted = { bytes: 0, isSlow: false };
    this.#underWay.add(transfer);
    return {
      at: bytes => {
        transfer.bytes = bytes;
      },
      [Symbol.dispose]: () => void (this.#underWay.delete(transfer) && this.#letIn()),
    };
  }

  #letIn(): void {
    while (this.#waiting.length > 0 && this.#hasRoom()) this.#waiting.shift()!(this.#begin());
    if (this.#waiting.length > 0) return;
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = undefined;
    // What is seen is of the past when somebody waits again.
    for (const transfer of this.#underWay) delete transfer.seenBytes;
  }

  #look(): void {
    for (const transfer of this.#underWay) {
      const { bytes, seenBytes } = transfer;
      if (seenBytes !== undefined) transfer.isSlow = Math.abs(bytes - seenBytes) < LEAST_BYTES; // fewer: it began anew
      transfer.seenBytes = bytes;
    }
    this.#nextLook = this.#options.clock.after(LOOK_MS, () => this.#look());
    this.#letIn();
  }
}
