import type { Pod } from '#kinds/pod.ts';
import { isPodReady, podCondition } from '#kinds/pod-template.ts';

/** 0: available, ready for at least `minReadySeconds`; a number: will be, after so many milliseconds; undefined: not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const ready = podCondition(pod, 'Ready');
  if (ready?.status !== 'True') return undefined;
  const readySince = Date.parse(String(ready.lastTransitionTime ?? ''));
  if (minReadySeconds === 0 || Number.isNaN(readySince)) return 0;
  return Math.max(0, readySince + minReadySeconds * 1000 - nowMs);
}

const PHASE_RANK: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * The `count` pods that are missed least, as the ReplicaSet's documentation orders them: unassigned, pending, not ready, cheap to
 * delete (`controller.kubernetes.io/pod-deletion-cost`), on crowded nodes, lately ready, restarted, young.
 */
export function planRemovals(pods: readonly Pod[], count: number, nowMs: number): Pod[] {
  if (count <= 0) return [];
  const perNode = new Map<string, number>();
  for (const { spec } of pods) if (spec.nodeName) perNode.set(spec.nodeName, (perNode.get(spec.nodeName) ?? 0) + 1);
  const rank = (pod: Pod): number[] => [
    pod.spec.nodeName ? 1 : 0,
    PHASE_RANK[pod.status?.phase ?? 'Pending'] ?? 1,
    isPodReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0) || 0,
    -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    isPodReady(pod) ? ageOf(String(podCondition(pod, 'Ready')?.lastTransitionTime ?? ''), nowMs) : 0,
    -restartsOf(pod),
    ageOf(String(pod.metadata.creationTimestamp), nowMs),
  ];
  const ranked = pods.map(pod => ({ pod, rank: rank(pod) }));
  ranked.sort((a, b) => {
    const at = a.rank.findIndex((value, index) => value !== b.rank[index]);
    return at < 0 ? 0 : (a.rank[at] ?? 0) - (b.rank[at] ?? 0);
  });
  return ranked.slice(0, count).map(({ pod }) => pod);
}

function ageOf(time: string, nowMs: number): number {
  return Math.max(0, nowMs - (Date.parse(time) || nowMs));
}

function restartsOf(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}
