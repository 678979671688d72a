import { messageOf } from '#base/errors.ts';
import { ConvertingSink } from './converting-sink.ts';
import { checkWatchOptions, initialEventsOf, parseRevision, tooLargeRevision } from './list-options.ts';
import type { Context, ResourceRoute, WatchOutcome, WatchStart } from './request.ts';
import type { Change } from './resource-cache.ts';
import type { Converter, Stored } from './resources.ts';
import { isTrue } from './routes.ts';
import { isWithin, parseSelection, type Selection, selects } from './selection.ts';
import { isSliceOver, nextSlice } from './slices.ts';
import { badRequest } from './status.ts';
import type { StoredObject } from './stored-object.ts';

/** One event for one watcher. `change` is what it comes from, if it comes from one, and so what its bytes are shared by. */
export interface WatchFrame {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: StoredObject;
  change?: Change;
}

/** Where a watcher's events go. */
export interface WatchSink {
  /** `shared` is the list that every watcher without selectors of this resource gets: bytes made for it can be kept with it. */
  frames(frames: WatchFrame[]): void;
  /** `initialEventsEnd`: all that was there has been sent. */
  bookmark(revision: number, initialEventsEnd: boolean): void;
  /** Bytes that wait for a slow reader. */
  readonly backlogBytes: number;
  /** Resolves when there is room again. */
  drained(): Promise<void>;
  /** The end, with a Status to show for it or without. */
  end(expired?: { message: string }): void;
  /** The end for a reader that is too slow: what waits for it is thrown away. */
  cut(): void;
}

/** A reader that is so far behind is cut off; it resumes or lists anew. */
const MOST_BACKLOG_BYTES = 32 << 20;
const MOST_BACKLOG_CHANGES = 20_000;
/** Objects and bytes sent before asking whether the reader keeps up. */
const CHUNK = 50;
const CHUNK_BYTES = 256 << 10;
const BOOKMARK_EVERY_MS = 60_000;

/** Reads what kind of watch is wanted. @throws `Invalid`, `BadRequest`, `Timeout` */
export function planWatch({ route, query }: Context<ResourceRoute>, served: Stored): WatchOutcome {
  const selection = parseSelection(served, route.namespace, query, route.name);
  checkWatchOptions(query);
  if (query.get('continue')) throw badRequest('continue is not allowed for a watch');
  const bookmarks = isTrue(query.get('allowWatchBookmarks'));
  const revision = parseRevision(query.get('resourceVersion') ?? '');
  if (revision > served.cache.revision) throw tooLargeRevision(revision, served.cache.revision);
  const start = startOf(initialEventsOf(query), revision, bookmarks);
  return { type: 'watch', served, selection, start, bookmarks, timeoutMs: timeoutOf(query) };
}

/** Where a watch begins. What is there comes first unless the client knows it (by its revision) or does not want it. */
export function startOf(initial: boolean | undefined, revision: number, bookmarks: boolean): WatchStart {
  if (initial) return { from: 'present', marked: bookmarks };
  if (revision > 0) return { from: 'revision', revision };
  return initial === undefined ? { from: 'present', marked: false } : { from: 'now' };
}

/** Thirty to sixty minutes when the client names none, so that not all come back at once. */
function timeoutOf(query: URLSearchParams): number {
  const text = query.get('timeoutSeconds') ?? '';
  if (text === '') return 1_800_000 * (1 + Math.random());
  if (!/^\d{1,9}$/.test(text)) throw badRequest(`timeoutSeconds: "${text.slice(0, 40)}" is no whole number`);
  return Math.max(1, Number(text)) * 1000;
}

/** Serves one watch until its time is over, the reader goes or falls too far behind. */
export class Watch {
  readonly #outcome: WatchOutcome;
  readonly #sink: WatchSink;
  #listening: Disposable | undefined;
  /** Changes that came while the first objects are still on their way; undefined once the watch is live. */
  #waiting: Change[] | undefined = [];
  #timers: NodeJS.Timeout[] = [];
  #ended = false;

  private constructor(outcome: WatchOutcome, sink: WatchSink) {
    this.#outcome = outcome;
    this.#sink = sink;
  }

  /** Starts at once: no change between now and the first event is missed. `stop` the watch when the reader goes. */
  static start(outcome: WatchOutcome, to: WatchSink): Watch {
    const sink = outcome.served.converter ? new ConvertingSink(to, outcome.served.converter) : to;
    const watch = new Watch(outcome, sink);
    const { start, served } = outcome;
    const cache = served.cache!;
    const missed = start.from === 'revision' ? cache.changesSince(start.revision) : [];
    if (!missed) {
      sink.end({ message: `too old resource version: ${(start as { revision: number }).revision} (${cache.oldestRevision})` });
      watch.#ended = true;
      return watch;
    }
    const present = start.from === 'present' ? cache.snapshot() : undefined;
    watch.#listening = cache.listen(
      changes => watch.#receive(changes),
      () => watch.#end(),
    );
    watch.#schedule();
    if (present) void watch.#sendPresent(present.view.range(outcome.selection.from, outcome.selection.to), present.revision, start);
    else void watch.#catchUp(missed);
    return watch;
  }

  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listening?.[Symbol.dispose]();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #end(): void {
    if (this.#ended) return;
    this.stop();
    this.#sink.end();
  }

  #cut(): void {
    if (this.#ended) return;
    this.stop();
    this.#sink.cut();
  }

  async #sendPresent(objects: Iterable<StoredObject>, revision: number, start: WatchStart): Promise<void> {
    const { selection } = this.#outcome;
    const all = selection.converter ? await this.#judged(selection.converter, objects) : objects;
    if (this.#ended) return;
    let frames: WatchFrame[] = [];
    let bytes = 0;
    for (const object of all) {
      if (selects(selection, object)) {
        frames.push({ type: 'ADDED', object });
        bytes += object.size;
      }
      if (frames.length >= CHUNK || bytes >= CHUNK_BYTES) {
        this.#sink.frames(frames);
        frames = [];
        bytes = 0;
        await this.#sink.drained();
      }
      if (isSliceOver()) await nextSlice();
      if (this.#ended) return;
    }
    if (frames.length > 0) this.#sink.frames(frames);
    if (start.from === 'present' && start.marked) this.#sink.bookmark(revision, true);
    await this.#catchUp([]);
  }

  /** Sends changes of the past, and those that come meanwhile; then the watch is live. */
  async #catchUp(missed: Change[]): Promise<void> {
    for (let changes = missed; !this.#ended; changes = this.#waiting!.splice(0)) {
      for (let at = 0; at < changes.length && !this.#ended; at += CHUNK) {
        if (isSliceOver()) await nextSlice();
        this.#send(changes.slice(at, at + CHUNK));
      }
      if (this.#waiting!.length === 0) break;
    }
    this.#waiting = undefined;
  }

  /** The objects once the selection can judge them; none when they can't be shown, which ends the watch. */
  async #judged(converter: Converter, objects: Iterable<StoredObject>): Promise<StoredObject[]> {
    const all = [...objects];
    try {
      await converter.show(all);
      return all;
    } catch (error) {
      this.stop();
      this.#sink.end({ message: messageOf(error) });
      return [];
    }
  }

  #receive(changes: Change[]): void {
    if (this.#waiting) {
      this.#waiting.push(...changes);
      if (this.#waiting.length > MOST_BACKLOG_CHANGES) this.#cut();
    } else this.#send(changes);
  }

  #send(changes: Change[]): void {
    const { selection } = this.#outcome;
    if (selection.converter && this.#sink instanceof ConvertingSink) {
      const ours = changes.filter(({ object }) => isWithin(selection, object));
      if (ours.length > 0) this.#sink.changes(ours, some => toFrames(some, selection));
    } else {
      const frames = toFrames(changes, selection);
      if (frames.length === 0) return;
      this.#sink.frames(frames);
    }
    if (this.#sink.backlogBytes > MOST_BACKLOG_BYTES) this.#cut();
  }

  #schedule(): void {
    const { bookmarks, timeoutMs, served } = this.#outcome;
    const bookmark = () => {
      if (!this.#waiting) this.#sink.bookmark(served.cache!.revision, false);
    };
    if (bookmarks) {
      const again = () => {
        bookmark();
        this.#timers[1] = setTimeout(again, BOOKMARK_EVERY_MS).unref();
      };
      this.#timers[1] = setTimeout(again, Math.min(BOOKMARK_EVERY_MS, timeoutMs > 4000 ? timeoutMs - 2000 : timeoutMs / 2)).unref();
    }
    this.#timers[0] = setTimeout(
      () => {
        if (bookmarks) bookmark();
        this.#end();
      },
      Math.min(timeoutMs, 2 ** 31 - 1),
    ).unref();
  }
}

/** What a watcher with this selection sees of the changes: an object that begins or ceases to match is ADDED or DELETED to it. */
function toFrames(changes: Change[], selection: Selection): WatchFrame[] {
  const frames: WatchFrame[] = [];
  for (const change of changes) {
    const { type, object, previous } = change;
    if (!isWithin(selection, object)) continue;
    if (selection.isWhole) {
      frames.push({ type, object, change });
      continue;
    }
    const did = previous !== undefined && selects(selection, previous);
    const does = type !== 'DELETED' && selects(selection, object);
    if (does) frames.push({ type: did ? 'MODIFIED' : 'ADDED', object, change });
    else if (did) frames.push({ type: 'DELETED', object: type === 'DELETED' ? object : previous.at(object.revision), change });
  }
  return frames;
}
