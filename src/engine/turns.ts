const TURN_MS = 3;

/** Cuts much short work that many ask for at once, so that the event loop does other things in between: ask for a turn before each piece. */
export class Turns {
  #beganMs = 0;
  #next: Promise<void> | undefined;

  /** Resolves at once while the present turn has time left, and else in a later one. */
  async take(): Promise<void> {
    while (performance.now() - this.#beganMs > TURN_MS) {
      this.#next ??= new Promise(resolve =>
        setImmediate(() => {
          this.#beganMs = performance.now();
          this.#next = undefined;
          resolve();
        }),
      );
      await this.#next;
    }
  }
}
