import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Clock } from '#base/clock.ts';
import { type FromSide, fromWireError, type SideJob, type WriterOptions } from './protocol.ts';

/** The one place where the store's threads are made: the bundler finds their files by these two lines. */
export function startWriterThread(options: WriterOptions): Worker {
  return new Worker(new URL('./sqlite-worker.ts', import.meta.url), { name: 'store', workerData: options });
}

function startSideThread(): Worker {
  return new Worker(new URL('./sqlite-side-worker.ts', import.meta.url), { name: 'store-side' });
}

/** A thread beside the writer that does one long job after another. It starts with the first; disposed, it has ended. */
export class SideThread implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #idleMs: number;
  #worker: Worker | undefined;
  #idle: Disposable | undefined;

  /** After `idleMs` without a job the thread ends by itself, and the next job starts another: it costs memory, starting it costs time. */
  constructor({ clock, idleMs }: { clock: Clock; idleMs: number }) {
    this.#clock = clock;
    this.#idleMs = idleMs;
  }

  /** Returns the problems that the job found. One job at a time. */
  async run(job: SideJob): Promise<string[]> {
    this.#idle?.[Symbol.dispose]();
    this.#worker ??= startSideThread();
    try {
      this.#worker.postMessage(job);
      const [answer] = (await once(this.#worker, 'message')) as [FromSide];
      if (answer.kind === 'failed') throw fromWireError(answer.error);
      return answer.problems;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    } finally {
      if (this.#worker) this.#idle = this.#clock.after(this.#idleMs, () => void this[Symbol.asyncDispose]());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#idle?.[Symbol.dispose]();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
