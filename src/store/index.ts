/**
 * The store: a revisioned key space with watch, durable before it answers.
 *
 * `store.ts` is the contract (etcd's semantics); `sqlite-store.ts` keeps it in SQLite on a worker thread, all writes that arrive
 * while one commit is at the disk forming the next. `suite.ts` is the behaviour every implementation shows.
 *
 * What must hold after `kill -9`, of the process or the machine:
 * - Every commit that was answered is there, at the revision it was answered with; one that was not may be there, then wholly.
 * - No transaction is there in part, and none that saw another is there without it.
 * - Nothing was read or watched that is not there: watchers and readers see only what the disk has confirmed.
 * - Revisions go on from the newest that is there; none is given twice. What was compacted stays `Expired`.
 * - The lock is free, and opening needs no repair by hand. A file that is damaged, foreign or newer is refused and left as it is.
 *
 * It does not keep history beyond the compaction window (that is a log of its own), and knows nothing of what the values mean.
 */
export * from './sqlite-store.ts';
export * from './store.ts';
export type * from './transformer.ts';
