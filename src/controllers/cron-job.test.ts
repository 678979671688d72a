import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, toTime } from '#base/index.ts';
import { CronJob } from '#kinds/cron-job.ts';
import { Event } from '#kinds/event.ts';
import { Job } from '#kinds/job.ts';
import type { Draft } from '#kinds/kind.ts';
import { parseSchedule } from '#kinds/schedule.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { jobNameOf, planCleanup, planDue, zonedTime } from './cron-job-plan.ts';

const NAMESPACE = 'default';
const START = Date.parse('2026-01-01T00:00:30Z');
const MINUTE = 60_000;

function cronJob(name: string, spec: Partial<CronJob['spec']> = {}): Draft<CronJob> {
  // The test ends the Jobs itself.
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } };
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name, namespace: NAMESPACE },
    spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { managedBy: 'example.com/test', template } }, ...spec },
  };
}

function planned(spec: Partial<CronJob['spec']>, status: CronJob['status'], now: string) {
  const { schedule } = parseSchedule(spec.schedule ?? '*/5 * * * *');
  assert.ok(schedule);
  const of = { ...cronJob('a', spec), metadata: { name: 'a', creationTimestamp: '2026-01-01T00:00:30Z' }, status } as CronJob;
  const { atMs, nextMs, missedMany } = planDue(of, schedule, Date.parse(now));
  return [atMs === undefined ? undefined : toTime(atMs), nextMs === undefined ? undefined : toTime(nextMs), missedMany];
}

test('which start is due', () => {
  const last = { lastScheduleTime: '2026-01-01T00:10:00Z' };
  assert.deepEqual(planned({}, {}, '2026-01-01T00:04:59Z'), [undefined, '2026-01-01T00:05:00Z', false]);
  assert.deepEqual(planned({}, {}, '2026-01-01T00:05:00Z'), ['2026-01-01T00:05:00Z', '2026-01-01T00:10:00Z', false]);
  assert.deepEqual(planned({}, last, '2026-01-01T00:14:00Z'), [undefined, '2026-01-01T00:15:00Z', false]);
  assert.deepEqual(planned({}, last, '2026-01-01T00:31:00Z'), ['2026-01-01T00:30:00Z', '2026-01-01T00:35:00Z', false]);
  assert.deepEqual(planned({}, last, '2026-01-02T00:00:00Z'), ['2026-01-02T00:00:00Z', '2026-01-02T00:05:00Z', true]);
  const deadline = { startingDeadlineSeconds: 60 };
  assert.deepEqual(planned(deadline, last, '2026-01-02T00:03:00Z'), [undefined, '2026-01-02T00:05:00Z', false]);
  assert.deepEqual(planned({ schedule: '0 12 * * 1' }, {}, '2026-02-10T00:00:00Z'), [
    '2026-02-09T12:00:00Z',
    '2026-02-16T12:00:00Z',
    false,
  ]);
  assert.deepEqual(planned({ schedule: '0 0 30 2 *' }, {}, '2026-02-10T00:00:00Z'), [undefined, undefined, false]);
});

test('the history keeps the youngest of each kind', () => {
  const ended = (name: string, type: string, minute: number) =>
    ({ metadata: { name }, status: { startTime: `2026-01-01T00:0${minute}:00Z`, conditions: [{ type, status: 'True' }] } }) as Job;
  const jobs = [ended('b', 'Complete', 2), ended('a', 'Complete', 1), ended('c', 'Failed', 3), ended('d', 'Complete', 4)];
  const of = cronJob('a', { successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0 }) as CronJob;
  assert.deepEqual(
    planCleanup(of, jobs).map(({ metadata }) => metadata.name),
    ['a', 'b', 'c'],
  );
});

test('a moment as a clock in a zone shows it', () => {
  assert.equal(zonedTime(START), '2026-01-01T00:00:30Z');
  assert.equal(zonedTime(START, 'Europe/Zurich'), '2026-01-01T01:00:30+01:00');
  assert.equal(zonedTime(START, 'America/St_Johns'), '2025-12-31T20:30:30-03:30');
});

test('CronJobs', { timeout: 60_000 }, async t => {
  const clock = new ManualClock(START);
  await using plane = await ControlPlane.start({ nodes: 0, clock, also: [CronJob, Job] });
  const { client, cluster } = plane;
  const jobsOf = (view: View, name: string) =>
    view
      .list(Job, NAMESPACE)
      .filter(({ metadata }) => metadata.ownerReferences?.[0]?.name === name)
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const get = (view: View, name: string) => view.get(CronJob, { namespace: NAMESPACE, name });
  const end = async (job: Job | undefined, type: 'Complete' | 'Failed') => {
    assert.ok(job);
    const now = toTime(clock.now());
    const conditions = [{ type, status: 'True', lastTransitionTime: now, lastProbeTime: now }];
    const status = { startTime: job.metadata.creationTimestamp, conditions, ...(type === 'Complete' ? { completionTime: now } : {}) };
    await client.patch(Job, job.metadata, { status }, { type: 'merge', subresource: 'status' });
  };
  /** Lets time pass once the controller has set its timer for it. */
  const advanceUntil = async (what: string, isSo: (view: View) => boolean) => {
    const tick = setInterval(() => clock.advance(20_000), 20);
    try {
      await plane.until(what, isSo, 10_000);
    } finally {
      clearInterval(tick);
    }
  };

  await t.test('a Job at each time, named after it; status, history, last success', async () => {
    await client.create(CronJob, cronJob('tick', { successfulJobsHistoryLimit: 1 }));
    await advanceUntil('the first', view => jobsOf(view, 'tick').length === 1 && get(view, 'tick')?.status?.active?.length === 1);
    const [first] = jobsOf(plane.view, 'tick');
    const at = Date.parse(get(plane.view, 'tick')?.status?.lastScheduleTime ?? '');
    assert.equal(at % (5 * MINUTE), 0);
    assert.equal(first?.metadata.name, jobNameOf(get(plane.view, 'tick')!, at));
    assert.equal(first?.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'], toTime(at));
    await end(first, 'Complete');
    await plane.until(
      'it is not active',
      view => !get(view, 'tick')?.status?.active?.length && get(view, 'tick')?.status?.lastSuccessfulTime !== undefined,
    );
    await advanceUntil('the second', view => jobsOf(view, 'tick').length === 2);
    await end(jobsOf(plane.view, 'tick')[1], 'Complete');
    await plane.until(
      'the first is cleaned away',
      view => !jobsOf(view, 'tick').some(({ metadata }) => metadata.name === first?.metadata.name),
    );
    assert.match((await cluster.kubectl('get', 'cronjob', 'tick')).stdout, /\*\/5 \* \* \* \*\s+<none>\s+False/);
  });

  await t.test('Forbid waits for the one before, Replace ends it', async () => {
    await client.delete(CronJob, { namespace: NAMESPACE, name: 'tick' });
    await client.create(CronJob, cronJob('forbid', { concurrencyPolicy: 'Forbid' }));
    await client.create(CronJob, cronJob('replace', { concurrencyPolicy: 'Replace' }));
    await advanceUntil('both have one', view => jobsOf(view, 'forbid').length === 1 && jobsOf(view, 'replace').length === 1);
    const [forbidden] = jobsOf(plane.view, 'forbid');
    const [replaced] = jobsOf(plane.view, 'replace');
    await advanceUntil('replaced', view => {
      const [only, ...more] = jobsOf(view, 'replace');
      return more.length === 0 && only !== undefined && only.metadata.uid !== replaced?.metadata.uid;
    });
    await plane.until('it says why', view => view.list(Event, NAMESPACE).some(({ reason }) => reason === 'JobAlreadyActive'));
    assert.deepEqual(
      jobsOf(plane.view, 'forbid').map(({ metadata }) => metadata.uid),
      [forbidden?.metadata.uid],
    );
    await end(forbidden, 'Failed');
    await plane.until('the missed one starts', view => jobsOf(view, 'forbid').some(job => job.metadata.uid !== forbidden?.metadata.uid));
  });

  await t.test('suspended: nothing starts', async () => {
    for (const name of ['forbid', 'replace']) await client.delete(CronJob, { namespace: NAMESPACE, name });
    await client.create(CronJob, cronJob('asleep', { suspend: true }));
    await client.create(CronJob, cronJob('awake'));
    await advanceUntil('the other starts', view => jobsOf(view, 'awake').length > 0);
    assert.equal(jobsOf(plane.view, 'asleep').length, 0);
    await cluster.kubectl('create', 'job', 'by-hand', '--from=cronjob/asleep');
  });

  await t.test('a finished Job goes after ttlSecondsAfterFinished', async () => {
    const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } };
    const spec = { managedBy: 'example.com/test', ttlSecondsAfterFinished: 600, template };
    await client.create(Job, { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'brief', namespace: NAMESPACE }, spec });
    await plane.until('it is there', view => view.get(Job, { namespace: NAMESPACE, name: 'brief' }) !== undefined);
    await end(plane.view.get(Job, { namespace: NAMESPACE, name: 'brief' }), 'Complete');
    const finishedAt = clock.now();
    await advanceUntil('it is gone', view => view.get(Job, { namespace: NAMESPACE, name: 'brief' }) === undefined);
    assert.ok(clock.now() - finishedAt >= 600_000);
  });
});
