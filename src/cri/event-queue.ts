import { UmiakError } from '#base/errors.ts';

/** So many wait for one reader; one that is slower than that starts anew. */
const MOST = 1_000;

/** What happened, for one reader, in order, until it is ended. Bounded: a reader that lags is told so, instead of missing what it never learns of. */
export class EventQueue<T> implements AsyncIterable<T> {
  readonly #most: number;
  #waiting: T[] = [];
  #wake = () => {};
  #end: { error?: Error } | undefined;

  constructor(most = MOST) {
    this.#most = most;
  }

  push(item: T): void {
    if (this.#end) return;
    if (this.#waiting.length >= this.#most) {
      this.#waiting = [];
      this.end(new UmiakError('TooManyRequests', `${this.#most} events wait to be read: list again, then watch on`));
      return;
    }
    this.#waiting.push(item);
    this.#wake();
  }

  /** Nothing more comes; with an error, the reader gets that. */
  end(error?: Error): void {
    this.#end ??= error ? { error } : {};
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#waiting.length > 0) {
        yield* this.#waiting.splice(0);
        continue;
      }
      if (this.#end?.error) throw this.#end.error;
      if (this.#end) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}
