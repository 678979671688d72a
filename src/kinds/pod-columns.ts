import type { Cell } from './define-kind.ts';
import { ageOf } from './duration.ts';
import { podCondition } from './pod-template.ts';
import type { ContainerStateTerminated, ContainerStatus, Pod } from './types.gen.ts';

/** What `kubectl get pods` tells about a pod's containers. */
export interface PodSummary {
  ready: number;
  total: number;
  /** `Running`, `Init:0/1`, `CrashLoopBackOff`, `Completed`, `Terminating`, … */
  status: string;
  restarts: number;
  lastRestart: string | undefined;
}

export const podCells: Record<string, Cell<Pod>> = {
  Ready: pod => {
    const { ready, total } = summarizePod(pod);
    return `${ready}/${total}`;
  },
  Status: pod => summarizePod(pod).status,
  Restarts: (pod, nowMs) => {
    const { restarts, lastRestart } = summarizePod(pod);
    return restarts > 0 && lastRestart ? `${restarts} (${ageOf(lastRestart, nowMs)} ago)` : String(restarts);
  },
  IP: pod => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || '<none>',
  Node: pod => pod.spec.nodeName || '<none>',
  'Nominated Node': pod => pod.status?.nominatedNodeName || '<none>',
  'Readiness Gates': pod => {
    const gates = pod.spec.readinessGates ?? [];
    if (gates.length === 0) return '<none>';
    const open = gates.filter(({ conditionType }) => podCondition(pod, conditionType)?.status === 'True');
    return `${open.length}/${gates.length}`;
  },
};

/** Sums a pod up in the words that kubectl's users know. */
export function summarizePod(pod: Pod): PodSummary {
  const { spec, status = {} } = pod;
  const sidecars = new Set((spec.initContainers ?? []).filter(one => one.restartPolicy === 'Always').map(one => one.name));
  const summary: PodSummary = {
    ready: 0,
    total: spec.containers.length + sidecars.size,
    status: status.reason || status.phase || '',
    restarts: 0,
    lastRestart: undefined,
  };
  if (podCondition(pod, 'PodScheduled')?.reason === 'SchedulingGated') summary.status = 'SchedulingGated';
  const initializing = countInit(summary, pod, sidecars);
  if (!initializing || podCondition(pod, 'Initialized')?.status === 'True') countMain(summary, pod, sidecars);
  if (pod.metadata.deletionTimestamp) {
    if (status.reason === 'NodeLost') summary.status = 'Unknown';
    else if (status.phase !== 'Succeeded' && status.phase !== 'Failed') summary.status = 'Terminating';
  }
  return summary;
}

/** Goes through init containers until one is not done. Returns whether there is one. */
function countInit(summary: PodSummary, { spec, status }: Pod, sidecars: Set<string>): boolean {
  for (const [i, container] of (status?.initContainerStatuses ?? []).entries()) {
    countRestarts(summary, container);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started) {
      if (container.ready) summary.ready++;
      continue;
    }
    if (terminated) summary.status = `Init:${endOf(terminated)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') summary.status = `Init:${waiting.reason}`;
    else summary.status = `Init:${i}/${spec.initContainers?.length ?? 0}`;
    return true;
  }
  return false;
}

function countMain(summary: PodSummary, pod: Pod, sidecars: Set<string>): void {
  const { status } = pod;
  summary.restarts = 0;
  summary.lastRestart = undefined;
  for (const container of status?.initContainerStatuses ?? []) if (sidecars.has(container.name)) countRestarts(summary, container);
  let hasRunning = false;
  for (const container of (status?.containerStatuses ?? []).toReversed()) {
    countRestarts(summary, container);
    const { terminated, waiting, running } = container.state ?? {};
    if (waiting?.reason) summary.status = waiting.reason;
    else if (terminated) summary.status = endOf(terminated);
    else if (container.ready && running) {
      hasRunning = true;
      summary.ready++;
    }
  }
  if (summary.status === 'Completed' && hasRunning) summary.status = podCondition(pod, 'Ready')?.status === 'True' ? 'Running' : 'NotReady';
}

function countRestarts(summary: PodSummary, { restartCount, lastState }: ContainerStatus): void {
  summary.restarts += restartCount;
  const finishedAt = lastState?.terminated?.finishedAt;
  if (finishedAt && (summary.lastRestart === undefined || Date.parse(summary.lastRestart) < Date.parse(finishedAt)))
    summary.lastRestart = finishedAt;
}

function endOf({ reason, signal, exitCode }: ContainerStateTerminated): string {
  if (reason) return reason;
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}
