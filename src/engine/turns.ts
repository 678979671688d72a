const TURN_MS = 3;

/** Does much short work that many ask for at once in turns, so that the event loop does other things in between. */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves with what `work` returns, done now or in one of the next turns. */
  run<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error);
      }
    });
    if (this.#waiting.length === 1) setImmediate(() => this.#turn());
    return promise;
  }

  #turn(): void {
    const end = performance.now() + TURN_MS;
    let done = 0;
    while (done < this.#waiting.length && (done === 0 || performance.now() < end)) this.#waiting[done++]?.();
    this.#waiting.splice(0, done);
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
  }
}
