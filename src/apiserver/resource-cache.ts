import type { StoreEvent } from '#store/store.ts';
import { OrderedTree, type OrderedView } from './ordered-tree.ts';
import { type Layout, StoredObject } from './stored-object.ts';

/** What one write did. For a deletion `object` is what stood there last, under the deletion's revision. */
export interface Change {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: StoredObject;
  previous: StoredObject | undefined;
  /** Bytes made for watchers, by their form and the type they see; shared by all who ask for the same. */
  encoded: Map<string, Buffer>;
}

/** Gets every batch of changes in order; never an empty one. */
export type ChangeListener = (changes: Change[]) => void;

/** A list as of one revision. */
export interface ListView {
  view: OrderedView<StoredObject>;
  revision: number;
}

/** Changes kept for watches that start in the past, and how many bytes of objects they may hold on to. */
const WINDOW_LENGTH = 4096;
const WINDOW_BYTES = 16 << 20;
/** Snapshots kept for the later pages of lists. */
const SNAPSHOTS = 8;

/**
 * Everything stored of one resource, in key order, as of the newest durable revision; with the latest changes for watches that
 * resume and a few snapshots for lists that go on.
 */
export class ResourceCache {
  readonly layout: Layout;
  readonly prefix: string;
  readonly #tree = new OrderedTree<StoredObject>();
  readonly #listeners = new Set<ChangeListener>();
  readonly #onClose = new Set<() => void>();
  readonly #snapshots: ListView[] = [];
  #window: Change[] = [];
  #windowStart = 0;
  #windowBytes = 0;
  /** The newest revision that the window has let go. */
  #dropped = 0;
  /** Watches can start at or after this revision. */
  #oldest = 0;
  #revision = 0;

  constructor({ layout, prefix }: { layout: Layout; prefix: string }) {
    this.layout = layout;
    this.prefix = prefix;
  }

  get size(): number {
    return this.#tree.size;
  }

  get revision(): number {
    return this.#revision;
  }

  get oldestRevision(): number {
    return this.#oldest;
  }

  get watcherCount(): number {
    return this.#listeners.size;
  }

  get(key: string): StoredObject | undefined {
    return this.#tree.get(key);
  }

  /** The live view; it changes under a reader that waits. */
  get now(): OrderedView<StoredObject> {
    return this.#tree;
  }

  /** A lasting view of this moment; `keep` remembers it for later pages. */
  snapshot({ keep = false } = {}): ListView {
    const last = this.#snapshots.at(-1);
    if (last?.revision === this.#revision) return last;
    const taken = { view: this.#tree.snapshot(), revision: this.#revision };
    if (keep) {
      this.#snapshots.push(taken);
      if (this.#snapshots.length > SNAPSHOTS) this.#snapshots.shift();
    }
    return taken;
  }

  /** A remembered view of that revision. */
  snapshotAt(revision: number): ListView | undefined {
    if (revision === this.#revision) return this.snapshot();
    return this.#snapshots.find(kept => kept.revision === revision);
  }

  /** Fills the cache before its first batch. */
  load(key: string, value: Uint8Array, revision: number): void {
    const name = key.slice(this.prefix.length);
    this.#tree.set(name, new StoredObject(this.layout, name, value, revision));
  }

  /** What the cache holds is as of `revision`. */
  loaded(revision: number): void {
    this.#revision = revision;
    this.#oldest = revision;
  }

  /** Takes changes from before the loading into the window, so that watches resume over a restart of the server. */
  recall(events: StoreEvent[]): void {
    this.#remember(
      events.flatMap(({ type, key, value, revision, previous: before }): Change[] => {
        const name = key.slice(this.prefix.length);
        const previous = before && new StoredObject(this.layout, name, before.value, before.revision);
        if (type === 'delete') return previous ? [{ type: 'DELETED', object: previous.at(revision), previous, encoded: new Map() }] : [];
        const object = new StoredObject(this.layout, name, value, revision);
        return [{ type: previous ? 'MODIFIED' : 'ADDED', object, previous, encoded: new Map() }];
      }),
    );
  }

  /** All changes after `revision` have been recalled. */
  recalled(revision: number): void {
    this.#oldest = Math.max(revision, this.#dropped);
  }

  /** Takes over one batch of the store's watch and tells the listeners. */
  apply(events: StoreEvent[], revision: number): void {
    const changes: Change[] = [];
    for (const event of events) {
      const change = this.#applyOne(event);
      if (change) changes.push(change);
    }
    this.#revision = revision;
    if (changes.length === 0) return;
    this.#remember(changes);
    for (const listener of this.#listeners) listener(changes);
  }

  /** Changes after `revision`, or undefined when the window no longer reaches back so far. */
  changesSince(revision: number): Change[] | undefined {
    if (revision < this.#oldest) return undefined;
    const window = this.#window;
    let low = this.#windowStart;
    let high = window.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (window[middle]!.object.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return window.slice(low);
  }

  /** `closed` is called when the resource is served no longer, or in another form. */
  listen(listener: ChangeListener, closed?: () => void): Disposable {
    this.#listeners.add(listener);
    if (closed) this.#onClose.add(closed);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        if (closed) this.#onClose.delete(closed);
      },
    };
  }

  /** Ends all readers: the resource is served no longer, or in another form. */
  close(): void {
    for (const closed of [...this.#onClose]) closed();
    this.#listeners.clear();
    this.#onClose.clear();
  }

  /** The same objects and latest changes under another layout, for a kind whose definition changed. */
  under(layout: Layout): ResourceCache {
    const next = new ResourceCache({ layout, prefix: this.prefix });
    const moved = (object: StoredObject) => object.under(layout);
    for (const object of this.#tree.range('', '\uffff')) next.#tree.set(object.key, moved(object));
    next.#window = this.#window.slice(this.#windowStart).map(({ type, object, previous }) => ({
      type,
      object: moved(object),
      previous: previous && moved(previous),
      encoded: new Map(),
    }));
    next.#windowBytes = this.#windowBytes;
    next.#dropped = this.#dropped;
    next.#oldest = this.#oldest;
    next.#revision = this.#revision;
    return next;
  }

  #applyOne({ type, key, value, revision }: StoreEvent): Change | undefined {
    const name = key.slice(this.prefix.length);
    const previous = this.#tree.get(name);
    if (type === 'put') {
      const object = new StoredObject(this.layout, name, value, revision);
      this.#tree.set(name, object);
      return { type: previous ? 'MODIFIED' : 'ADDED', object, previous, encoded: new Map() };
    }
    if (!previous) return undefined;
    this.#tree.delete(name);
    return { type: 'DELETED', object: previous.at(revision), previous, encoded: new Map() };
  }

  #remember(changes: Change[]): void {
    for (const change of changes) {
      this.#window.push(change);
      this.#windowBytes += change.object.size;
    }
    while (this.#window.length - this.#windowStart > WINDOW_LENGTH || this.#windowBytes > WINDOW_BYTES) {
      const dropped = this.#window[this.#windowStart]!;
      this.#windowBytes -= dropped.object.size;
      this.#dropped = dropped.object.revision;
      this.#oldest = Math.max(this.#oldest, this.#dropped);
      this.#windowStart++;
    }
    // What was let go is held on to no longer than as much again has come.
    if (this.#windowStart * 2 > this.#window.length) {
      this.#window = this.#window.slice(this.#windowStart);
      this.#windowStart = 0;
    }
  }
}
