import type { Pod } from '#kinds/pod.ts';
import { isPodTerminal } from '#kinds/pod-template.ts';
import { addIndexes, freeIndexes, hasIndex } from './job-indexes.ts';
import type { JobPlan } from './job-plan.ts';
import { failureCounts, finishedAtMs, indexOf, isPodFailed, matchFailurePolicy, replacesOnlyFailed } from './job-pods.ts';
import type { JobView } from './job-view.ts';
import { planRemovals } from './pods.ts';

/** Pods made or removed in one reconcile, at most. */
const BURST = 500;
const FIRST_BACKOFF_MS = 10_000;
const LAST_BACKOFF_MS = 600_000;

/** Too many, too few, or none while suspended. Changes `plan`. */
export function planPods(view: JobView, plan: JobPlan, nowMs: number): void {
  const { job, active, succeeded, terminating } = view;
  if (job.spec.suspend) {
    plan.remove = active.slice(0, BURST);
    plan.forgets = true;
    return;
  }
  const { parallelism = 1, completions } = job.spec;
  const wanted =
    completions === undefined ? (succeeded > 0 ? active.length : parallelism) : Math.max(0, Math.min(parallelism, completions - succeeded));
  const misplaced = view.indexed ? misplacedPods(view, nowMs) : [];
  const rest = active.filter(pod => !misplaced.includes(pod));
  const surplus = planRemovals(rest, active.length - wanted - misplaced.length, nowMs);
  plan.remove = [...misplaced, ...surplus].slice(0, BURST);
  plan.forgets = true;
  if (plan.remove.length > 0) return;
  const missing = Math.min(BURST, wanted - active.length - (replacesOnlyFailed(job) ? terminating : 0));
  if (missing <= 0) return;
  if (view.failedIndexes) {
    planIndependentIndexes(view, missing, plan, nowMs);
    return;
  }
  const waitMs = backoffLeftMs(view, nowMs);
  if (waitMs > 0) {
    comeAgain(plan, waitMs);
    return;
  }
  const indexes = view.indexed ? pendingIndexes(view, missing) : undefined;
  plan.create = indexes ? indexes.map(index => ({ index })) : Array.from({ length: missing }, () => ({}));
}

/** Each index fails, waits and is tried again by itself. */
function planIndependentIndexes(view: JobView, missing: number, plan: JobPlan, nowMs: number): void {
  for (const index of pendingIndexes(view, missing)) {
    const last = view.replaceable.get(index);
    if (!last) {
      plan.create.push({ index, failures: { counted: 0, ignored: 0 } });
      continue;
    }
    const before = failureCounts(last);
    const waitMs = pauseMs(before.counted + before.ignored + 1) - (nowMs - finishedAtMs(last));
    if (waitMs > 0) {
      comeAgain(plan, waitMs);
      continue;
    }
    const ignored = matchFailurePolicy(view.job, last)?.action === 'Ignore';
    plan.create.push({ index, failures: { counted: before.counted + (ignored ? 0 : 1), ignored: before.ignored + (ignored ? 1 : 0) } });
  }
}

function pendingIndexes({ job, pods, active, completions, succeededIndexes, failedIndexes = [] }: JobView, count: number): number[] {
  const busy = replacesOnlyFailed(job) ? pods.filter(pod => !isPodTerminal(pod)) : active;
  const indexes = busy.map(pod => indexOf(pod, completions)).filter(index => index !== undefined);
  let taken = addIndexes(succeededIndexes, indexes);
  for (const [first, last] of failedIndexes)
    taken = addIndexes(
      taken,
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
  return freeIndexes(count, completions, taken);
}

/** Live pods without an index of the Job's, and the less missed ones of an index that has several. */
function misplacedPods({ active, completions, succeededIndexes }: JobView, nowMs: number): Pod[] {
  const seen = new Set<number>();
  const misplaced: Pod[] = [];
  for (const pod of planRemovals(active, active.length, nowMs).reverse()) {
    const index = indexOf(pod, completions);
    if (index === undefined || seen.has(index) || hasIndex(succeededIndexes, index)) misplaced.push(pod);
    else seen.add(index);
  }
  return misplaced;
}

/** 10 s, 20 s, 40 s, … for as many pods as have failed since the last that succeeded. */
function backoffLeftMs({ job, pods }: JobView, nowMs: number): number {
  const latest = (times: readonly number[]) => times.reduce((last, at) => Math.max(last, at), Number.NEGATIVE_INFINITY);
  const succeededAt = latest(pods.filter(({ status }) => status?.phase === 'Succeeded').map(finishedAtMs));
  const failures = pods
    .filter(pod => isPodFailed(pod, job))
    .map(finishedAtMs)
    .filter(at => at > succeededAt);
  if (failures.length === 0) return 0;
  return Math.max(0, pauseMs(failures.length) - (nowMs - latest(failures)));
}

function pauseMs(failures: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), LAST_BACKOFF_MS);
}

/** Looks again after this, unless it does so earlier. Changes `plan`. */
export function comeAgain(plan: JobPlan, inMs: number): void {
  plan.againInMs = Math.min(plan.againInMs ?? inMs, inMs);
}
