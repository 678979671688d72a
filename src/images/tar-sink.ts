/**
 * Where the bytes of an archive go, synchronously: collected in a buffer, which `flush` takes when it is full and gives the next one for.
 * `flush` may wait; what it gives may be the same buffer again.
 */
export class TarSink {
  #buffer: Buffer;
  #used = 0;
  readonly #flush: (full: Buffer) => Buffer;
  /** Of all that came. */
  totalBytes = 0;

  constructor(first: Buffer, flush: (full: Buffer) => Buffer) {
    this.#buffer = first;
    this.#flush = flush;
  }

  /** Copies. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(bytes.length - at, this.#buffer.length - this.#used);
      this.#buffer.set(bytes.subarray(at, at + length), this.#used);
      at += length;
      this.took(length);
    }
  }

  zeros(count: number): void {
    for (let left = count; left > 0; ) {
      const room = this.room(left).fill(0);
      left -= room.length;
      this.took(room.length);
    }
  }

  /** Between 1 and `most` bytes to be filled from their beginning; `took` says how many were. */
  room(most: number): Buffer {
    return this.#buffer.subarray(this.#used, Math.min(this.#buffer.length, this.#used + most));
  }

  took(length: number): void {
    this.#used += length;
    this.totalBytes += length;
    if (this.#used === this.#buffer.length) this.#pass();
  }

  /** What is left goes. */
  end(): void {
    if (this.#used > 0) this.#pass();
  }

  #pass(): void {
    this.#buffer = this.#flush(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}
