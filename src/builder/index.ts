/**
 * The builder: from a graph of steps to an image.
 *
 * - A front end (`dockerfile/`; BuildKit's `Solve` is to come) turns what people write into a graph of vertices (`graph.ts`), purely: all variables
 *   are replaced, all images looked up. `parse` reads the language, `plan` makes the graph, `build` is the way through.
 * - `Solver` brings vertices to results: by their keys (`keys.ts`) from the cache, or by doing what they say, independent ones side by side, the
 *   same one of several builds once. A key holds what a vertex does and what its inputs came to, contents and not times.
 * - Operations: `run-step` (a container of the engine over the base's directories), `files/` (copies, in a thread of their own), directories.
 * - A result is a directory in overlay's upper form and a small record (`cache.ts`), nothing else: no tar, no hash. It becomes a layer when
 *   an image is exported (`export-image.ts`), and its directory then is the layer's unpacked form.
 * - Results can be lost without loss. What is half made when the process is killed is removed at the next start, its containers with it.
 * - Not here: docker's wire forms (docker/build), images and registries (images), how containers run (engine).
 */
export { Builder, type BuilderOptions, type CacheEntry } from './builder.ts';
export { type BuildEvent, buildDockerfile, type DockerfileBuild } from './dockerfile/build.ts';
export type { Step } from './dockerfile/plan.ts';
export type { BuildContext } from './files/build-files.ts';
export { removeLeftSteps } from './left-steps.ts';
export { exitCodeOf, type RunningStep, type RunOptions } from './run-step.ts';
