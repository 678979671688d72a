import { toTime } from '#base/index.ts';
import type { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { countIndexes, formatIndexes } from './job-indexes.ts';
import type { Ending, JobPlan } from './job-plan.ts';
import { indexOf, isPodFailed, isTracked, matchFailurePolicy } from './job-pods.ts';
import type { JobView } from './job-view.ts';

type Status = NonNullable<Job['status']>;
type Condition = NonNullable<Status['conditions']>[number];

/** UIDs in `status.uncountedTerminatedPods`, at most. */
const MOST_UNCOUNTED = 500;

/** Notes the pods that have ended and are not counted yet, each once. Changes `plan` and its status. */
export function track(view: JobView, outcome: Ending | undefined, plan: JobPlan): void {
  const { job, pods, indexed, completions } = view;
  const { status } = plan;
  const tracked = new Set(pods.filter(isTracked).map(({ metadata }) => metadata.uid));
  settleUncounted(status, tracked);
  const succeeded = status.uncountedTerminatedPods?.succeeded ?? [];
  const failed = status.uncountedTerminatedPods?.failed ?? [];
  const known = { succeeded: new Set(succeeded), failed: new Set(failed) };
  const forgotten = plan.forgets ? new Set(plan.remove) : new Set<Pod>();
  const hasFailed = outcome?.interim === 'FailureTarget';
  for (const pod of pods) {
    if (!tracked.has(pod.metadata.uid) || forgotten.has(pod)) continue;
    const { uid } = pod.metadata;
    const index = indexed ? indexOf(pod, completions) : undefined;
    const isOver = pod.status?.phase === 'Succeeded' || job.metadata.deletionTimestamp !== undefined || outcome !== undefined;
    // An index's last failed pod stays until the next one has taken over its count.
    if (!isOver && (!isPodFailed(pod, job) || (index !== undefined && view.replaceable.get(index) === pod))) continue;
    plan.release.push(pod);
    if (pod.status?.phase === 'Succeeded' && !known.failed.has(uid)) {
      if (!indexed && !known.succeeded.has(uid)) succeeded.push(uid);
    } else if (isPodFailed(pod, job) || hasFailed) {
      const counts = matchFailurePolicy(job, pod)?.action !== 'Ignore';
      if (counts && !known.failed.has(uid) && (!indexed || index !== undefined)) failed.push(uid);
    }
    if (succeeded.length + failed.length >= MOST_UNCOUNTED) break;
  }
  status.uncountedTerminatedPods = {
    ...(succeeded.length > 0 ? { succeeded } : {}),
    ...(failed.length > 0 ? { failed } : {}),
  };
  if (!indexed) return;
  status.succeeded = countIndexes(view.succeededIndexes);
  status.completedIndexes = formatIndexes(view.succeededIndexes);
  if (view.failedIndexes) status.failedIndexes = formatIndexes(view.failedIndexes);
}

/** Moves to the counters what is uncounted and has no finalizer any more. Changes `status`. */
export function settleUncounted(status: Status, tracked: ReadonlySet<string>): void {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const left = { succeeded: succeeded.filter(uid => tracked.has(uid)), failed: failed.filter(uid => tracked.has(uid)) };
  status.succeeded = (status.succeeded ?? 0) + succeeded.length - left.succeeded.length;
  status.failed = (status.failed ?? 0) + failed.length - left.failed.length;
  status.uncountedTerminatedPods = {
    ...(left.succeeded.length > 0 ? { succeeded: left.succeeded } : {}),
    ...(left.failed.length > 0 ? { failed: left.failed } : {}),
  };
}

/** The last word, once nothing is uncounted and no pod is left ending; false while it must wait. Changes `status`. */
export function finishJob(status: Status, { type, reason, message }: NonNullable<JobPlan['verdict']>, nowMs: number): boolean {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  if (succeeded.length + failed.length > 0 || (status.terminating ?? 0) > 0) return false;
  setJobCondition(status, { type, status: 'True', reason, message }, nowMs);
  if (type === 'Complete') status.completionTime = toTime(nowMs);
  return true;
}

/** Puts the condition in its place; its times move when anything of it does. Changes `status`. */
export function setJobCondition(status: Status, condition: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>, nowMs: number): void {
  const present = status.conditions?.find(({ type }) => type === condition.type);
  if (present && present.status === condition.status && present.reason === condition.reason && present.message === condition.message)
    return;
  const next = { ...condition, lastProbeTime: toTime(nowMs), lastTransitionTime: toTime(nowMs) };
  status.conditions = [...(status.conditions ?? []).filter(each => each !== present), next];
}
