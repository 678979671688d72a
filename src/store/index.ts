/**
 * The store: a revisioned key space with watch, durable before it answers.
 *
 * `store.ts` is the contract (etcd's semantics); `sqlite-store.ts` keeps it in SQLite on a worker thread, all writes that arrive
 * while one commit is at the disk forming the next. `suite.ts` is the behaviour every implementation shows.
 */
export * from './store.ts';
