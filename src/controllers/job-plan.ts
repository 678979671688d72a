import { toTime } from '#base/index.ts';
import type { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { addIndexes, countCommon, countIndexes, formatIndexes, freeIndexes, hasIndex, parseIndexes } from './job-indexes.ts';
import { failureCounts, finishedAtMs, indexOf, isPodFailed, isTracked, matchFailurePolicy, replacesOnlyFailed } from './job-pods.ts';
import { type JobPicture, type JobView, viewJob } from './job-view.ts';
import { planRemovals } from './pods.ts';

/** Pods made or removed in one reconcile, at most. */
const BURST = 500;
/** UIDs in `status.uncountedTerminatedPods`, at most. */
const MOST_UNCOUNTED = 500;
const FIRST_BACKOFF_MS = 10_000;
const LAST_BACKOFF_MS = 600_000;

type Status = NonNullable<Job['status']>;
export type JobCondition = NonNullable<Status['conditions']>[number];

export interface JobPlan {
  /** Pods to make; those of Indexed Jobs with their index and the failures of the index until now. */
  create: { index?: number; failures?: { counted: number; ignored: number } }[];
  /** Pods to delete. */
  remove: Pod[];
  /** True when those count as never run: their finalizer goes before they do. */
  forgets: boolean;
  /** Pods whose end is in `status` once it is written: then their finalizer goes. */
  release: Pod[];
  /** What must be written before any finalizer goes: newly ended pods as uncounted, interim conditions. */
  status: Status;
  /** The Job is decided so; it is over when nothing is uncounted and no pod is left ending. */
  verdict?: { type: 'Complete' | 'Failed'; reason: string; message: string };
  said: { type: 'normal' | 'warning'; reason: string; message: string }[];
  againInMs?: number;
}

/** What to do for a Job now: pods, counts, conditions. Pure. */
export function planJob(picture: JobPicture): JobPlan {
  const { job, nowMs } = picture;
  const view = viewJob(picture);
  const status: Status = structuredClone(job.status ?? {});
  const plan: JobPlan = { create: [], remove: [], forgets: false, release: [], status, said: [] };
  const suspended = job.spec.suspend === true;
  if (!status.startTime && !suspended) status.startTime = toTime(nowMs);
  const ending = decide(view, status, plan, nowMs);
  const completions = job.spec.completions;
  let outcome: Ending | undefined = ending;
  if (ending) plan.remove = [...view.active];
  else {
    if (!job.metadata.deletionTimestamp) planPods(view, plan, nowMs);
    const left = view.active.length - plan.remove.length + plan.create.length;
    const reached = completions === undefined ? view.succeeded > 0 : view.succeeded >= completions;
    if (reached && left === 0) outcome = success();
    else if (!job.metadata.deletionTimestamp) sayWhetherSuspended(suspended, plan, nowMs);
  }
  const removed = new Set(plan.remove);
  status.active = view.active.length - removed.size;
  status.ready = view.active.filter(pod => isPodReady(pod) && !removed.has(pod)).length;
  status.terminating = view.terminating + removed.size;
  track(view, outcome, plan);
  if (outcome) conclude(outcome, plan, nowMs);
  return plan;
}

interface Ending {
  interim: 'FailureTarget' | 'SuccessCriteriaMet';
  reason: string;
  message: string;
}

function success(): Ending {
  return { interim: 'SuccessCriteriaMet', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' };
}

/** Whether the Job is over already, by what was said before or by the rules; in upstream's order. */
function decide(view: JobView, status: Status, plan: JobPlan, nowMs: number): Ending | undefined {
  const { job, pods } = view;
  for (const interim of ['SuccessCriteriaMet', 'FailureTarget'] as const) {
    const said = status.conditions?.find(({ type, status: value }) => type === interim && value === 'True');
    if (said) return { interim, reason: said.reason ?? '', message: said.message ?? '' };
  }
  const fail = (reason: string, message: string): Ending => ({ interim: 'FailureTarget', reason, message });
  for (const pod of pods) {
    const match = isPodFailed(pod, job) ? matchFailurePolicy(job, pod) : undefined;
    if (match?.action === 'FailJob') return fail('PodFailurePolicy', match.message ?? '');
  }
  if (view.failed > (job.spec.backoffLimit ?? 6) || hasRestartedTooOften(view))
    return fail('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  if (job.spec.activeDeadlineSeconds !== undefined && !job.spec.suspend && status.startTime) {
    const leftMs = Date.parse(status.startTime) + job.spec.activeDeadlineSeconds * 1000 - nowMs;
    if (leftMs <= 0) return fail('DeadlineExceeded', 'Job was active longer than specified deadline');
    comeAgain(plan, leftMs);
  }
  return view.indexed ? decideByIndexes(view, fail) : undefined;
}

function decideByIndexes(
  { job, completions, succeededIndexes, failedIndexes }: JobView,
  fail: (reason: string, message: string) => Ending,
) {
  if (failedIndexes) {
    const failed = countIndexes(failedIndexes);
    if (job.spec.maxFailedIndexes !== undefined && failed > job.spec.maxFailedIndexes)
      return fail('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
    if (failed > 0 && failed + countIndexes(succeededIndexes) >= completions) return fail('FailedIndexes', 'Job has failed indexes');
  }
  const rules = countIndexes(succeededIndexes) > 0 ? (job.spec.successPolicy?.rules ?? []) : [];
  const met = rules.findIndex(({ succeededIndexes: wanted, succeededCount }) => {
    if (wanted === undefined) return succeededCount !== undefined && countIndexes(succeededIndexes) >= succeededCount;
    const rule = parseIndexes(wanted, completions);
    const common = countCommon(rule, succeededIndexes);
    return rule.length > 0 && (common === countIndexes(rule) || (succeededCount !== undefined && common >= succeededCount));
  });
  if (met < 0) return undefined;
  return { interim: 'SuccessCriteriaMet' as const, reason: 'SuccessPolicy', message: `Matched rules at index ${met}` };
}

/** Restarts inside of pods with `OnFailure` count against `backoffLimit` too. */
function hasRestartedTooOften({ job, pods }: JobView): boolean {
  if (job.spec.template.spec.restartPolicy !== 'OnFailure') return false;
  const limit = job.spec.backoffLimit ?? 6;
  const live = pods.filter(pod => !isPodTerminal(pod));
  const all = live.flatMap(({ status }) => [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]);
  const restarts = all.reduce((sum, { restartCount }) => sum + restartCount, 0);
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

/** Too many, too few, or none while suspended. */
function planPods(view: JobView, plan: JobPlan, nowMs: number): void {
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

function sayWhetherSuspended(suspended: boolean, plan: JobPlan, nowMs: number): void {
  const { status, said } = plan;
  const before = status.conditions?.find(({ type }) => type === 'Suspended');
  if (suspended ? before?.status === 'True' : before?.status !== 'True') return;
  const reason = suspended ? 'JobSuspended' : 'JobResumed';
  const message = suspended ? 'Job suspended' : 'Job resumed';
  setJobCondition(status, { type: 'Suspended', status: suspended ? 'True' : 'False', reason, message }, nowMs);
  said.push({ type: 'normal', reason: suspended ? 'Suspended' : 'Resumed', message });
  // The deadline counts the time that the Job is continuously active.
  if (!suspended) status.startTime = toTime(nowMs);
}

/** Notes the pods that have ended and are not counted yet, each once. */
function track(view: JobView, outcome: Ending | undefined, plan: JobPlan): void {
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

/** Says the decision before any finalizer goes. */
function conclude({ interim, reason, message }: Ending, plan: JobPlan, nowMs: number): void {
  setJobCondition(plan.status, { type: interim, status: 'True', reason, message }, nowMs);
  plan.verdict = { type: interim === 'FailureTarget' ? 'Failed' : 'Complete', reason, message };
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

function setJobCondition(status: Status, condition: Pick<JobCondition, 'type' | 'status' | 'reason' | 'message'>, nowMs: number): void {
  const present = status.conditions?.find(({ type }) => type === condition.type);
  if (present && present.status === condition.status && present.reason === condition.reason && present.message === condition.message)
    return;
  const next = { ...condition, lastProbeTime: toTime(nowMs), lastTransitionTime: toTime(nowMs) };
  status.conditions = [...(status.conditions ?? []).filter(each => each !== present), next];
}

function comeAgain(plan: JobPlan, inMs: number): void {
  plan.againInMs = Math.min(plan.againInMs ?? inMs, inMs);
}
