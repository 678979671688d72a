import { statSync } from 'node:fs';
import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { Container, Engine } from '#engine/engine.ts';

export interface LogRotationOptions {
  engine: Pick<Engine, 'containers' | 'rotateLog' | 'subscribe'>;
  clock: Clock;
  log: Log;
  /** How long a log may grow before it is put away; the engine keeps a few of those. */
  maxBytes?: number;
}

/** The kubelet's `containerLogMaxSize` and `containerLogMonitorInterval`. */
const MAX_BYTES = 10 << 20;
const LOOK_EVERY_MS = 10_000;

/**
 * Keeps the logs of this node's containers from filling the disk. Their monitors write them, and nothing tells how long they are but a look
 * at each: one every ten seconds while any container runs, which takes microseconds and would take longer by the thread pool.
 */
export class LogRotation implements AsyncDisposable {
  readonly #options: LogRotationOptions;
  readonly #subscription: Disposable;
  #timer: Disposable | undefined;
  #looking: Promise<void> = Promise.resolve();
  readonly #disposed = new AbortController();

  constructor(options: LogRotationOptions) {
    this.#options = options;
    this.#subscription = options.engine.subscribe(event => {
      if (event.type === 'container' && event.action === 'started') this.#arm();
    });
    this.#arm();
  }

  #arm(): void {
    if (this.#timer || this.#disposed.signal.aborted || this.#running().length === 0) return;
    this.#timer = this.#options.clock.after(LOOK_EVERY_MS, () => {
      this.#looking = this.#lookAtAll().finally(() => {
        this.#timer = undefined;
        this.#arm();
      });
    });
  }

  #running(): Container[] {
    return this.#options.engine.containers({ owner: 'node' }).filter(({ state }) => state === 'running');
  }

  async #lookAtAll(): Promise<void> {
    for (const container of this.#running()) if (!this.#disposed.signal.aborted) await this.#look(container);
  }

  async #look({ id, logPath }: Container): Promise<void> {
    const { engine, log, maxBytes = MAX_BYTES } = this.#options;
    try {
      if (logPath === undefined || (statSync(logPath, { throwIfNoEntry: false })?.size ?? 0) <= maxBytes) return;
      await engine.rotateLog(id, { signal: this.#disposed.signal });
    } catch (error) {
      // It has ended meanwhile.
      if (isUmiakError(error, 'Conflict') || isUmiakError(error, 'NotFound')) return;
      log.warn('a log could not be rotated', { container: id, error: messageOf(error) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    this.#subscription[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    await this.#looking;
  }
}
