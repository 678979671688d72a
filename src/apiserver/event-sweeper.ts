import type { Clock } from '#base/clock.ts';
import type { Event } from '#kinds/types.gen.ts';
import type { Store } from '#store/store.ts';
import type { Stored } from './resources.ts';
import type { StoredObject } from './stored-object.ts';

/** How long an event is kept after it was last seen: upstream's default. */
const KEPT_MS = 3_600_000;

interface Waiting {
  key: string;
  revision: number;
  dueMs: number;
}

/** Deletes events an hour after they were last written. One timer stands for the oldest. */
export class EventSweeper implements Disposable {
  readonly #store: Store;
  readonly #events: Stored;
  readonly #clock: Clock;
  readonly #listening: Disposable;
  #queue: Waiting[] = [];
  #timer: Disposable | undefined;

  constructor({ store, events, clock }: { store: Store; events: Stored; clock: Clock }) {
    this.#store = store;
    this.#events = events;
    this.#clock = clock;
    for (const object of events.cache.snapshot().view.range('', '\uffff')) this.#queue.push(waitingFor(object, lastSeenMs(object)));
    this.#queue.sort((a, b) => a.dueMs - b.dueMs);
    this.#listening = events.cache.listen(changes => {
      for (const { type, object } of changes) if (type !== 'DELETED') this.#queue.push(waitingFor(object, clock.now()));
      this.#arm();
    });
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#queue = [];
  }

  #arm(): void {
    const first = this.#queue[0];
    if (this.#timer || !first) return;
    this.#timer = this.#clock.after(Math.max(1000, first.dueMs - this.#clock.now()), () => void this.#sweep());
  }

  async #sweep(): Promise<void> {
    const now = this.#clock.now();
    let due = 0;
    while (due < this.#queue.length && this.#queue[due]!.dueMs <= now) due++;
    const { cache } = this.#events;
    // What was written again since waits further back in the queue.
    const old = this.#queue.splice(0, due).filter(({ key, revision }) => cache.get(key)?.revision === revision);
    await Promise.allSettled(
      old.map(({ key, revision }) =>
        this.#store.commit({ conditions: [{ key: cache.prefix + key, revision }], writes: [{ key: cache.prefix + key, value: null }] }),
      ),
    );
    this.#timer = undefined;
    this.#arm();
  }
}

function waitingFor({ key, revision }: StoredObject, seenMs: number): Waiting {
  return { key, revision, dueMs: seenMs + KEPT_MS };
}

function lastSeenMs(stored: StoredObject): number {
  const { metadata, lastTimestamp, eventTime, series } = stored.object<Event>();
  const times = [metadata.creationTimestamp, lastTimestamp, eventTime, series?.lastObservedTime].map(time => Date.parse(time ?? ''));
  return Math.max(0, ...times.filter(Number.isFinite));
}
