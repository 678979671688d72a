import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Request } from './node-table.ts';
import { requestOf } from './request.ts';
import type { Placed } from './world.ts';

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

/** True when the pod still takes of the same node what it was counted with. */
export function isAsPlaced(placed: Placed, pod: Pod): boolean {
  if (placed.node !== pod.spec.nodeName || placed.pod.metadata.uid !== pod.metadata.uid) return false;
  const newer = (pod.metadata.generation ?? 0) - (placed.pod.metadata.generation ?? 0);
  // The binding itself is one generation.
  return newer === 0 || (newer === 1 && !placed.pod.spec.nodeName) || isSameRequest(placed.request, requestOf(pod));
}

function isSameRequest(a: Request, b: Request): boolean {
  if (a.cpuMilli !== b.cpuMilli || a.memoryBytes !== b.memoryBytes || a.ephemeralBytes !== b.ephemeralBytes) return false;
  if (a.extended.size !== b.extended.size || a.hostPorts.join() !== b.hostPorts.join()) return false;
  for (const [name, amount] of a.extended) if (b.extended.get(name) !== amount) return false;
  return true;
}
