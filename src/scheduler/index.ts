/**
 * The scheduler: binds pods to nodes.
 *
 * `node-table.ts` holds the nodes as columns of numbers; `plugins.ts` lists the filters (each with the reason it gives) and scores;
 * `place.ts` chooses; `scheduler.ts` feeds it from watches, remembers assumed pods, and explains what found no place.
 * Not here yet: affinity between pods, topology spread, volumes, preemption. They are entries of the two lists in `plugins.ts`.
 */
export { NodeTable, type Request } from './node-table.ts';
export { explain, place } from './place.ts';
export { filters, type Plugins, scores } from './plugins.ts';
export { requestOf, Scheduler, type SchedulerOptions } from './scheduler.ts';
