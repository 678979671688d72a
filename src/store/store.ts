/** A stored value with the revisions that made it. */
export interface Entry {
  key: string;
  value: Uint8Array;
  /** Revision of the last write to this key (etcd's mod_revision). */
  revision: number;
  /** Revision that created this incarnation of the key. */
  createRevision: number;
}

/** Holds when `key`'s last revision is `revision`; 0 means the key must not exist. */
export interface Condition {
  key: string;
  revision: number;
}

/** Sets `key`, or deletes it when `value` is null. Deleting an absent key does nothing. */
export interface Write {
  key: string;
  value: Uint8Array | null;
}

/** All writes happen at one revision if all conditions hold, else none does. A key stands at most once among the writes. */
export interface Transaction {
  conditions?: Condition[];
  writes: Write[];
}

export type CommitResult =
  | { ok: true; revision: number }
  /** `failed` is the first condition that did not hold; `current` what stands there (absent: no such key). */
  | { ok: false; failed: Condition; current?: Entry };

export interface StoreEvent {
  type: 'put' | 'delete';
  key: string;
  /** The new value; for a delete the empty array. */
  value: Uint8Array;
  revision: number;
  createRevision: number;
  /** What stood there before, if anything. */
  previous?: { value: Uint8Array; revision: number };
}

/** Events of whole revisions, in order. `revision` is how far the watcher has now seen (also sent alone, as progress). */
export interface WatchBatch {
  events: StoreEvent[];
  revision: number;
}

export interface ListOptions {
  /** Read as of this revision. @throws `Expired` once compacted. Default: the newest. */
  at?: number;
  limit?: number;
  /** Start at this key (inclusive). */
  from?: string;
  signal?: AbortSignal;
}

export interface ListResult {
  entries: Entry[];
  /** The revision the list was read at. */
  revision: number;
  /** The key to pass as `from` for the rest, when `limit` cut the list. */
  next?: string;
}

/**
 * A revisioned key space with watch: etcd's semantics, whoever implements it.
 * Everything read or watched is durable. Revisions start at 1 and grow by 1 a transaction that writes something.
 */
export interface Store extends AsyncDisposable {
  get(key: string, options?: { at?: number }): Promise<Entry | undefined>;
  /** Keys with `prefix`, in byte order. */
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  /** Resolves once durable. A condition that fails is a result, not an error. */
  commit(transaction: Transaction): Promise<CommitResult>;
  /**
   * Events of keys with `prefix` after revision `after`, without gap or duplicate, whole revisions at a time, until `signal` aborts.
   * `receive` is called in order, synchronously with the commit's own resolution at the latest. @throws `Expired` (by rejection) once `after` is compacted.
   */
  watch(prefix: string, options: { after: number; receive: (batch: WatchBatch) => void; signal: AbortSignal }): Promise<void>;
  /** Forgets what only revisions before `at` can see. */
  compact(at: number): Promise<void>;
  /** The newest durable revision. */
  readonly revision: number;
  /** The oldest revision that can still be read. */
  readonly compactedRevision: number;
}
