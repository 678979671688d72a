/**
 * Containers' files, seen from outside: `docker cp`, `diff`, `export`.
 *
 * - A thread of its own (`visitor-worker.ts`) goes into the container's root (`root.ts`) and works there with synchronous calls: symbolic links, `..`
 *   and a container that swaps them meanwhile lead nowhere else. libuv's pool stays outside, so nothing there may be asynchronous.
 * - A running container is seen as its first process sees it; another by its root file system, with its volumes in a mount table that only the
 *   thread has and that ends with it.
 * - Content goes through memory that both threads see (`shared-pipe.ts`): a few slots, so memory is flat and each end waits for the other.
 * - A thread that a file system holds is left behind, never waited for.
 * - Not here: HTTP, docker's words (docker/files); images (images/commit-layer.ts makes layers).
 */
export { type Change, changeKinds } from '#images/layer-changes.ts';
export { ContainerFiles, type ContainerFilesOptions } from './container-files.ts';
export type { PathStat } from './path-stat.ts';
