interface Waiting {
  open(): void;
  fail(error: unknown): void;
}

/** Who attached before the start: served when the container is created and has written nothing yet. */
export class AttachQueue {
  readonly #waiting = new Map<string, Waiting[]>();

  /** What `open` returns at the container's start. @throws what the start failed with */
  wait<T>(id: string, open: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), { open: () => resolve(open()), fail: reject }]);
    return promise;
  }

  open(id: string): void {
    for (const waiting of this.#take(id)) waiting.open();
  }

  fail(id: string, error: unknown): void {
    for (const waiting of this.#take(id)) waiting.fail(error);
  }

  #take(id: string): Waiting[] {
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    return waiting;
  }
}
