import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '#base/index.ts';
import { pause } from '#client/informer.ts';
import { trimMalloc } from '#linux/malloc.ts';

/** What can be known and done about a process' memory. */
export interface ProcessMemory {
  /** Calls `listener` once for each garbage collection, soon after it. */
  onCollection(listener: () => void): Disposable;
  /** Bytes that the space of young objects takes, used or not. */
  youngBytes(): number;
  /** Bytes of the process that are in memory, all threads' together. */
  residentBytes(): number;
  /** Collects young objects: a few milliseconds, however large the heap is. */
  collectYoung(): void;
  /** Gives free pages of the C library's heaps back. */
  trim(): Promise<void>;
}

export interface MemoryReturnOptions {
  clock: Clock;
  /** Default: this process'. */
  memory?: ProcessMemory;
}

/** So long without a collection is rest. */
export const REST_MS = 3_000;
/** What young objects may keep for themselves; where they have less, little has happened. */
const YOUNG_BYTES = 4 << 20;
/** Threads that have ended, and whatever else, may leave this behind. */
const GROWN_BYTES = 4 << 20;
/** V8 makes their space small in a collection that little was allocated before: the first may still look back on the load. */
const COLLECTIONS = 3;
export const BETWEEN_MS = 1_000;
/** V8 keeps what it freed for 8 seconds, and looks at it in collections only. */
export const POOLED_MS = 9_000;

/**
 * Gives back what a burst of work leaves behind, once the process rests: V8 keeps the space of young objects as large as the load made it
 * (60 MB) until it collects again, which without work it never does, it keeps what threads had that have ended, and the C library keeps
 * freed pages. Costs nothing under load; all
 * it does at rest takes a few milliseconds, whatever the heap's size, and where nothing happens nothing runs.
 */
export class MemoryReturn implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #memory: ProcessMemory;
  readonly #abort = new AbortController();
  readonly #observed: Disposable;
  /** Collections of our own that we have not heard of yet. */
  #ours = 0;
  #lastAtMs = 0;
  /** What it had in memory when it last had given back. */
  #restedBytes: number;
  /** There was a burst that not everything has been given back of. */
  #isUntidy = false;
  /** The C library's part of it was: where a little goes on all the time, once. */
  #isTrimmed = false;
  #timer: Disposable | undefined;
  #resting: Promise<void> | undefined;

  constructor({ clock, memory = processMemory }: MemoryReturnOptions) {
    this.#clock = clock;
    this.#memory = memory;
    this.#restedBytes = memory.residentBytes();
    this.#observed = memory.onCollection(() => this.#onCollection());
  }

  #onCollection(): void {
    if (this.#ours > 0) {
      this.#ours -= 1;
      return;
    }
    this.#lastAtMs = this.#clock.monotonic();
    this.#timer ??= this.#clock.after(REST_MS, () => this.#look());
  }

  #look(): void {
    const leftMs = this.#lastAtMs + REST_MS - this.#clock.monotonic();
    this.#timer = leftMs > 0 ? this.#clock.after(leftMs, () => this.#look()) : undefined;
    if (leftMs <= 0) this.#resting ??= this.#giveBack().finally(() => this.#lookAgain());
  }

  /** Work came between: there may be no collection after it that would tell. */
  #lookAgain(): void {
    this.#resting = undefined;
    if (this.#isUntidy && !this.#abort.signal.aborted) this.#timer ??= this.#clock.after(REST_MS, () => this.#look());
  }

  async #giveBack(): Promise<void> {
    const residentBytes = this.#memory.residentBytes();
    if (this.#memory.youngBytes() > YOUNG_BYTES || residentBytes > this.#restedBytes + GROWN_BYTES) {
      this.#isUntidy = true;
      this.#isTrimmed = false;
    }
    if (!this.#isUntidy) {
      this.#restedBytes = Math.min(this.#restedBytes, residentBytes);
      return;
    }
    const restedAtMs = this.#lastAtMs;
    const stillRests = async (ms: number) => {
      await pause(this.#clock, ms, this.#abort.signal);
      return !this.#abort.signal.aborted && this.#lastAtMs === restedAtMs;
    };
    for (let tries = 0; tries < COLLECTIONS && this.#memory.youngBytes() > YOUNG_BYTES; tries++) {
      this.#collectYoung();
      if (!(await stillRests(BETWEEN_MS))) return;
    }
    if (!this.#isTrimmed) {
      await this.#memory.trim();
      this.#isTrimmed = true;
      this.#restedBytes = this.#memory.residentBytes();
    }
    if (!(await stillRests(POOLED_MS))) return;
    this.#collectYoung();
    this.#restedBytes = this.#memory.residentBytes();
    this.#isUntidy = false;
  }

  #collectYoung(): void {
    this.#ours += 1;
    this.#memory.collectYoung();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#observed[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    await this.#resting;
  }
}

let collect: NodeJS.GCFunction | undefined;

const processMemory: ProcessMemory = {
  onCollection(listener) {
    const observer = new PerformanceObserver(entries => entries.getEntries().forEach(listener));
    observer.observe({ entryTypes: ['gc'] });
    return { [Symbol.dispose]: () => observer.disconnect() };
  },
  youngBytes: () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0,
  residentBytes: () => process.memoryUsage.rss(),
  collectYoung() {
    collect ??= openCollector();
    collect({ type: 'minor' });
  },
  trim: trimMalloc,
};

/** Node has V8's `gc` only in contexts made while this flag stands. */
function openCollector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc') as NodeJS.GCFunction;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
