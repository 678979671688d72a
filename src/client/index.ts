/**
 * The only way that controllers, scheduler, node agent and commands see the cluster.
 *
 * - `client.ts`      the typed client's contract; `rest-client.ts` keeps it over a `Transport`
 * - `transport.ts`   the wire below: HTTPS (`https-transport.ts`) or the API server's pipeline in the same process
 * - `informer.ts`    a local picture of one kind, kept by a watch that resumes and starts over by itself
 * - `informers.ts`   one informer a kind for all parts of a process, each keeping only what somebody needs
 * - `work-queue.ts`  keys that need work, once each, with back-off
 * - `controller.ts`  the kit: a level-based reconcile over informers
 * - `own-writes.ts`  the client of a reconcile, whose cached reads have seen its own writes and deletions
 * - `event-recorder.ts` Events, repetitions counted
 *
 * Invariants: a reconcile may be stopped at any line and run again from the start; nothing here is the truth, only a picture of it.
 */
export * from './client.ts';
export * from './controller.ts';
export * from './event-recorder.ts';
export * from './https-transport.ts';
export * from './informer.ts';
export * from './informers.ts';
export * from './rest-client.ts';
export * from './status-error.ts';
export * from './transport.ts';
export * from './work-queue.ts';
