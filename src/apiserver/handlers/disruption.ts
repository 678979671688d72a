import { toTime } from '#base/clock.ts';
import type { PodDisruptionBudget } from '#kinds/types.gen.ts';
import { forbidden, StatusError } from '../status.ts';

const POD = { group: '', plural: 'pods', kind: 'Pod' };
/** Evictions that the disruption controller has not seen come true yet, at most. */
const MOST_DISRUPTED = 2_000;
const VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget.";

/**
 * The budget after one disruption is taken for a pod; undefined: it need not be asked, the pod that is not ready counts for nothing.
 * Pure. @throws `TooManyRequests` when there is none to take
 */
export function takeFromBudget(
  budget: PodDisruptionBudget,
  pod: { name: string; isReady: boolean },
  nowMs: number,
): PodDisruptionBudget | undefined {
  const { metadata, spec } = budget;
  const status = budget.status ?? {};
  const { currentHealthy = 0, desiredHealthy = 0, disruptionsAllowed = 0, disruptedPods = {} } = status;
  if (!pod.isReady) {
    if (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return undefined;
    if (currentHealthy >= desiredHealthy && desiredHealthy > 0) return undefined;
  }
  const { name } = metadata;
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0))
    throw refusal(`The disruption budget ${name} is still being processed by the server.`, 10);
  if (disruptionsAllowed < 0) throw forbidden(POD, name, 'pdb disruptions allowed is negative');
  if (Object.keys(disruptedPods).length > MOST_DISRUPTED)
    throw forbidden(POD, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller');
  if (disruptionsAllowed === 0) throw refusal(whyNone(budget));
  const now = toTime(nowMs);
  const left = disruptionsAllowed - 1;
  return {
    ...budget,
    status: {
      ...status,
      disruptionsAllowed: left,
      disruptedPods: { ...disruptedPods, [pod.name]: now },
      ...(left === 0 && { conditions: withoutAllowance(budget, now) }),
    },
  };
}

/** A pod under several budgets is not for evictions. */
export function tooManyBudgets(): StatusError {
  return new StatusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    code: 500,
  });
}

function whyNone({ metadata: { name }, status }: PodDisruptionBudget): string | undefined {
  const condition = status?.conditions?.find(({ type }) => type === 'DisruptionAllowed');
  if (condition?.status !== 'False') return undefined;
  if (condition.reason === 'SyncFailed')
    return `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${condition.message}`;
  return `The disruption budget ${name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ${status?.currentHealthy ?? 0} currently`;
}

function refusal(cause: string | undefined, retryAfterSeconds = 0): StatusError {
  const details = {
    ...(cause && { causes: [{ reason: 'DisruptionBudget', message: cause }] }),
    ...(retryAfterSeconds > 0 && { retryAfterSeconds }),
  };
  return new StatusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: VIOLATION,
    reason: 'TooManyRequests',
    details,
    code: 429,
  });
}

function withoutAllowance({ metadata, status }: PodDisruptionBudget, now: string) {
  const present = status?.conditions ?? [];
  const before = present.find(({ type }) => type === 'DisruptionAllowed');
  return [
    ...present.filter(({ type }) => type !== 'DisruptionAllowed'),
    {
      type: 'DisruptionAllowed',
      status: 'False',
      reason: 'InsufficientPods',
      message: '',
      observedGeneration: metadata.generation ?? 0,
      lastTransitionTime: before?.status === 'False' ? before.lastTransitionTime : now,
    },
  ];
}
