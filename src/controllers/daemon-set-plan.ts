import type { DaemonSet } from '#kinds/daemon-set.ts';
import type { Node } from '#kinds/node.ts';
import { nodeMatchesPod } from '#kinds/node-affinity.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { findUntolerated } from '#kinds/tolerations.ts';
import type { PodSpec, Toleration } from '#kinds/types.gen.ts';
import { percentOrCount } from '#kinds/workload.ts';
import { REVISION_LABEL } from './controller-revision.ts';
import { availableInMs } from './pods.ts';

/** A DaemonSet, the nodes and its pods, as they are now. */
export interface DaemonPicture {
  set: DaemonSet;
  nodes: readonly Node[];
  pods: readonly Pod[];
  /** The hash of the present template, as pods bear it. */
  hash: string;
  nowMs: number;
  /** How long a failed pod of this node must be left in peace; absent: not at all. */
  backoffMs?: (node: string) => number;
}

/** The steps that may be taken now. */
export interface DaemonPlan {
  /** Names of nodes that get a pod. */
  create: string[];
  remove: Pod[];
  /** Among them, those whose containers ended although they must not, with their nodes. */
  ended: { pod: Pod; node: string }[];
  /** When a failed pod's back-off ends. */
  againInMs?: number;
}

const exists = (key: string, effect: string): Toleration => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect });
const STANDARD: readonly Toleration[] = [
  exists('not-ready', 'NoExecute'),
  exists('unreachable', 'NoExecute'),
  exists('disk-pressure', 'NoSchedule'),
  exists('memory-pressure', 'NoSchedule'),
  exists('pid-pressure', 'NoSchedule'),
  exists('unschedulable', 'NoSchedule'),
];
const NO_NETWORK = exists('network-unavailable', 'NoSchedule');

/** The template's tolerations and those that every daemon has. */
export function daemonTolerations({ tolerations = [], hostNetwork }: PodSpec): Toleration[] {
  const added = hostNetwork ? [...STANDARD, NO_NETWORK] : STANDARD;
  const missing = added.filter(
    one => !tolerations.some(({ key, operator, effect }) => key === one.key && operator === 'Exists' && effect === one.effect),
  );
  return [...tolerations, ...missing];
}

/** The template's affinity with the node's name in place of its own terms: they have been judged. */
export function daemonAffinity({ affinity }: PodSpec, node: string): NonNullable<PodSpec['affinity']> {
  const nodeSelectorTerms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }];
  const nodeAffinity = { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
  return { ...affinity, nodeAffinity };
}

/** Whether a daemon belongs on the node, and whether one that is there may stay. */
function judgeNode({ spec }: DaemonSet, node: Node): { shouldRun: boolean; mayStay: boolean } {
  const { spec: template } = spec.template;
  if ((template.nodeName && template.nodeName !== node.metadata.name) || !nodeMatchesPod(template, node))
    return { shouldRun: false, mayStay: false };
  const tolerations = daemonTolerations(template);
  if (findUntolerated(node.spec.taints, tolerations, ['NoExecute'])) return { shouldRun: false, mayStay: false };
  return { shouldRun: !findUntolerated(node.spec.taints, tolerations, ['NoSchedule']), mayStay: true };
}

/** The node that a daemon is on, or is meant for. */
function targetNodeOf({ spec }: Pod): string {
  if (spec.nodeName) return spec.nodeName;
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const fields = terms.flatMap(({ matchFields = [] }) => matchFields);
  return (
    fields.find(({ key, operator, values }) => key === 'metadata.name' && operator === 'In' && values?.length === 1)?.values?.[0] ?? ''
  );
}

/** Which nodes get a pod and which pods go: one a node, then the rolling update within its limits. Pure. */
export function planDaemonSet(picture: DaemonPicture): DaemonPlan {
  const { set, nodes } = picture;
  const plan: DaemonPlan = { create: [], remove: [], ended: [] };
  const byNode = podsByNode(picture);
  const surge = limitsOf(picture).maxSurge > 0;
  for (const node of nodes) {
    const { name } = node.metadata;
    const { shouldRun, mayStay } = judgeNode(set, node);
    const here = byNode.get(name) ?? [];
    if (!mayStay) plan.remove.push(...here.filter(isLasting));
    else if (here.length > 0) planNode(picture, name, here, surge, plan);
    else if (shouldRun) plan.create.push(name);
  }
  const known = new Set(nodes.map(({ metadata }) => metadata.name));
  for (const pod of picture.pods) if (isLasting(pod) && !pod.spec.nodeName && !known.has(targetNodeOf(pod))) plan.remove.push(pod);
  if (set.spec.updateStrategy?.type !== 'OnDelete') planUpdate(picture, byNode, plan);
  return plan;
}

function podsByNode({ pods }: DaemonPicture): Map<string, Pod[]> {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    if (isPodTerminal(pod) && pod.metadata.deletionTimestamp) continue;
    const node = targetNodeOf(pod);
    const there = byNode.get(node);
    if (there) there.push(pod);
    else byNode.set(node, [pod]);
  }
  for (const there of byNode.values()) there.sort(olderFirst);
  return byNode;
}

/** Ended pods go, after their back-off; of several live ones the oldest stays (with surge: the oldest of each template). */
function planNode(
  { backoffMs, hash, set, nowMs }: DaemonPicture,
  node: string,
  here: readonly Pod[],
  surge: boolean,
  plan: DaemonPlan,
): void {
  const running: Pod[] = [];
  for (const pod of here.filter(isLasting)) {
    if (!isPodTerminal(pod)) {
      running.push(pod);
      continue;
    }
    const waitMs = pod.status?.phase === 'Failed' ? (backoffMs?.(node) ?? 0) : 0;
    if (waitMs > 0) {
      plan.againInMs = Math.min(plan.againInMs ?? waitMs, waitMs);
      continue;
    }
    plan.remove.push(pod);
    plan.ended.push({ pod, node });
  }
  if (!surge) {
    plan.remove.push(...running.slice(1));
    return;
  }
  const fresh = running.filter(pod => isOf(pod, hash));
  const old = running.filter(pod => !isOf(pod, hash));
  plan.remove.push(...fresh.slice(1), ...old.slice(1));
  const [first] = fresh;
  const [last] = old;
  if (first && last && (!isPodReady(last) || isAvailable(first, set, nowMs))) plan.remove.push(last);
}

function planUpdate(picture: DaemonPicture, byNode: ReadonlyMap<string, Pod[]>, plan: DaemonPlan): void {
  const { set, nodes, hash, nowMs } = picture;
  const { maxSurge, maxUnavailable } = limitsOf(picture);
  const going = new Set(plan.remove);
  const spare: { node: string; pod: Pod }[] = [];
  let away = 0;
  let surging = 0;
  for (const node of nodes) {
    if (!judgeNode(set, node).shouldRun) continue;
    const { name } = node.metadata;
    const live = (byNode.get(name) ?? []).filter(pod => isLasting(pod) && !isPodTerminal(pod) && !going.has(pod));
    const fresh = live.find(pod => isOf(pod, hash));
    const old = live.find(pod => !isOf(pod, hash));
    if (maxSurge > 0) {
      if (old && fresh) surging += 1;
      else if (old && isAvailable(old, set, nowMs)) spare.push({ node: name, pod: old });
      else if (old) plan.create.push(name);
      continue;
    }
    if (!old) away += fresh && isAvailable(fresh, set, nowMs) ? 0 : 1;
    else if (isAvailable(old, set, nowMs)) spare.push({ node: name, pod: old });
    else {
      away += 1;
      plan.remove.push(old);
    }
  }
  if (maxSurge > 0) plan.create.push(...spare.slice(0, Math.max(0, maxSurge - surging)).map(({ node }) => node));
  else plan.remove.push(...spare.slice(0, Math.max(0, maxUnavailable - away)).map(({ pod }) => pod));
}

function limitsOf({ set, nodes }: DaemonPicture): { maxSurge: number; maxUnavailable: number } {
  const { type, rollingUpdate = {} } = set.spec.updateStrategy ?? {};
  if (type === 'OnDelete') return { maxSurge: 0, maxUnavailable: 0 };
  const desired = nodes.filter(node => judgeNode(set, node).shouldRun).length;
  const maxSurge = percentOrCount(rollingUpdate.maxSurge ?? 0, desired, 'up');
  const maxUnavailable = percentOrCount(rollingUpdate.maxUnavailable ?? 1, desired, 'up');
  return { maxSurge, maxUnavailable: maxSurge === 0 ? Math.max(1, maxUnavailable) : maxUnavailable };
}

type Status = NonNullable<DaemonSet['status']>;

/** What the status must say of this picture, and when the next pod becomes available. Pure. */
export function daemonSetStatus(picture: DaemonPicture): { status: Status; againInMs?: number } {
  const { set, nodes, hash, nowMs } = picture;
  const byNode = podsByNode(picture);
  const counts = {
    desiredNumberScheduled: 0,
    currentNumberScheduled: 0,
    numberMisscheduled: 0,
    numberReady: 0,
    numberAvailable: 0,
    updatedNumberScheduled: 0,
  };
  let againInMs: number | undefined;
  for (const node of nodes) {
    const { shouldRun } = judgeNode(set, node);
    const [pod] = byNode.get(node.metadata.name) ?? [];
    if (shouldRun) counts.desiredNumberScheduled += 1;
    if (!pod) continue;
    if (!shouldRun) {
      counts.numberMisscheduled += 1;
      continue;
    }
    counts.currentNumberScheduled += 1;
    const waitMs = availableInMs(pod, set.spec.minReadySeconds ?? 0, nowMs);
    if (waitMs !== undefined) counts.numberReady += 1;
    if (waitMs === 0) counts.numberAvailable += 1;
    else if (waitMs !== undefined) againInMs = Math.min(againInMs ?? waitMs, waitMs);
    if (isOf(pod, hash)) counts.updatedNumberScheduled += 1;
  }
  const status: Status = {
    ...counts,
    numberUnavailable: counts.desiredNumberScheduled - counts.numberAvailable,
    observedGeneration: set.metadata.generation,
    ...(set.status?.collisionCount ? { collisionCount: set.status.collisionCount } : {}),
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
  };
  return againInMs === undefined ? { status } : { status, againInMs };
}

function isLasting({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp === undefined;
}

function isOf({ metadata }: Pod, hash: string): boolean {
  return metadata.labels?.[REVISION_LABEL] === hash;
}

function isAvailable(pod: Pod, { spec }: DaemonSet, nowMs: number): boolean {
  return availableInMs(pod, spec.minReadySeconds ?? 0, nowMs) === 0;
}

/** Pods that have a node before others, then by age. */
function olderFirst(a: Pod, b: Pod): number {
  if (!a.spec.nodeName !== !b.spec.nodeName) return a.spec.nodeName ? -1 : 1;
  return a.metadata.creationTimestamp < b.metadata.creationTimestamp
    ? -1
    : a.metadata.creationTimestamp > b.metadata.creationTimestamp
      ? 1
      : 0;
}
