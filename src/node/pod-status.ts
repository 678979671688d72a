import { toTime } from '#base/index.ts';
import type { Container, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';
import { instancesOf, isSidecar, type PodPlan } from './plan-pod.ts';

type Status = NonNullable<Pod['status']>;
type ContainerStatus = NonNullable<Status['containerStatuses']>[number];
type Condition = NonNullable<Status['conditions']>[number];

/** Why a container does not run yet, as the worker last met it. */
export interface Waiting {
  /** `ErrImagePull`, `ImagePullBackOff`, `CreateContainerConfigError`, `RunContainerError`, … */
  reason: string;
  message: string;
}

export interface StatusPicture {
  pod: Pod;
  phase: PodPlan['phase'];
  sandbox: Sandbox | undefined;
  containers: readonly Container[];
  waiting: ReadonlyMap<string, Waiting>;
  backingOff: ReadonlyMap<string, number>;
  started: (containerId: string) => boolean;
  ready: (containerId: string) => boolean;
  hostAddress: string;
  nowMs: number;
  /** Text that a container left as its last words, by container id. */
  terminationMessage: (containerId: string) => string | undefined;
  /** `DeadlineExceeded`, `Evicted`: overrides what the containers say. */
  failure?: { reason: string; message: string };
}

/** The status that the API should show. Pure; transition times are kept from the present status. */
export function podStatus(picture: StatusPicture): Status {
  const { pod, sandbox, hostAddress, nowMs, failure } = picture;
  const containerStatuses = pod.spec.containers.map(container => containerStatus(picture, container, false));
  const initContainerStatuses = (pod.spec.initContainers ?? []).map(container => containerStatus(picture, container, true));
  const address = pod.spec.hostNetwork ? hostAddress : sandbox?.address;
  const present = pod.status;
  const phase = failure ? 'Failed' : picture.phase;
  return {
    ...present,
    observedGeneration: pod.metadata.generation,
    phase,
    ...(failure ?? { reason: undefined, message: undefined }),
    conditions: conditions(picture, phase, containerStatuses, initContainerStatuses),
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    ...(address ? { podIP: address, podIPs: [{ ip: address }] } : {}),
    startTime: present?.startTime ?? toTime(nowMs),
    containerStatuses,
    ...(initContainerStatuses.length > 0 ? { initContainerStatuses } : {}),
    qosClass: present?.qosClass,
  };
}

function containerStatus(picture: StatusPicture, container: ContainerSpec, init: boolean): ContainerStatus {
  const [here, before] = instancesOf(picture.containers, container.name);
  const { state, lastState } = states(picture, container, init, here, before);
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
  };
}

function states(
  picture: StatusPicture,
  container: ContainerSpec,
  init: boolean,
  here: Container | undefined,
  before: Container | undefined,
): { state: NonNullable<ContainerStatus['state']>; lastState?: NonNullable<ContainerStatus['lastState']> } {
  const ended = before?.state === 'exited' ? { lastState: { terminated: terminated(picture, before) } } : {};
  if (here?.state === 'running') return { state: { running: { startedAt: toTime(here.startedAtMs ?? here.createdAtMs) } }, ...ended };
  const waits = picture.waiting.get(container.name);
  const dueAt = picture.backingOff.get(container.name);
  if (here?.state === 'exited') {
    if (waits) return { state: { waiting: { ...waits } }, lastState: { terminated: terminated(picture, here) } };
    if (dueAt === undefined) return { state: { terminated: terminated(picture, here) }, ...ended };
    const message = `back-off ${Math.round((dueAt - (here.finishedAtMs ?? dueAt)) / 1000)}s restarting failed container=${container.name} pod=${picture.pod.metadata.name}_${picture.pod.metadata.namespace}(${picture.pod.metadata.uid})`;
    return { state: { waiting: { reason: 'CrashLoopBackOff', message } }, lastState: { terminated: terminated(picture, here) } };
  }
  if (waits) return { state: { waiting: { ...waits } }, ...ended };
  const initializing = !init && (picture.pod.spec.initContainers ?? []).length > 0 && picture.sandbox !== undefined;
  return { state: { waiting: { reason: initializing ? 'PodInitializing' : 'ContainerCreating' } }, ...ended };
}

function terminated(picture: StatusPicture, container: Container) {
  const message = picture.terminationMessage(container.id) ?? container.message;
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
  const unready = mains.filter(({ ready }) => !ready).map(({ name }) => name);
  const initialized = inits.every(({ ready, started }, index) => {
    const container = pod.spec.initContainers?.[index];
    return container && isSidecar(container) ? started : ready;
  });
  const incomplete = inits.filter(({ ready }) => !ready).map(({ name }) => name);
  const containersReady = unready.length === 0 && !ended && initialized;
  const gates = (pod.spec.readinessGates ?? []).filter(
    ({ conditionType }) => pod.status?.conditions?.find(({ type }) => type === conditionType)?.status !== 'True',
  );
  const why = ended
    ? { reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
  const wanted: (Omit<Condition, 'status'> & { status: boolean })[] = [
    { type: 'PodReadyToStartContainers', status: sandbox?.state === 'ready' },
    {
      type: 'Initialized',
      status: initialized || phase === 'Succeeded',
      ...(initialized
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
    { type: 'PodScheduled', status: true },
  ];
  const types = new Set(wanted.map(({ type }) => type));
  const foreign = (pod.status?.conditions ?? []).filter(({ type }) => !types.has(type));
  return [
    ...foreign,
    ...wanted.map(({ status, ...rest }) => {
      const text = status ? 'True' : 'False';
      const present = pod.status?.conditions?.find(({ type }) => type === rest.type);
      const lastTransitionTime = present?.status === text && present.lastTransitionTime ? present.lastTransitionTime : toTime(nowMs);
      return {
        ...rest,
        status: text,
        observedGeneration: pod.metadata.generation,
        lastProbeTime: null,
        lastTransitionTime,
      } as unknown as Condition;
    }),
  ];
}
