/**
 * Docker's containers as Pods: `plan-mirror.ts` says which Pod shows a container and what it says of it, pure; `mirror-pods.ts` makes it so,
 * behind docker's back.
 */
export { MirrorPods, type MirrorPodsOptions } from './mirror-pods.ts';
export type { Mirrored } from './plan-mirror.ts';
