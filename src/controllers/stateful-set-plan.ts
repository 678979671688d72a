import type { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import type { StatefulSet } from '#kinds/stateful-set.ts';
import { percentOrCount } from '#kinds/workload.ts';
import { REVISION_LABEL } from './controller-revision.ts';
import { availableInMs } from './pods.ts';

/** A StatefulSet and its pods, as they are now. */
export interface StatefulPicture {
  set: StatefulSet;
  pods: readonly Pod[];
  /** Names of the revisions: where the set comes from and where it goes to. */
  currentRevision: string;
  updateRevision: string;
  nowMs: number;
}

/** The steps that may be taken now. */
export interface StatefulPlan {
  create: { ordinal: number; revision: string }[];
  /** `failed`: its containers have ended; `condemned`: the set is to be smaller; `outdated`: of an older revision. */
  remove: { pod: Pod; because: 'failed' | 'condemned' | 'outdated' }[];
}

/** The ordinal in a member's name; undefined for a pod that is none of the set's. */
export function ordinalOf({ metadata: { name: setName } }: StatefulSet, { metadata: { name } }: Pod): number | undefined {
  const digits = name.startsWith(`${setName}-`) ? name.slice(setName.length + 1) : '';
  return /^(?:0|[1-9]\d{0,8})$/.test(digits) ? Number(digits) : undefined;
}

/** True when `ordinal` is one of those that the set is to have. */
export function isWanted({ spec }: StatefulSet, ordinal: number): boolean {
  const start = spec.ordinals?.start ?? 0;
  return ordinal >= start && ordinal < start + (spec.replicas ?? 1);
}

/**
 * The next steps. `OrderedReady` takes one at a time and waits until every pod before it is available; a pod that never becomes ready
 * holds everything up, as upstream documents. Pure.
 */
export function planStatefulSet(picture: StatefulPicture): StatefulPlan {
  const { set, pods } = picture;
  const ordered = set.spec.podManagementPolicy !== 'Parallel';
  const plan: StatefulPlan = { create: [], remove: [] };
  const members = membersOf(set, pods);
  if (!planReplicas(picture, members, ordered, plan)) return plan;
  if (!planCondemned(picture, members, ordered, plan)) return plan;
  if (set.spec.updateStrategy?.type !== 'OnDelete') planUpdate(picture, members, plan);
  return plan;
}

type Members = ReadonlyMap<number, Pod>;

function membersOf(set: StatefulSet, pods: readonly Pod[]): Members {
  const members = pods.map(pod => [ordinalOf(set, pod), pod] as const).filter((entry): entry is [number, Pod] => entry[0] !== undefined);
  return new Map(members.sort(([a], [b]) => a - b));
}

/** Makes what is missing and removes what has ended; false when the rest must wait. */
function planReplicas(picture: StatefulPicture, members: Members, ordered: boolean, plan: StatefulPlan): boolean {
  for (const ordinal of wantedOrdinals(picture.set)) {
    const pod = members.get(ordinal);
    if (!pod) {
      plan.create.push({ ordinal, revision: revisionFor(picture, ordinal) });
      if (ordered) return false;
    } else if (isPodTerminal(pod)) {
      if (!pod.metadata.deletionTimestamp) plan.remove.push({ pod, because: 'failed' });
      if (ordered) return false;
    } else if (ordered && !isHealthy(picture, pod)) return false;
  }
  return true;
}

/** Removes those beyond the wanted ones, highest first; false when the rest must wait. */
function planCondemned(picture: StatefulPicture, members: Members, ordered: boolean, plan: StatefulPlan): boolean {
  const condemned = [...members].filter(([ordinal]) => !isWanted(picture.set, ordinal)).map(([, pod]) => pod);
  const firstUnhealthy = condemned.find(pod => !isHealthy(picture, pod));
  for (const pod of condemned.reverse()) {
    if (pod.metadata.deletionTimestamp) {
      if (ordered) return false;
      continue;
    }
    if (ordered && pod !== firstUnhealthy && !isHealthy(picture, pod)) return false;
    plan.remove.push({ pod, because: 'condemned' });
    if (ordered) return false;
  }
  return true;
}

/** Removes outdated pods, from the highest ordinal down to the partition. */
function planUpdate(picture: StatefulPicture, members: Members, plan: StatefulPlan): void {
  const { set } = picture;
  const { partition = 0, maxUnavailable } = set.spec.updateStrategy?.rollingUpdate ?? {};
  const ordinals = wantedOrdinals(set);
  const due = ordinals.slice(partition).reverse();
  if (maxUnavailable === undefined) {
    planNextUpdate(picture, members, due, plan);
    return;
  }
  const away = ordinals.filter(ordinal => !isHealthy(picture, members.get(ordinal))).length;
  let budget = Math.max(1, percentOrCount(maxUnavailable, ordinals.length, 'down')) - away;
  for (const ordinal of due) {
    const pod = members.get(ordinal);
    if (!pod || !isOutdated(picture, pod)) continue;
    // One that is not available anyway costs nothing.
    if (isHealthy(picture, pod)) {
      if (budget <= 0) continue;
      budget -= 1;
    }
    plan.remove.push({ pod, because: 'outdated' });
  }
}

/** One pod after the other; those below are not asked, so that a broken revision can be left behind in parallel. */
function planNextUpdate(picture: StatefulPicture, members: Members, due: readonly number[], plan: StatefulPlan): void {
  for (const ordinal of due) {
    const pod = members.get(ordinal);
    if (pod && isOutdated(picture, pod)) {
      plan.remove.push({ pod, because: 'outdated' });
      return;
    }
    if (!isHealthy(picture, pod)) return;
  }
}

function isOutdated({ updateRevision }: StatefulPicture, pod: Pod): boolean {
  return !pod.metadata.deletionTimestamp && !isPodTerminal(pod) && pod.metadata.labels?.[REVISION_LABEL] !== updateRevision;
}

function wantedOrdinals({ spec }: StatefulSet): number[] {
  return Array.from({ length: spec.replicas ?? 1 }, (_, index) => (spec.ordinals?.start ?? 0) + index);
}

/** Below the partition a pod is made as it was before the update. */
function revisionFor({ set, currentRevision, updateRevision }: StatefulPicture, ordinal: number): string {
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  const first = (set.spec.ordinals?.start ?? 0) + (rollingUpdate?.partition ?? 0);
  return type === 'RollingUpdate' && ordinal < first ? currentRevision : updateRevision;
}

function isHealthy({ set, nowMs }: StatefulPicture, pod: Pod | undefined): boolean {
  if (!pod || pod.metadata.deletionTimestamp || pod.status?.phase !== 'Running') return false;
  return availableInMs(pod, set.spec.minReadySeconds ?? 0, nowMs) === 0;
}

type Status = NonNullable<StatefulSet['status']>;

/** What the status must say of this picture, and when the next pod becomes available. Pure. */
export function statefulSetStatus(picture: StatefulPicture): { status: Status; againInMs?: number } {
  const { set, pods, currentRevision, updateRevision, nowMs } = picture;
  const members = pods.filter(pod => ordinalOf(set, pod) !== undefined);
  const lasting = members.filter(pod => !pod.metadata.deletionTimestamp);
  const ofRevision = (name: string) => lasting.filter(pod => pod.metadata.labels?.[REVISION_LABEL] === name).length;
  const ready = members.filter(pod => pod.status?.phase === 'Running' && isPodReady(pod));
  const waits = ready.map(pod => availableInMs(pod, set.spec.minReadySeconds ?? 0, nowMs)).filter(wait => wait !== undefined);
  const replicas = set.spec.replicas ?? 1;
  const updated = ofRevision(updateRevision);
  const complete =
    set.spec.updateStrategy?.type === 'RollingUpdate' && updated === replicas && ready.length === replicas && members.length === replicas;
  const status: Status = {
    observedGeneration: set.metadata.generation,
    replicas: members.length,
    readyReplicas: ready.length,
    availableReplicas: waits.filter(wait => wait === 0).length,
    currentReplicas: complete ? updated : ofRevision(currentRevision),
    updatedReplicas: updated,
    currentRevision: complete ? updateRevision : currentRevision,
    updateRevision,
    collisionCount: set.status?.collisionCount ?? 0,
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
  };
  const coming = waits.filter(wait => wait > 0);
  return coming.length > 0 ? { status, againInMs: Math.min(...coming) } : { status };
}
