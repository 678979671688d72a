import type { EngineEvent } from './engine.ts';

/** Who listens to the engine's events. */
export class EventFeed {
  readonly #listeners = new Set<(event: EngineEvent) => void>();

  /** In order, and apart from the caller: what a listener throws is not the engine's. */
  emit(event: EngineEvent): void {
    for (const listener of this.#listeners) queueMicrotask(() => listener(event));
  }

  /** Until it is disposed. */
  subscribe(listener: (event: EngineEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  clear(): void {
    this.#listeners.clear();
  }
}
