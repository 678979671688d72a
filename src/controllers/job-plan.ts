import { toTime } from '#base/index.ts';
import type { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { countCommon, countIndexes, parseIndexes } from './job-indexes.ts';
import { isPodFailed, matchFailurePolicy } from './job-pods.ts';
import { comeAgain, planPods } from './job-pods-plan.ts';
import { setJobCondition, track } from './job-tracking.ts';
import { type JobPicture, type JobView, viewJob } from './job-view.ts';

type Status = NonNullable<Job['status']>;

/** The next steps of a Job, and what its status must say before they are taken. */
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

/** The decision, as the condition says it that comes before the last word. */
export interface Ending {
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

/** Says the decision before any finalizer goes. Changes `plan`. */
function conclude({ interim, reason, message }: Ending, plan: JobPlan, nowMs: number): void {
  setJobCondition(plan.status, { type: interim, status: 'True', reason, message }, nowMs);
  plan.verdict = { type: interim === 'FailureTarget' ? 'Failed' : 'Complete', reason, message };
}
