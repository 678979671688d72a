import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';

/** What changed in a node, if it could let a pod in that it kept out before: a heartbeat could not. */
export function nodeChange(
  node: Node,
  previous: Node | undefined,
): { isNew: boolean; hasNewLabels: boolean; hasNewTaints: boolean } | undefined {
  if (!previous) return { isNew: true, hasNewLabels: true, hasNewTaints: true };
  const differs = (part: (node: Node) => unknown) => JSON.stringify(part(node)) !== JSON.stringify(part(previous));
  const hasNewLabels = differs(({ metadata }) => metadata.labels);
  const hasNewTaints = differs(({ spec }) => [spec.taints ?? [], spec.unschedulable ?? false]);
  if (!hasNewLabels && !hasNewTaints && !differs(({ status }) => status?.allocatable ?? status?.capacity)) return undefined;
  return { isNew: false, hasNewLabels, hasNewTaints };
}

/** True when a pod that has its node counts for other pods otherwise than before. */
export function touchesGroups(pod: Pod, previous: Pod): boolean {
  if (!pod.metadata.deletionTimestamp !== !previous.metadata.deletionTimestamp) return true;
  const [now, before] = [pod.metadata.labels ?? {}, previous.metadata.labels ?? {}];
  for (const key in now) if (now[key] !== before[key]) return true;
  for (const key in before) if (now[key] === undefined) return true;
  return false;
}
