import type { Clock } from '#base/index.ts';

export interface SchedulingQueueOptions {
  clock: Clock;
  /** Called when a pod may be taken that could not before. */
  onReady: () => void;
}

/** A pod that waits for a node. */
interface Waiting {
  key: string;
  priority: number;
  /** When it became ready: among equals the first goes first. */
  turn: number;
  failures: number;
  /** `ready`: now. `backing-off`: something may have helped it, but it failed a moment ago. `failing`: the API failed. `parked`: until something may help. */
  state: 'ready' | 'backing-off' | 'failing' | 'parked';
  readyAtMs: number;
  parkedAtMs: number;
  by: ReadonlySet<string>;
}

const FIRST_BACKOFF_MS = 1_000;
const LAST_BACKOFF_MS = 10_000;
/** A pod is looked at again after this even if nothing seems to have changed. */
const FLUSH_MS = 300_000;

/**
 * Pods without a node, the most important first. One that found no place is parked until something may help it, then waits out its
 * back-off (1 to 10 s, doubling) unless there is nothing else to do.
 */
export class SchedulingQueue implements Disposable {
  readonly #options: SchedulingQueueOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #ready: Heap = new Heap();
  /** In the order of their parking. */
  readonly #parked = new Map<string, Waiting>();
  readonly #parkedBy = new Map<string, Set<Waiting>>();
  readonly #resting = new Set<Waiting>();
  #timer: Disposable | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #turns = 0;

  constructor(options: SchedulingQueueOptions) {
    this.#options = options;
  }

  /** A pod that came, or that changed so that it must be looked at anew. */
  add(key: string, priority: number): void {
    const known = this.#waiting.get(key);
    if (known && known.turn >= 0 && known.priority === priority) return;
    if (known) this.#take(known);
    this.#makeReady(known ? Object.assign(known, { priority }) : newWaiting(key, priority));
  }

  isParked(key: string): boolean {
    return this.#parked.has(key);
  }

  remove(key: string): void {
    const known = this.#waiting.get(key);
    if (known) this.#take(known);
    this.#waiting.delete(key);
  }

  /** The next pod; it stays known, with its failures, until it is parked, retried, added or removed. */
  pop(): string | undefined {
    for (;;) {
      const top = this.#ready.pop();
      if (!top) break;
      if (top.waiting.state === 'ready' && top.turn === top.waiting.turn && this.#waiting.get(top.waiting.key) === top.waiting)
        return this.#begin(top.waiting);
    }
    // Nothing else to do: why wait any longer.
    for (const each of this.#resting) if (each.state === 'backing-off') return this.#begin(each);
    return undefined;
  }

  /** It found no place: until something helps one of the filters that said so. */
  park(key: string, by: ReadonlySet<string>): void {
    const waiting = this.#fail(key, by);
    waiting.state = 'parked';
    waiting.parkedAtMs = this.#options.clock.monotonic();
    this.#parked.set(key, waiting);
    for (const name of by) this.#parkedOf(name).add(waiting);
    this.#callAt(waiting.parkedAtMs + FLUSH_MS);
  }

  /** Something went wrong: again after its back-off. */
  retry(key: string): void {
    const waiting = this.#fail(key, new Set());
    waiting.state = 'failing';
    this.#resting.add(waiting);
    this.#callAt(waiting.readyAtMs);
  }

  /** Something happened that may help pods that `filter` kept out: those that `isHelped` says. */
  wake(filter: string, isHelped: (key: string) => boolean): void {
    for (const waiting of [...(this.#parkedBy.get(filter) ?? [])]) if (isHelped(waiting.key)) this.#wake(waiting);
  }

  /** Wakes one pod, or all, whatever kept them out. */
  wakeAll(key?: string): void {
    for (const waiting of [...this.#parked.values()]) if (key === undefined || waiting.key === key) this.#wake(waiting);
  }

  #wake(waiting: Waiting): void {
    this.#take(waiting);
    if (waiting.readyAtMs <= this.#options.clock.monotonic()) {
      this.#makeReady(waiting);
      return;
    }
    waiting.state = 'backing-off';
    this.#resting.add(waiting);
    this.#callAt(waiting.readyAtMs);
    this.#options.onReady();
  }

  #makeReady(waiting: Waiting): void {
    waiting.state = 'ready';
    waiting.turn = this.#turns++;
    this.#waiting.set(waiting.key, waiting);
    this.#ready.push(waiting);
    this.#options.onReady();
  }

  #begin(waiting: Waiting): string {
    this.#take(waiting);
    return waiting.key;
  }

  #fail(key: string, by: ReadonlySet<string>): Waiting {
    const waiting = this.#waiting.get(key) ?? newWaiting(key, 0);
    this.#take(waiting);
    this.#waiting.set(key, waiting);
    waiting.by = by;
    waiting.failures += 1;
    const pauseMs = Math.min(FIRST_BACKOFF_MS * 2 ** (waiting.failures - 1), LAST_BACKOFF_MS);
    waiting.readyAtMs = this.#options.clock.monotonic() + pauseMs;
    return waiting;
  }

  /** Out of where it stands. */
  #take(waiting: Waiting): void {
    this.#resting.delete(waiting);
    if (this.#parked.delete(waiting.key)) for (const name of waiting.by) this.#parkedOf(name).delete(waiting);
    waiting.turn = -1;
  }

  #parkedOf(filter: string): Set<Waiting> {
    const known = this.#parkedBy.get(filter) ?? new Set<Waiting>();
    this.#parkedBy.set(filter, known);
    return known;
  }

  /** One timer for whatever is due first. */
  #callAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    const { clock } = this.#options;
    this.#timer?.[Symbol.dispose]();
    this.#timerAtMs = atMs;
    this.#timer = clock.after(Math.max(0, atMs - clock.monotonic()), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const now = this.#options.clock.monotonic();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const waiting of [...this.#resting])
      if (waiting.readyAtMs > now) nextMs = Math.min(nextMs, waiting.readyAtMs);
      else {
        this.#take(waiting);
        this.#makeReady(waiting);
      }
    for (const waiting of [...this.#parked.values()]) {
      nextMs = Math.min(nextMs, waiting.parkedAtMs + FLUSH_MS);
      if (waiting.parkedAtMs + FLUSH_MS > now) break;
      this.#wake(waiting);
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#callAt(Math.max(nextMs, now + 1));
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#waiting.clear();
    this.#resting.clear();
    this.#parked.clear();
    this.#parkedBy.clear();
  }
}

function newWaiting(key: string, priority: number): Waiting {
  return { key, priority, turn: -1, failures: 0, state: 'ready', readyAtMs: 0, parkedAtMs: 0, by: new Set() };
}

interface Entry {
  waiting: Waiting;
  priority: number;
  turn: number;
}

/** A binary heap: the highest priority first, then the earliest turn. Entries that are out of date are passed over by who takes them. */
class Heap {
  readonly #entries: Entry[] = [];

  push(waiting: Waiting): void {
    const entries = this.#entries;
    const entry = { waiting, priority: waiting.priority, turn: waiting.turn };
    let at = entries.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): Entry | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (!top || !last || entries.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && isBefore(entries[child + 1]!, entries[child]!)) child += 1;
      if (!isBefore(entries[child]!, last)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = last;
    return top;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.turn < b.turn;
}
