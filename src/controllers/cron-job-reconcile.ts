import { messageOf, toTime } from '#base/index.ts';
import { controllerOf, done, isNamespaceEnding, type Outcome, type Reconciling } from '#client/index.ts';
import { CronJob } from '#kinds/cron-job.ts';
import { Job } from '#kinds/job.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import { isTimeZone, parseSchedule } from '#kinds/schedule.ts';
import type { ObjectReference } from '#kinds/types.gen.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { ownerReferenceTo } from './claim.ts';
import { type Due, endOf, isTooLate, jobNameOf, planCleanup, planDue, zonedTime } from './cron-job-plan.ts';
import { isSameStatus } from './status.ts';

type Status = NonNullable<CronJob['status']>;

const SCHEDULED_AT = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** A little after the time itself, so that it has passed on every clock. */
const AFTER_MS = 100;

/** One look at a CronJob: what has ended, what is due, what is too old. */
export async function reconcileCronJob(key: Key, context: Reconciling): Promise<Outcome> {
  const { client, clock } = context;
  const cronJob = await client.get(CronJob, key);
  if (!cronJob) return done;
  const jobs = client.listOwned(Job, cronJob);
  const status = followJobs(cronJob, jobs, context);
  const outcome = cronJob.metadata.deletionTimestamp ? done : await startDue(cronJob, status, clock.now(), context);
  if (!isSameStatus(cronJob.status, status)) await ignoreAbsent(client.updateStatus(CronJob, { ...cronJob, status }));
  for (const old of planCleanup(cronJob, jobs)) await removeJob(cronJob, old.metadata, context);
  return outcome;
}

/** The status with what its Jobs have become. */
function followJobs(cronJob: CronJob, jobs: readonly Job[], { events }: Reconciling): Status {
  const { lastSuccessfulTime, ...before } = structuredClone(cronJob.status ?? {});
  const known = new Set(before.active?.map(({ uid }) => uid));
  let successful = lastSuccessfulTime;
  for (const job of jobs) {
    const { name, uid } = job.metadata;
    const end = endOf(job);
    if (!end && !known.has(uid) && !job.metadata.deletionTimestamp)
      events.warning(cronJob, 'UnexpectedJob', `Saw a job that the controller did not create or forgot: ${name}`);
    if (end && known.has(uid)) events.normal(cronJob, 'SawCompletedJob', `Saw completed job: ${name}, condition: ${end}`);
    const at = job.status?.completionTime;
    if (end === 'Complete' && at && (!successful || at > successful)) successful = at;
  }
  const present = new Map(jobs.map(job => [job.metadata.uid, job]));
  const active = (before.active ?? []).filter(({ uid = '', name }) => {
    const job = present.get(uid);
    if (!job) events.normal(cronJob, 'MissingJob', `Active job went missing: ${name}`);
    return job && !endOf(job);
  });
  return { ...before, active, ...(successful ? { lastSuccessfulTime: successful } : {}) };
}

/** Starts the Job that is due, if one is; changes `status`. Returns when to look again. */
async function startDue(cronJob: CronJob, status: Status, nowMs: number, context: Reconciling): Promise<Outcome> {
  const { events } = context;
  const { spec } = cronJob;
  const { schedule, problem } = parseSchedule(spec.schedule);
  if (!schedule) events.warning(cronJob, 'UnparseableSchedule', `unparseable schedule ${JSON.stringify(spec.schedule)}: ${problem}`);
  if (spec.timeZone !== undefined && !isTimeZone(spec.timeZone)) {
    events.warning(cronJob, 'UnknownTimeZone', `invalid timeZone: ${JSON.stringify(spec.timeZone)}: unknown time zone ${spec.timeZone}`);
    return done;
  }
  if (!schedule || spec.suspend) return done;
  const due = planDue(cronJob, schedule, nowMs);
  if (due.missedMany) {
    const advice = 'Set or decrease .spec.startingDeadlineSeconds or check clock skew';
    events.warning(cronJob, 'TooManyMissedTimes', `too many missed start times. ${advice}`);
  }
  if (due.atMs !== undefined) await start(cronJob, status, due.atMs, nowMs, context);
  return againAt(due, nowMs);
}

async function start(cronJob: CronJob, status: Status, atMs: number, nowMs: number, context: Reconciling): Promise<void> {
  const { events } = context;
  const { concurrencyPolicy } = cronJob.spec;
  if (isTooLate(cronJob, atMs, nowMs)) {
    events.warning(cronJob, 'MissSchedule', `Missed scheduled time to start a job: ${zonedTime(atMs)}`);
    return;
  }
  const draft = jobOf(cronJob, atMs);
  const active = status.active ?? [];
  if (active.some(({ name }) => name === draft.metadata.name)) return;
  if (concurrencyPolicy === 'Forbid' && active.length > 0) {
    events.normal(cronJob, 'JobAlreadyActive', 'Not starting job because prior execution is running and concurrency policy is Forbid');
    return;
  }
  if (concurrencyPolicy === 'Replace') {
    for (const { name = '', uid } of active) await removeJob(cronJob, { namespace: cronJob.metadata.namespace, name, uid }, context);
    status.active = [];
  }
  const job = await createJob(cronJob, draft, context);
  if (!job) return;
  status.lastScheduleTime = toTime(atMs);
  if (!endOf(job)) status.active = [...(status.active ?? []), referenceTo(job)];
}

/** The Job of that start: made now, or by a process that ended before it could say so. Undefined when a foreign one has its name. */
async function createJob(cronJob: CronJob, draft: Draft<Job>, { client, events }: Reconciling): Promise<Job | undefined> {
  try {
    const made = await ignorePresent(client.create(Job, draft));
    if (made) {
      events.normal(cronJob, 'SuccessfulCreate', `Created job ${made.metadata.name}`);
      return made;
    }
  } catch (error) {
    if (!isNamespaceEnding(error)) events.warning(cronJob, 'FailedCreate', `Error creating job: ${messageOf(error)}`);
    throw error;
  }
  const present = await client.getLive(Job, { namespace: cronJob.metadata.namespace, name: draft.metadata.name ?? '' });
  if (present && controllerOf(present)?.uid === cronJob.metadata.uid) return present;
  events.warning(
    cronJob,
    'FailedCreate',
    `Error creating job: job ${draft.metadata.name} already exists and is not controlled by this CronJob`,
  );
  return undefined;
}

function jobOf(cronJob: CronJob, atMs: number): Draft<Job> {
  const { metadata, spec } = cronJob.spec.jobTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobNameOf(cronJob, atMs),
      ...(cronJob.metadata.namespace ? { namespace: cronJob.metadata.namespace } : {}),
      labels: { ...metadata?.labels },
      annotations: { ...metadata?.annotations, [SCHEDULED_AT]: zonedTime(atMs, cronJob.spec.timeZone) },
      ownerReferences: [ownerReferenceTo(CronJob, cronJob)],
    },
    spec: structuredClone(spec),
  };
}

function referenceTo({ metadata: { name, namespace, uid, resourceVersion } }: Job): ObjectReference {
  return { apiVersion: 'batch/v1', kind: 'Job', name, ...(namespace ? { namespace } : {}), uid, resourceVersion };
}

async function removeJob(
  cronJob: CronJob,
  { namespace, name, uid }: { namespace?: string | undefined; name: string; uid?: string | undefined },
  { client, events }: Reconciling,
): Promise<void> {
  const preconditions = uid === undefined ? {} : { preconditions: { uid } };
  await ignoreAbsent(client.delete(Job, { namespace, name }, { propagationPolicy: 'Background', ...preconditions }));
  events.normal(cronJob, 'SuccessfulDelete', `Deleted job ${name}`);
}

function againAt({ nextMs }: Due, nowMs: number): Outcome {
  return nextMs === undefined ? done : { againInMs: Math.max(0, nextMs - nowMs) + AFTER_MS };
}
