/** Runs one task a key at a time; whoever comes meanwhile shares it. The task is aborted when all who wait for it have gone. */
export class SingleFlight<Event> {
  readonly #flights = new Map<string, Flight<Event>>();

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled([...this.#flights.values()].map(({ result }) => result));
  }

  /** Resolves when the tasks that nobody waits for any more have ended. */
  async abandoned(): Promise<void> {
    await Promise.allSettled([...this.#flights.values()].filter(({ abort }) => abort.signal.aborted).map(({ result }) => result));
  }

  /** @throws the reason of `signal` when it is aborted, at once, though others keep waiting for the task. */
  async run<T>(
    key: string,
    { signal, onEvent }: { signal?: AbortSignal | undefined; onEvent?: ((event: Event) => void) | undefined },
    task: (signal: AbortSignal, emit: (event: Event) => void) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    let flight = this.#flights.get(key);
    if (flight === undefined || flight.abort.signal.aborted) {
      const made: Flight<Event> = { abort: new AbortController(), listeners: new Set(), waiting: 0, result: Promise.resolve() };
      const forget = () => void (this.#flights.get(key) === made && this.#flights.delete(key));
      made.result = task(made.abort.signal, event => {
        for (const listener of made.listeners) listener(event);
      }).finally(forget);
      this.#flights.set(key, made);
      flight = made;
    }
    return await join(flight as Flight<Event> & { result: Promise<T> }, signal, onEvent);
  }
}

interface Flight<Event> {
  abort: AbortController;
  listeners: Set<(event: Event) => void>;
  waiting: number;
  result: Promise<unknown>;
}

async function join<Event, T>(
  flight: Flight<Event> & { result: Promise<T> },
  signal?: AbortSignal,
  onEvent?: (event: Event) => void,
): Promise<T> {
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(signal?.reason);
  const listener = onEvent === undefined ? undefined : (event: Event) => onEvent(event);
  flight.waiting += 1;
  if (listener) flight.listeners.add(listener);
  signal?.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([flight.result, left.promise]);
  } finally {
    signal?.removeEventListener('abort', leave);
    if (listener) flight.listeners.delete(listener);
    flight.waiting -= 1;
    if (flight.waiting === 0) {
      flight.result.catch(() => {});
      flight.abort.abort(signal?.reason);
    }
  }
}
