/**
 * The node agent: what the kubelet does, on this machine.
 *
 * - `agent.ts`         the pods of this node, one worker each; takes over what an earlier agent left running
 * - `plan-pod.ts`      the next steps of a pod, pure; `pod-status.ts` what to say of it, pure; `pod-worker.ts` does it, with
 *                      `container-starter.ts`, `pod-resizer.ts`, `pod-stopper.ts`, `pod-volumes.ts`
 * - `allocations.ts`   what pods were granted of the node, with `plan-admission.ts`, `plan-resize.ts`
 * - `container-planner.ts`, `environment.ts`, `sandbox-config.ts`, `downward.ts`  a spec in the engine's terms
 * - `volumes/`         emptyDir, hostPath and what the API's objects fill, swapped atomically
 * - `prober.ts`        probes by timers; `lifecycle-hooks.ts` hooks and last words; `image-puller.ts` pull policies, `pull-credentials.ts` logins
 * - `kubelet-server.ts` the node's HTTPS API, with `kubelet-logs.ts`, `kubelet-stats.ts`; its streams are `engine/streaming/`'s
 * - `mirror-pods/`    docker's containers as Pods, to be seen and stopped
 * - `node-registration.ts` the Node object and its lease, with `node-facts.ts`, `node-conditions.ts`; `host-address.ts` by which others reach it
 *
 * Invariants: nothing is remembered that the engine's records don't say, so an agent may be killed anywhere; statuses go out behind the
 * workers' backs, newest only; Ready is said by this process alone.
 */
export { PodAgent, type PodAgentOptions } from './agent.ts';
export { LocalContainerPlanner } from './container-planner.ts';
export { hostAddressOf } from './host-address.ts';
export { LocalImagePuller } from './image-puller.ts';
export { startKubeletServer } from './kubelet-server.ts';
export { LocalHooks } from './lifecycle-hooks.ts';
export { type Mirrored, MirrorPods, type MirrorPodsOptions } from './mirror-pods/index.ts';
export { readTraits } from './node-facts.ts';
export { NodeRegistration } from './node-registration.ts';
export { LocalProber } from './prober.ts';
export { untilAnswering } from './readiness.ts';
export { handlersOf } from './runtime-class.ts';
export { SandboxPlanner } from './sandbox-config.ts';
export { ClaimVolumes } from './volumes/claim-volumes.ts';
export { LocalPathDirectories } from './volumes/local-path-directories.ts';
export { ObjectSource } from './volumes/object-source.ts';
export { LocalVolumes } from './volumes/volume-keeper.ts';
