import { createHash } from 'node:crypto';
import { toTime } from '#base/index.ts';
import type { Container } from '#engine/engine.ts';
import type { Draft } from '#kinds/kind.ts';
import { MIRROR, MIRROR_NAMESPACE, MIRRORED_CONTAINER } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';

/** What docker calls it. */
const NAME = 'umiak.io/docker-name';

type ContainerSpec = Pod['spec']['containers'][number];
type Status = NonNullable<Pod['status']>;
type ContainerStatus = NonNullable<Status['containerStatuses']>[number];

/** What a Pod says of a docker container; the docker face tells it. */
export interface Mirrored {
  /** Docker's name, without the slash. */
  name: string;
  image: string;
  command: string[];
  workingDir?: string | undefined;
  labels: Readonly<Record<string, string>>;
  ports: NonNullable<ContainerSpec['ports']>;
  hostNetwork: boolean;
  addresses: readonly string[];
  restartPolicy: 'Always' | 'OnFailure' | 'Never';
  /** Between its stop signal and the end. */
  graceSeconds: number;
  restartCount: number;
  /** It ended and will be started again. */
  isRestarting: boolean;
  /** False while a health check says otherwise. */
  isHealthy: boolean;
  /** A person stopped it. */
  wasStopped: boolean;
  /** It goes with its end. */
  isTransient: boolean;
}

const MOST_NAME = 63;

/** A Pod's name: docker's, as a DNS label, with some letters that tell it from others where that changed it, and the node's. Pure. */
export function mirrorName(name: string, nodeName: string): string {
  const label = toLabel(name, MOST_NAME - 7);
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 6);
  return `${label === name ? name : `${label}-${hash}`}-${nodeName}`;
}

/** The container's name in its Pod. */
function toLabel(name: string, most = MOST_NAME): string {
  const label = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .slice(0, most)
    .replaceAll(/^-+|-+$/g, '');
  return label || 'container';
}

/** The Pod that shows a container. Pure. */
export function planMirrorPod({ id }: Container, mirrored: Mirrored, nodeName: string): Draft<Pod> {
  const { name, image, command, workingDir, ports, hostNetwork, restartPolicy, graceSeconds, labels } = mirrored;
  return {
    metadata: {
      name: mirrorName(name, nodeName),
      namespace: MIRROR_NAMESPACE,
      annotations: { [MIRROR]: id, [MIRRORED_CONTAINER]: id, [NAME]: name },
      labels: Object.fromEntries(Object.entries(labels).filter(([key, value]) => isLabel(key, value))),
    },
    spec: {
      nodeName,
      restartPolicy,
      containers: [{ name: toLabel(name), image, command, ...(workingDir ? { workingDir } : {}), ...(ports.length > 0 ? { ports } : {}) }],
      ...(hostNetwork ? { hostNetwork } : {}),
      terminationGracePeriodSeconds: graceSeconds,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      // As the kubelet's own: what is not the scheduler's to place is not its to evict.
      tolerations: [{ operator: 'Exists', effect: 'NoExecute' }],
    },
  } as unknown as Draft<Pod>;
}

const LABEL_KEY = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

/** Docker's labels are any text; those that Kubernetes takes are shown. */
function isLabel(key: string, value: string): boolean {
  return LABEL_KEY.test(key) && !key.includes('..') && LABEL_VALUE.test(value);
}

/** What is to be done about one container's Pods. */
export interface MirrorPlan {
  remove: Pod[];
  /** The Pod that stays, to be told how the container is. */
  keep?: Pod;
  create: boolean;
  /** Somebody deletes the Pod: the container is to stop. */
  stop: boolean;
}

export interface MirrorFacts {
  container: Container | undefined;
  mirrored: Mirrored | undefined;
  /** Those that show it now. */
  pods: readonly Pod[];
  nodeName: string;
  /** Somebody deleted the Pod of this run. */
  isDismissed: boolean;
}

/** Compares a container with its Pods. A Pod shows one run from a person's start on; restarts by policy are its restarts. Pure. */
export function planMirror({ container, mirrored, pods, nodeName, isDismissed }: MirrorFacts): MirrorPlan {
  if (!container || !mirrored || container.startedAtMs === undefined) return { remove: [...pods], create: false, stop: false };
  const runs = container.state !== 'exited' || mirrored.isRestarting;
  const dying = pods.filter(({ metadata }) => metadata.deletionTimestamp);
  if (dying.length > 0) return { remove: runs ? [] : [...pods], create: false, stop: runs };
  const name = mirrorName(mirrored.name, nodeName);
  const keep = pods.find(pod => pod.metadata.name === name && isSameRun(pod, container, mirrored));
  const remove = pods.filter(pod => pod !== keep);
  if (keep) return { remove, keep, create: false, stop: false };
  const isOver = !runs && (isDismissed || mirrored.wasStopped || mirrored.isTransient);
  return { remove, create: !isOver || remove.length > 0, stop: false };
}

/** A person's start begins to count anew: what counts on was started by its policy. */
function isSameRun(pod: Pod, { startedAtMs = 0, state }: Container, { restartCount }: Mirrored): boolean {
  const told = pod.status?.containerStatuses?.[0];
  const startedAt = told?.state?.running?.startedAt ?? told?.state?.terminated?.startedAt ?? told?.lastState?.terminated?.startedAt;
  if (!told || startedAt === undefined || startedAt === toTime(startedAtMs)) return true;
  const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  return restartCount > 0 && restartCount >= told.restartCount && !(isOver && state === 'running');
}

/** What the Pod says of its container. Pure; times of transition are those said before. */
export function planMirrorStatus(
  pod: Pod,
  container: Container,
  mirrored: Mirrored,
  { hostAddress, nowMs }: { hostAddress: string; nowMs: number },
): Status {
  const { isRestarting, addresses, hostNetwork } = mirrored;
  const runs = container.state === 'running' || container.state !== 'exited';
  const phase = runs || isRestarting ? 'Running' : container.exitCode === 0 ? 'Succeeded' : 'Failed';
  const isReady = runs && mirrored.isHealthy;
  const ips = hostNetwork ? [hostAddress] : runs ? addresses : [];
  return {
    observedGeneration: pod.metadata.generation,
    phase,
    conditions: conditions(pod, { isReady, runs, phase, nowMs }),
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map(ip => ({ ip })) }),
    startTime: pod.status?.startTime ?? toTime(container.startedAtMs ?? container.createdAtMs),
    containerStatuses: [containerStatus(pod, container, mirrored, isReady)],
  };
}

function containerStatus(pod: Pod, container: Container, { isRestarting, restartCount, image }: Mirrored, ready: boolean): ContainerStatus {
  const containerID = `umiak://${container.id}`;
  const startedAt = toTime(container.startedAtMs ?? container.createdAtMs);
  const terminated = {
    exitCode: container.exitCode ?? 0,
    reason: container.reason ?? (container.exitCode === 0 ? 'Completed' : 'Error'),
    ...(container.message ? { message: container.message } : {}),
    startedAt,
    finishedAt: toTime(container.finishedAtMs ?? container.createdAtMs),
    containerID,
  };
  const before = pod.status?.containerStatuses?.[0];
  const waits = { waiting: { reason: 'CrashLoopBackOff', message: 'its restart policy starts it again' } };
  const ended = container.state === 'exited';
  return {
    name: pod.spec.containers[0]?.name ?? '',
    image,
    imageID: container.imageId,
    containerID,
    state: ended ? (isRestarting ? waits : { terminated }) : { running: { startedAt } },
    lastState: ended && isRestarting ? { terminated } : (before?.lastState ?? {}),
    ready,
    started: !ended,
    restartCount,
  };
}

interface Facts {
  isReady: boolean;
  runs: boolean;
  phase: string;
  nowMs: number;
}

function conditions(pod: Pod, { isReady, runs, phase, nowMs }: Facts): NonNullable<Status['conditions']> {
  const reason = phase === 'Succeeded' ? 'PodCompleted' : phase === 'Failed' ? 'PodFailed' : 'ContainersNotReady';
  const wanted: [type: string, is: boolean][] = [
    ['PodScheduled', true],
    ['PodReadyToStartContainers', runs],
    ['Initialized', true],
    ['ContainersReady', isReady],
    ['Ready', isReady],
  ];
  return wanted.map(([type, is]) => {
    const status = is ? 'True' : 'False';
    const before = pod.status?.conditions?.find(each => each.type === type);
    const lastTransitionTime = (before?.status === status && before.lastTransitionTime) || toTime(nowMs);
    return { type, status, ...(is || type === 'PodReadyToStartContainers' ? {} : { reason }), lastTransitionTime };
  });
}
