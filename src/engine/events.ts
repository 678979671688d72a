import type { EngineEvent } from './engine.ts';

/** Who listens to the engine's events. */
export class EventFeed {
  readonly #listeners = new Map<(event: EngineEvent) => void, boolean>();

  /** In order, and apart from the caller: what a listener throws is not the engine's. */
  emit(event: EngineEvent): void {
    const { internal = false } = event.type === 'sandbox' ? event.sandbox.config : event.container.config;
    for (const [listener, wantsInternal] of this.#listeners) if (wantsInternal === internal) queueMicrotask(() => listener(event));
  }

  /** Until it is disposed; of what is internal, or of what is not. */
  subscribe(listener: (event: EngineEvent) => void, internal = false): Disposable {
    const own = (event: EngineEvent) => listener(event);
    this.#listeners.set(own, internal);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  clear(): void {
    this.#listeners.clear();
  }
}
