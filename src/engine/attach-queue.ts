import { finished } from 'node:stream/promises';
import type { Clock } from '#base/clock.ts';
import type { StreamSession } from './engine.ts';

/** For those who are slow to hear the last of a run. */
const PATIENCE_MS = 2_000;

interface Waiting {
  open(): void;
  fail(error: unknown): void;
}

/**
 * Who attached before the start is served when the container is created and has written nothing yet; who is attached hears all of a run
 * before its end is told, if it listens.
 */
export class AttachQueue {
  readonly #waiting = new Map<string, Waiting[]>();
  /** What is still heard of runs, each until its end. */
  readonly #heard = new Map<string, Set<Promise<void>>>();

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

  /** Somebody listens to a container. */
  listens(id: string, { stdout, stderr }: StreamSession): void {
    const all = this.#heard.get(id) ?? new Set();
    this.#heard.set(id, all);
    const over = Promise.allSettled([stdout, stderr].map(each => each && finished(each, { writable: false }))).then(() => {
      all.delete(over);
      if (all.size === 0 && this.#heard.get(id) === all) this.#heard.delete(id);
    });
    all.add(over);
  }

  /** A run has ended: resolves when all who listen have heard it, or some time after. */
  async ended(id: string, clock: Clock): Promise<void> {
    const all = this.#heard.get(id);
    if (!all) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    using _ = clock.after(PATIENCE_MS, resolve);
    await Promise.race([Promise.all(all), late]);
    if (this.#heard.get(id) === all) this.#heard.delete(id);
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
