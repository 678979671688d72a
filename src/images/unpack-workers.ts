import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { UnpackReply, UnpackRequest, UnpackResults } from './unpack-worker.ts';

export interface UnpackWorkersOptions {
  /** How many at most; as many as the machine has processors, 4 at most, by default. */
  workers?: number;
  /** An idle worker costs about 6 MB: it ends after this time. */
  idleMs?: number;
  clock?: Clock;
}

/** Names of directories are all that a layer keeps in memory: enough for about a million. */
const MOST_HEAP_MB = 512;

interface Job {
  request: UnpackRequest;
  resolve(result: UnpackResults[keyof UnpackResults]): void;
  reject(error: unknown): void;
}

interface Idle {
  worker: Worker;
  timer: Disposable;
}

/** Threads for what blocks on the disk; made when needed, gone when idle. */
export class UnpackWorkers implements AsyncDisposable {
  readonly #most: number;
  readonly #idleMs: number;
  readonly #clock: Clock;
  readonly #idle: Idle[] = [];
  readonly #busy = new Map<Worker, Job>();
  readonly #waiting: Job[] = [];
  #isClosed = false;
  /** How many threads were ever started, for tests. */
  spawned = 0;

  constructor({ workers = Math.min(4, availableParallelism()), idleMs = 3000, clock = systemClock }: UnpackWorkersOptions = {}) {
    this.#most = workers;
    this.#idleMs = idleMs;
    this.#clock = clock;
  }

  /** Live threads, for tests and metrics. */
  get threads(): number {
    return this.#idle.length + this.#busy.size;
  }

  run<Request extends UnpackRequest>(request: Request): Promise<UnpackResults[Request['op']]> {
    if (this.#isClosed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve: result => resolve(result as UnpackResults[Request['op']]), reject });
      this.#next();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const job of this.#waiting.splice(0)) job.reject(closed());
    const idle = this.#idle.splice(0);
    for (const { timer } of idle) timer[Symbol.dispose]();
    await Promise.all([...idle.map(({ worker }) => worker), ...this.#busy.keys()].map(worker => worker.terminate()));
  }

  #next(): void {
    if (this.#waiting.length === 0 || (this.#idle.length === 0 && this.#busy.size >= this.#most)) return;
    // Somebody waits for what is unpacked; nobody does for what is written back.
    const urgent = this.#waiting.findIndex(({ request }) => request.op !== 'sync');
    const [job] = this.#waiting.splice(Math.max(0, urgent), 1);
    if (job === undefined) return;
    const idle = this.#idle.pop();
    idle?.timer[Symbol.dispose]();
    const worker = idle?.worker ?? this.#spawn();
    worker.ref();
    this.#busy.set(worker, job);
    worker.postMessage(job.request);
  }

  #spawn(): Worker {
    this.spawned += 1;
    const worker = new Worker(new URL('./unpack-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MB } });
    worker.on('message', (reply: UnpackReply) => {
      const job = this.#busy.get(worker);
      this.#busy.delete(worker);
      this.#rest(worker);
      if ('error' in reply)
        job?.reject(
          new UmiakError(reply.error.reason, reply.error.message, reply.error.hint === undefined ? {} : { hint: reply.error.hint }),
        );
      else job?.resolve(reply.result);
      this.#next();
    });
    const lost = (cause?: unknown) => {
      const job = this.#busy.get(worker);
      this.#busy.delete(worker);
      job?.reject(this.#isClosed ? closed() : toLost(cause));
      this.#next();
    };
    worker.on('error', lost);
    worker.on('exit', () => lost());
    return worker;
  }

  #rest(worker: Worker): void {
    worker.unref();
    const timer = this.#clock.after(this.#idleMs, () => {
      this.#idle.splice(
        this.#idle.findIndex(idle => idle.worker === worker),
        1,
      );
      void worker.terminate();
    });
    this.#idle.push({ worker, timer });
  }
}

function toLost(cause: unknown): UmiakError {
  return isObject(cause) && cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? new UmiakError('Invalid', `the layer has so many directories that ${MOST_HEAP_MB} MB do not hold their names`)
    : new UmiakError('InternalError', 'the thread that was unpacking ended', { cause });
}

function closed(): UmiakError {
  return new UmiakError('ServiceUnavailable', 'the image store is closing');
}
