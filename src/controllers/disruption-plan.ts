import { toTime } from '#base/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import type { PodDisruptionBudget } from '#kinds/policy.ts';
import { percentOrCount } from '#kinds/workload.ts';

/** So long an evicted pod may take until it shows that it is being deleted; after that the eviction counts as not having happened. */
const EVICTION_TIMEOUT_MS = 120_000;

type Status = NonNullable<PodDisruptionBudget['status']>;

export interface Picture {
  budget: PodDisruptionBudget;
  /** The pods that the budget selects. */
  pods: readonly Pod[];
  /** How many pods their controllers are to run together; only asked for where the budget counts in shares of it. */
  scale: number;
  nowMs: number;
}

export interface DisruptionPlan {
  status: Status;
  /** Evicted pods that should be going by now and are not. */
  overdue: Pod[];
  /** When the first of the evictions still awaited runs out. */
  againInMs: number | undefined;
}

/** Whether the budget counts in shares of what the pods' controllers want, rather than in plain pods. */
export function countsByScale({ spec }: PodDisruptionBudget): boolean {
  return spec.maxUnavailable !== undefined || typeof spec.minAvailable === 'string';
}

/** How many healthy pods there have to be, of how many. Pure. */
export function planNeed({ budget: { spec }, pods, scale }: Omit<Picture, 'nowMs'>): { expected: number; desired: number } {
  if (spec.maxUnavailable !== undefined)
    return { expected: scale, desired: Math.max(0, scale - percentOrCount(spec.maxUnavailable, scale, 'up')) };
  if (typeof spec.minAvailable === 'string') return { expected: scale, desired: percentOrCount(spec.minAvailable, scale, 'up') };
  return { expected: pods.length, desired: spec.minAvailable ?? 0 };
}

/** The budget's status as it should be. Pure. */
export function planDisruption(picture: Picture): DisruptionPlan {
  const { budget, pods, nowMs } = picture;
  const before = budget.status ?? {};
  const { awaited, overdue, againInMs } = planAwaited(before.disruptedPods ?? {}, pods, nowMs);
  const healthy = pods.filter(pod => !pod.metadata.deletionTimestamp && !awaited[pod.metadata.name] && isPodReady(pod)).length;
  const { expected, desired } = planNeed(picture);
  // Without pods nothing may go: the first that come are safe until they have been counted.
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  return {
    status: {
      currentHealthy: healthy,
      desiredHealthy: desired,
      disruptionsAllowed: allowed,
      expectedPods: expected,
      observedGeneration: budget.metadata.generation,
      ...(Object.keys(awaited).length > 0 && { disruptedPods: awaited }),
      conditions: allowedCondition(budget, allowed > 0 ? 'SufficientPods' : 'InsufficientPods', '', nowMs),
    },
    overdue,
    againInMs,
  };
}

/** The status while it can't be told how many pods there should be: nothing may go. Pure. */
export function planFailure(budget: PodDisruptionBudget, why: string, nowMs: number): Status {
  return { ...budget.status, disruptionsAllowed: 0, conditions: allowedCondition(budget, 'SyncFailed', why, nowMs) };
}

/** Which evictions have not come true yet. */
function planAwaited(disrupted: Record<string, string>, pods: readonly Pod[], nowMs: number) {
  const awaited: Record<string, string> = {};
  const overdue: Pod[] = [];
  let againInMs: number | undefined;
  for (const pod of pods) {
    const { name, deletionTimestamp } = pod.metadata;
    const since = disrupted[name];
    if (since === undefined || deletionTimestamp) continue;
    const leftMs = Date.parse(since) + EVICTION_TIMEOUT_MS - nowMs;
    if (leftMs <= 0) overdue.push(pod);
    else {
      awaited[name] = since;
      againInMs = Math.min(againInMs ?? leftMs, leftMs);
    }
  }
  return { awaited, overdue, againInMs };
}

function allowedCondition({ metadata, status }: PodDisruptionBudget, reason: string, message: string, nowMs: number) {
  const present = status?.conditions ?? [];
  const before = present.find(({ type }) => type === 'DisruptionAllowed');
  const is = reason === 'SufficientPods' ? 'True' : 'False';
  const lastTransitionTime = before?.status === is ? before.lastTransitionTime : toTime(nowMs);
  const observedGeneration = metadata.generation ?? 0;
  return [
    ...present.filter(({ type }) => type !== 'DisruptionAllowed'),
    { type: 'DisruptionAllowed', status: is, reason, message, observedGeneration, lastTransitionTime },
  ];
}
