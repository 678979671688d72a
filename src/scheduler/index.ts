/**
 * The scheduler: binds pods to nodes.
 *
 * `world.ts` is all that placing looks at: `node-table.ts` holds the nodes as columns of numbers, `pod-groups.ts` counts pods by what
 * they are, both kept as things change. `plugin.ts` says what a filter and a score are; `plugins.ts` lists them in upstream's order, a
 * file each. `place.ts` chooses, `preemption.ts` makes room, both pure. `scheduling-queue.ts` keeps the pods that wait, `feed.ts` takes in
 * what the watches bring, `scheduler.ts` decides for one pod after another, and `effects.ts` writes what was decided.
 *
 * A filter or score looks at a pod once (`prepare`) and is out of the way when it has nothing to ask: a pod without affinity, spreading
 * or claims costs a few comparisons a node. Not here: dynamic resource allocation, extenders, limits of volumes a node.
 */
export { explain, place } from './place.ts';
export { createPlugins, type PluginOptions } from './plugins.ts';
export { type Profile, Scheduler, type SchedulerOptions } from './scheduler.ts';
export { candidateOf, World } from './world.ts';
