interface Waiting {
  open(): void;
  fail(error: unknown): void;
}

/** Who attached before the start: served when the container is created and has written nothing yet. */
export class AttachQueue {
  readonly #waiting = new Map<string, Waiting[]>();

  /** What `open` returns at the container's start. @throws what the start failed with; the reason of `signal`, who waits no more */
  wait<T>(id: string, open: () => T, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting: Waiting = { open: () => resolve(open()), fail: reject };
    const leave = () => {
      const others = (this.#waiting.get(id) ?? []).filter(other => other !== waiting);
      this.#set(id, others);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', leave, { once: true });
    const heed = () => signal?.removeEventListener('abort', leave);
    promise.then(heed, heed);
    this.#set(id, [...(this.#waiting.get(id) ?? []), waiting]);
    return promise;
  }

  open(id: string): void {
    for (const waiting of this.#take(id)) waiting.open();
  }

  fail(id: string, error: unknown): void {
    for (const waiting of this.#take(id)) waiting.fail(error);
  }

  #set(id: string, waiting: Waiting[]): void {
    if (waiting.length > 0) this.#waiting.set(id, waiting);
    else this.#waiting.delete(id);
  }

  #take(id: string): Waiting[] {
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    return waiting;
  }
}
