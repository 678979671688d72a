import type { StoreEvent, WatchBatch } from './store.ts';

/** Live events a watcher may miss while it still reads history, before it rather reads on than keeps them. */
const WAITING_EVENTS = 4096;

/** One `watch`: first reads history, then follows what is published. */
export interface Watcher {
  readonly prefix: string;
  readonly receive: (batch: WatchBatch) => void;
  readonly fail: (error: unknown) => void;
  /** How far it has seen, or was told it need not. */
  seen: number;
  /** While it reads history: what happened meanwhile. Null once it follows live. */
  waiting: WatchBatch[] | null;
}

/** The live watchers. Synchronous: an event has reached every watcher when `publish` returns. */
export class Watchers {
  readonly #watchers = new Set<Watcher>();

  get size(): number {
    return this.#watchers.size;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
  }

  delete(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Tells everyone of `events` (whole revisions, in order) and that `revision` is reached. */
  publish(events: readonly StoreEvent[], revision: number): void {
    for (const watcher of [...this.#watchers]) {
      const batch = { events: events.filter(event => event.key.startsWith(watcher.prefix)), revision };
      if (watcher.waiting) watcher.waiting.push(batch);
      else this.#deliver(watcher, batch);
    }
  }

  /** A page of history for a watcher that still reads it. */
  replay(watcher: Watcher, batch: WatchBatch): void {
    this.#deliver(watcher, batch);
  }

  /** Ends reading history: hands over what waited. False when too much waits, so that reading on is better. */
  goLive(watcher: Watcher): boolean {
    const waiting = watcher.waiting ?? [];
    if (waiting.reduce((count, { events }) => count + events.length, 0) > WAITING_EVENTS) {
      watcher.waiting = [];
      return false;
    }
    watcher.waiting = null;
    for (const batch of waiting) this.#deliver(watcher, batch);
    return true;
  }

  failAll(error: unknown): void {
    for (const watcher of [...this.#watchers]) watcher.fail(error);
    this.#watchers.clear();
  }

  #deliver(watcher: Watcher, { events, revision }: WatchBatch): void {
    if (revision <= watcher.seen || !this.#watchers.has(watcher)) return;
    const unseen = events[0] && events[0].revision <= watcher.seen ? events.filter(event => event.revision > watcher.seen) : events;
    watcher.seen = revision;
    try {
      watcher.receive({ events: unseen, revision });
    } catch (error) {
      this.#watchers.delete(watcher);
      watcher.fail(error);
    }
  }
}
