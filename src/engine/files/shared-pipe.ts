import { UmiakError } from '#base/errors.ts';

/**
 * Bytes from one thread to another through memory that both see: a few slots, filled and emptied in turn, so that nothing is copied between
 * threads and no more is ever held. The end in a worker thread waits by blocking (`…Sync`), the one in the main thread by promises.
 * Either end may break it; the other then throws.
 */
export class SharedPipe {
  readonly memory: SharedArrayBuffer;
  readonly #state: Int32Array;
  #slot = 0;

  /** Another thread's pipe is opened by its `memory`. */
  constructor(memory = new SharedArrayBuffer(STATE_BYTES + SLOTS * SLOT_BYTES)) {
    this.memory = memory;
    this.#state = new Int32Array(memory, 0, SLOTS + 1);
  }

  /** Ends it for both sides; whoever waits wakes up. */
  break(): void {
    Atomics.store(this.#state, BROKEN, 1);
    for (let slot = 0; slot < SLOTS; slot++) Atomics.notify(this.#state, slot);
  }

  get isBroken(): boolean {
    return Atomics.load(this.#state, BROKEN) !== 0;
  }

  /** @throws Gone once the other end, or its owner, has broken it */
  check(): void {
    if (this.isBroken) throw new UmiakError('Gone', 'nobody waits for it any more');
  }

  // ——— the end that writes ———

  /** The next slot to be filled. */
  roomSync(): Buffer {
    this.#waitSync(value => value === FREE);
    return this.#bytes(SLOT_BYTES);
  }

  /** The same, by promises. @throws Timeout when the other end takes nothing for so long */
  async room(patienceMs: number): Promise<Buffer> {
    await this.#wait(value => value === FREE, patienceMs);
    return this.#bytes(SLOT_BYTES);
  }

  /** The same, if one is free just now. */
  freeRoom(): Buffer | undefined {
    this.check();
    return Atomics.load(this.#state, this.#slot) === FREE ? this.#bytes(SLOT_BYTES) : undefined;
  }

  /** So many bytes of the slot that `room` gave are there to be read. */
  publish(length: number): void {
    this.#set(length);
  }

  /** Nothing more comes. */
  finishSync(): void {
    this.#waitSync(value => value === FREE);
    this.#set(END);
  }

  async finish(patienceMs: number): Promise<void> {
    await this.#wait(value => value === FREE, patienceMs);
    this.#set(END);
  }

  // ——— the end that reads ———

  /** Each chunk is valid until the next one is asked for. @throws Timeout when the other end gives nothing for so long */
  async *read(patienceMs: number): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const length = await this.#wait(value => value !== FREE, patienceMs);
      if (length === END) return;
      yield this.#bytes(length);
      this.#set(FREE);
    }
  }

  #bytes(length: number): Buffer {
    return Buffer.from(this.memory, STATE_BYTES + this.#slot * SLOT_BYTES, length);
  }

  #set(value: number): void {
    Atomics.store(this.#state, this.#slot, value);
    Atomics.notify(this.#state, this.#slot);
    this.#slot = (this.#slot + 1) % SLOTS;
  }

  #waitSync(isWanted: (value: number) => boolean): void {
    for (;;) {
      this.check();
      const value = Atomics.load(this.#state, this.#slot);
      if (isWanted(value)) return;
      // Broken between the look and the wait: whoever broke it may have notified before.
      Atomics.wait(this.#state, this.#slot, value, RECHECK_MS);
    }
  }

  async #wait(isWanted: (value: number) => boolean, patienceMs: number): Promise<number> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      this.check();
      const value = Atomics.load(this.#state, this.#slot);
      if (isWanted(value)) return value;
      const left = deadline - performance.now();
      if (left <= 0) throw new UmiakError('Timeout', "the container's files do not answer");
      const { async, value: woken } = Atomics.waitAsync(this.#state, this.#slot, value, Math.min(left, RECHECK_MS));
      if (async) await woken;
    }
  }
}

/** Few enough to be nothing, large enough that waking each other costs nothing. */
const SLOTS = 4;
const SLOT_BYTES = 512 << 10;
const STATE_BYTES = 4096;
const BROKEN = SLOTS;
const FREE = 0;
const END = -1;
const RECHECK_MS = 1000;
