import { toTime } from '#base/index.ts';
import type { Container, Resources, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';
import { changedSizes, ephemeralContainersOf, instancesOf, isSidecar, type PodPlan } from './plan-pod.ts';
import type { PendingResize } from './plan-resize.ts';
import { isRecursiveReadOnly } from './plan-security.ts';

type Status = NonNullable<Pod['status']>;
type ContainerStatus = NonNullable<Status['containerStatuses']>[number];
type Condition = NonNullable<Status['conditions']>[number];

/** Why a container does not run yet, as the worker last met it. */
export interface Waiting {
  /** `ErrImagePull`, `ImagePullBackOff`, `CreateContainerConfigError`, `RunContainerError`, … */
  reason: string;
  message: string;
}

/** Why a pod ends as Failed, and how long its containers have for it if not as long as they ask for. */
export interface PodFailure {
  reason: string;
  message: string;
  graceSeconds?: number;
}

export interface StatusPicture {
  pod: Pod;
  phase: PodPlan['phase'];
  sandbox: Sandbox | undefined;
  containers: readonly Container[];
  /** What a container's control group is to say now. */
  resources?: (container: ContainerSpec) => Resources;
  waiting: ReadonlyMap<string, Waiting>;
  backingOff: ReadonlyMap<string, number>;
  started: (containerId: string) => boolean;
  ready: (containerId: string) => boolean;
  hostAddress: string;
  nowMs: number;
  /** Text that a container left as its last words, by container id. */
  terminationMessage: (containerId: string) => string | undefined;
  /** What was said last, whether or not the API has it yet. */
  said?: Status | undefined;
  /** `DeadlineExceeded`, `Evicted`: overrides what the containers say. */
  failure?: Pick<PodFailure, 'reason' | 'message'>;
  /** Why a resize was not granted, and why one that was is not done. */
  resize?: { pending?: PendingResize | undefined; error?: string | undefined };
}

/**
 * What this node has to say of the pod, to be merged over what others say (their conditions). Pure; times of transition are those said
 * before.
 */
export function podStatus(picture: StatusPicture): Status {
  const { pod, sandbox, hostAddress, nowMs, failure, said } = picture;
  const containerStatuses = pod.spec.containers.map(container => containerStatus(picture, container, false));
  const initContainerStatuses = (pod.spec.initContainers ?? []).map(container => containerStatus(picture, container, true));
  const ephemeralContainerStatuses = ephemeralContainersOf(pod).map(container => ({
    ...containerStatus(picture, container, false),
    ready: false,
    started: false,
  }));
  const address = pod.spec.hostNetwork ? hostAddress : sandbox?.address;
  const { phase, isHeldBack } = shownPhase(picture);
  return {
    observedGeneration: pod.metadata.generation,
    phase,
    ...(isHeldBack ? {} : failure),
    conditions: conditions(picture, phase, containerStatuses, initContainerStatuses),
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    ...(address ? { podIP: address, podIPs: [{ ip: address }] } : {}),
    startTime: pod.status?.startTime ?? said?.startTime ?? toTime(nowMs),
    // A pod that was turned away has no containers that could be waiting; tools then show why it was.
    ...(wasTurnedAway(picture)
      ? {}
      : {
          containerStatuses,
          ...(initContainerStatuses.length > 0 ? { initContainerStatuses } : {}),
          ...(ephemeralContainerStatuses.length > 0 ? { ephemeralContainerStatuses } : {}),
        }),
  };
}

/** That a pod has ended is said only when nothing of it runs any more: who waits for it may take its place. */
function shownPhase({ pod, phase, failure, containers }: StatusPicture): { phase: PodPlan['phase']; isHeldBack: boolean } {
  const wanted = failure ? 'Failed' : phase;
  const before = pod.status?.phase;
  const hasEnded = (each: string | undefined) => each === 'Succeeded' || each === 'Failed';
  const isHeldBack = hasEnded(wanted) && !hasEnded(before) && containers.some(({ state }) => state === 'running');
  if (!isHeldBack) return { phase: wanted, isHeldBack };
  const hasBegun = pod.spec.containers.every(({ name }) =>
    instancesOf(containers, name).some(({ startedAtMs }) => startedAtMs !== undefined),
  );
  return { phase: hasBegun ? 'Running' : 'Pending', isHeldBack };
}

/** It has failed for a reason that is the node's, now or before an agent's restart, and was never here. */
function wasTurnedAway({ pod, sandbox, failure }: StatusPicture): boolean {
  const hasFailed = failure !== undefined || (pod.status?.phase === 'Failed' && pod.status.reason !== undefined);
  return hasFailed && !sandbox && !pod.status?.containerStatuses?.length;
}

/** What the API was last told of a container. */
function toldOf({ status }: Pod, name: string): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = status ?? {};
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find(each => each.name === name);
}

function containerStatus(picture: StatusPicture, container: ContainerSpec, init: boolean): ContainerStatus {
  const [here, before] = instancesOf(picture.containers, container.name);
  const told = toldOf(picture.pod, container.name);
  // Its records are gone, with the pod's end or by force; what was said of it stays true.
  if (!here && told?.state?.terminated) return told;
  const { state, lastState } = states(picture, container, here, before);
  const running = here?.state === 'running';
  const sidecarOrMain = !init || isSidecar(container);
  const ready = running && sidecarOrMain ? picture.ready(here.id) : init && here?.state === 'exited' && here.exitCode === 0;
  return {
    name: container.name,
    image: here?.imageRef ?? container.image ?? '',
    imageID: here?.imageId ?? '',
    ...(here ? { containerID: `umiak://${here.id}` } : {}),
    state,
    ...(lastState ? { lastState } : { lastState: {} }),
    ready,
    started: running && picture.started(here.id),
    restartCount: here?.config.metadata.attempt ?? 0,
    ...sizes(picture, container, here, told),
    ...(here?.user ? { user: { linux: here.user } } : {}),
    ...(here?.stopSignal ? { stopSignal: here.stopSignal } : {}),
    ...(container.volumeMounts?.length ? { volumeMounts: container.volumeMounts.map(mountStatus) } : {}),
  };
}

/** A mount that is read-only with all below it says so; the others say that they are not, if they are read-only. */
function mountStatus(mount: NonNullable<ContainerSpec['volumeMounts']>[number]): NonNullable<ContainerStatus['volumeMounts']>[number] {
  const { name, mountPath, readOnly } = mount;
  return {
    name,
    mountPath,
    ...(readOnly ? { readOnly, recursiveReadOnly: isRecursiveReadOnly(mount) ? 'Enabled' : 'Disabled' } : {}),
  };
}

/** What a container was granted, and what it has of it: while a resize is under way, what it had. */
function sizes(
  { resources }: StatusPicture,
  container: ContainerSpec,
  here: Container | undefined,
  told: ContainerStatus | undefined,
): Pick<ContainerStatus, 'resources' | 'allocatedResources'> {
  if (!container.resources || !here || !resources) return {};
  const { requests } = container.resources;
  const isSo = here.state !== 'running' || changedSizes(resources(container), here.config.resources).length === 0;
  const has = isSo ? container.resources : (told?.resources ?? {});
  return {
    ...(requests ? { allocatedResources: requests } : {}),
    resources: { ...(has.limits ? { limits: has.limits } : {}), ...(has.requests ? { requests: has.requests } : {}) },
  };
}

/** Whether a running container does not have yet what it was granted. Pure. */
export function isResizing({ pod, containers, resources, phase }: StatusPicture): boolean {
  if (!resources || phase === 'Succeeded' || phase === 'Failed') return false;
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(container => {
    const [here] = instancesOf(containers, container.name);
    return here?.state === 'running' && changedSizes(resources(container), here.config.resources).length > 0;
  });
}

function states(
  picture: StatusPicture,
  container: ContainerSpec,
  here: Container | undefined,
  before: Container | undefined,
): { state: NonNullable<ContainerStatus['state']>; lastState?: NonNullable<ContainerStatus['lastState']> } {
  const ended = before?.state === 'exited' ? { lastState: { terminated: terminated(picture, before) } } : {};
  if (here?.state === 'running') return { state: { running: { startedAt: toTime(here.startedAtMs ?? here.createdAtMs) } }, ...ended };
  const waits = picture.waiting.get(container.name);
  const dueAt = picture.backingOff.get(container.name);
  const hasEnded = picture.phase === 'Succeeded' || picture.phase === 'Failed' || picture.failure !== undefined;
  if (here?.state === 'exited') {
    const last = { lastState: { terminated: terminated(picture, here) } };
    if (hasEnded) return { state: last.lastState, ...ended };
    if (waits) return { state: { waiting: { ...waits } }, ...last };
    if (dueAt === undefined) return { state: last.lastState, ...ended };
    const { name, namespace, uid } = picture.pod.metadata;
    const seconds = Math.round((dueAt - (here.finishedAtMs ?? dueAt)) / 1000);
    const message = `back-off ${seconds}s restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`;
    return { state: { waiting: { reason: 'CrashLoopBackOff', message } }, ...last };
  }
  if (waits) return { state: { waiting: { ...waits } }, ...ended };
  const reason = picture.pod.spec.initContainers?.length ? 'PodInitializing' : 'ContainerCreating';
  return { state: { waiting: { reason } }, ...ended };
}

function terminated(picture: StatusPicture, container: Container) {
  const told = toldOf(picture.pod, container.config.metadata.name);
  const before = [told?.state?.terminated, told?.lastState?.terminated].find(each => each?.containerID === `umiak://${container.id}`);
  const message = picture.terminationMessage(container.id) ?? before?.message ?? container.message;
  return {
    exitCode: container.exitCode ?? 137,
    reason: container.reason ?? (container.exitCode === 0 ? 'Completed' : 'Error'),
    ...(message ? { message } : {}),
    ...(container.startedAtMs === undefined ? {} : { startedAt: toTime(container.startedAtMs) }),
    ...(container.finishedAtMs === undefined ? {} : { finishedAt: toTime(container.finishedAtMs) }),
    containerID: `umiak://${container.id}`,
  };
}

function conditions(picture: StatusPicture, phase: string, mains: ContainerStatus[], inits: ContainerStatus[]): Condition[] {
  const { pod, sandbox, nowMs } = picture;
  const ended = phase === 'Succeeded' || phase === 'Failed';
  const sidecars = inits.filter((_, index) => pod.spec.initContainers?.[index]?.restartPolicy === 'Always');
  const unready = [...sidecars, ...mains].filter(({ ready }) => !ready).map(({ name }) => name);
  const hasBegun = mains.some(({ state, lastState }) => state?.running || state?.terminated || lastState?.terminated);
  const initialized = hasBegun || inits.every(each => (sidecars.includes(each) ? each.started : each.ready));
  const incomplete = inits.filter(each => !(sidecars.includes(each) ? each.started : each.ready)).map(({ name }) => name);
  const containersReady = unready.length === 0 && !ended && initialized;
  const gates = (pod.spec.readinessGates ?? []).filter(({ conditionType }) => conditionOf(pod.status, conditionType)?.status !== 'True');
  const why = ended
    ? { reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
  const wanted: (Omit<Condition, 'status'> & { status: boolean })[] = [
    // Who binds says so; of a pod that was made for this node nobody did.
    { type: 'PodScheduled', status: true },
    { type: 'PodReadyToStartContainers', status: sandbox?.state === 'ready' },
    {
      type: 'Initialized',
      status: initialized || phase === 'Succeeded',
      ...(phase === 'Succeeded'
        ? { reason: 'PodCompleted' }
        : initialized
          ? {}
          : { reason: 'ContainersNotInitialized', message: `containers with incomplete status: [${incomplete.join(' ')}]` }),
    },
    { type: 'ContainersReady', status: containersReady, ...(containersReady ? {} : why) },
    {
      type: 'Ready',
      status: containersReady && gates.length === 0,
      ...(containersReady
        ? gates.length > 0
          ? {
              reason: 'ReadinessGatesNotReady',
              message: `corresponding condition of pod readiness gate "${gates[0]?.conditionType}" is not True`,
            }
          : {}
        : why),
    },
  ];
  const { pending, error } = picture.resize ?? {};
  if (pending && !ended) wanted.push({ type: 'PodResizePending', status: true, ...pending });
  if (isResizing(picture))
    wanted.push({ type: 'PodResizeInProgress', status: true, ...(error ? { reason: 'Error', message: error } : {}) });
  return wanted.map(({ status, ...rest }) => {
    const text = status ? 'True' : 'False';
    const before = conditionOf(picture.said, rest.type) ?? conditionOf(pod.status, rest.type);
    const lastTransitionTime = before?.status === text && before.lastTransitionTime ? before.lastTransitionTime : toTime(nowMs);
    return { ...rest, status: text, observedGeneration: pod.metadata.generation, lastTransitionTime };
  });
}

function conditionOf(status: Status | undefined, type: string): Condition | undefined {
  return status?.conditions?.find(condition => condition.type === type);
}
