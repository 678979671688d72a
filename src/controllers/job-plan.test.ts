import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import { addIndexes, countCommon, countIndexes, formatIndexes, freeIndexes, hasIndex, parseIndexes } from './job-indexes.ts';
import { planJob } from './job-plan.ts';
import { TRACKING } from './job-pods.ts';
import { finishJob, settleUncounted } from './job-tracking.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');

function jobWith(spec: object, status: Job['status'] = {}): Job {
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } };
  const metadata = { name: 'a', namespace: 'n', uid: 'job', creationTimestamp: '2026-01-01T00:00:00Z' };
  const job = made<Job>(Job, { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: { ...spec, template } });
  return { ...job, status: { startTime: '2026-01-01T00:00:00Z', ...status } };
}

interface PodWords {
  phase?: string;
  index?: number;
  failures?: number;
  exitCode?: number;
  ago?: number;
  going?: boolean;
  counted?: boolean;
}

let serial = 0;

/** `ago`: seconds since it ended. */
function pod({ phase = 'Running', index, failures, exitCode = 0, ago = 3_600, going = false, counted = false }: PodWords = {}): Pod {
  const uid = `pod-${serial++}`;
  const finishedAt = new Date(NOW - ago * 1_000).toISOString();
  const isOver = phase === 'Failed' || phase === 'Succeeded';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: uid,
      namespace: 'n',
      uid,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...(going ? { deletionTimestamp: '2026-01-01T01:00:00Z' } : {}),
      ...(counted ? {} : { finalizers: [TRACKING] }),
      annotations: {
        ...(index === undefined ? {} : { 'batch.kubernetes.io/job-completion-index': String(index) }),
        ...(failures === undefined ? {} : { 'batch.kubernetes.io/job-index-failure-count': String(failures) }),
      },
    },
    spec: { containers: [{ name: 'c' }] },
    status: {
      phase,
      ...(isOver ? { containerStatuses: [{ name: 'c', state: { terminated: { exitCode, finishedAt } } }] } : {}),
    } as Pod['status'],
  };
}

const plan = (job: Job, ...pods: Pod[]) => planJob({ job, pods, nowMs: NOW });
const interimOf = ({ status }: { status: NonNullable<Job['status']> }) =>
  status.conditions
    ?.filter(({ status: value }) => value === 'True')
    .map(({ type, reason }) => `${type}:${reason}`)
    .join();
const counts = ({ create, remove, release }: ReturnType<typeof plan>) => [create.length, remove.length, release.length];

test('indexes in compressed form', () => {
  const some = parseIndexes('1,3-5,7,9-20', 11);
  assert.deepEqual(some, [
    [1, 1],
    [3, 5],
    [7, 7],
    [9, 10],
  ]);
  assert.equal(formatIndexes(some), '1,3-5,7,9,10');
  assert.equal(countIndexes(some), 7);
  assert.deepEqual(
    [0, 1, 2, 4, 8, 10, 11].map(index => hasIndex(some, index)),
    [false, true, false, true, false, true, false],
  );
  assert.equal(formatIndexes(addIndexes(some, [2, 0, 8, 8])), '0-5,7-10');
  assert.deepEqual(freeIndexes(3, 11, some), [0, 2, 6]);
  assert.deepEqual(freeIndexes(9, 4, []), [0, 1, 2, 3]);
  assert.equal(countCommon(parseIndexes('0-4,8', 10), parseIndexes('3-9', 10)), 3);
  assert.deepEqual(parseIndexes('x,,5-2,-1', 10), []);
});

test('how many pods a Job gets', () => {
  assert.deepEqual(counts(plan(jobWith({ completions: 5, parallelism: 3 }))), [3, 0, 0]);
  assert.deepEqual(counts(plan(jobWith({ completions: 5, parallelism: 3 }, { succeeded: 4 }))), [1, 0, 0]);
  assert.deepEqual(counts(plan(jobWith({ completions: 5, parallelism: 1 }), pod(), pod(), pod())), [0, 2, 0]);
  assert.deepEqual(
    counts(plan(jobWith({ parallelism: 2 }), pod(), pod({ phase: 'Succeeded' }))),
    [0, 0, 1],
    'a work queue: one success ends it',
  );
  assert.deepEqual(counts(plan(jobWith({ suspend: true }), pod())), [0, 1, 0]);
  const misplaced = plan(
    jobWith({ completions: 2, parallelism: 2, completionMode: 'Indexed' }),
    pod({ index: 0 }),
    pod({ index: 0 }),
    pod(),
  );
  assert.equal(misplaced.remove.length, 2, 'an index twice, and none');
  assert.equal(plan(jobWith({ podReplacementPolicy: 'Failed' }), pod({ going: true })).create.length, 0);
  assert.equal(plan(jobWith({}), pod({ going: true })).create.length, 0, 'a failure a moment ago waits');
});

test('back-off doubles from ten seconds to ten minutes', () => {
  for (const [failures, ago, waits] of [
    [1, 4, 6],
    [1, 11, 0],
    [2, 4, 16],
    [3, 0, 40],
    [12, 0, 600],
  ] as const) {
    const pods = Array.from({ length: failures }, () => pod({ phase: 'Failed', ago, counted: true }));
    const { againInMs = 0, create } = plan(jobWith({ backoffLimit: 100 }, { failed: failures }), ...pods);
    assert.deepEqual([againInMs, create.length], [waits * 1_000, waits > 0 ? 0 : 1], `${failures} failures, ${ago} s ago`);
  }
});

test('each end is noted once, before its finalizer goes', () => {
  const ended = [pod({ phase: 'Succeeded' }), pod({ phase: 'Failed' }), pod({ phase: 'Succeeded', counted: true })];
  const first = plan(jobWith({ completions: 5, parallelism: 1 }, { succeeded: 1 }), ...ended);
  assert.deepEqual(first.status.uncountedTerminatedPods, { succeeded: [ended[0]?.metadata.uid], failed: [ended[1]?.metadata.uid] });
  assert.equal(first.status.succeeded, 1);
  const again = plan({ ...jobWith({ completions: 5, parallelism: 1 }), status: first.status }, ...ended);
  assert.deepEqual(again.status.uncountedTerminatedPods, first.status.uncountedTerminatedPods);
  const status = structuredClone(again.status);
  settleUncounted(status, new Set());
  assert.deepEqual([status.succeeded, status.failed, status.uncountedTerminatedPods], [2, 1, {}]);
});

const failJob = { podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }] } };
const VERDICTS: [what: string, job: Job, pods: Pod[], interim: string | undefined][] = [
  ['goes on', jobWith({ backoffLimit: 1 }), [pod({ phase: 'Failed' })], ''],
  ['too many failures', jobWith({ backoffLimit: 0 }), [pod({ phase: 'Failed' })], 'FailureTarget:BackoffLimitExceeded'],
  ['the deadline', jobWith({ activeDeadlineSeconds: 3_600 }), [pod()], 'FailureTarget:DeadlineExceeded'],
  ['not while suspended', jobWith({ activeDeadlineSeconds: 3_600, suspend: true }), [], 'Suspended:JobSuspended'],
  ['an exit code', jobWith(failJob), [pod({ phase: 'Failed', exitCode: 42 })], 'FailureTarget:PodFailurePolicy'],
  ['another exit code', jobWith(failJob), [pod({ phase: 'Failed', exitCode: 1 })], ''],
  ['completions', jobWith({ completions: 1 }), [pod({ phase: 'Succeeded' })], 'SuccessCriteriaMet:CompletionsReached'],
  [
    'a success policy',
    jobWith({
      completionMode: 'Indexed',
      completions: 3,
      parallelism: 3,
      successPolicy: { rules: [{ succeededIndexes: '0,2', succeededCount: 1 }] },
    }),
    [pod({ phase: 'Succeeded', index: 2 }), pod({ index: 0 }), pod({ index: 1 })],
    'SuccessCriteriaMet:SuccessPolicy',
  ],
  [
    'an index failed for good, the other is at work',
    jobWith({ completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimitPerIndex: 1 }),
    [pod({ phase: 'Failed', index: 0, failures: 1 }), pod({ index: 1 })],
    '',
  ],
  [
    'all indexes decided, one of them failed',
    jobWith({ completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimitPerIndex: 1 }),
    [pod({ phase: 'Failed', index: 0, failures: 1 }), pod({ phase: 'Succeeded', index: 1 })],
    'FailureTarget:FailedIndexes',
  ],
  [
    'more failed indexes than allowed',
    jobWith({ completionMode: 'Indexed', completions: 3, parallelism: 3, backoffLimitPerIndex: 0, maxFailedIndexes: 0 }),
    [pod({ phase: 'Failed', index: 0 }), pod({ index: 1 }), pod({ index: 2 })],
    'FailureTarget:MaxFailedIndexesExceeded',
  ],
];

for (const [what, job, pods, interim] of VERDICTS) {
  test(`a Job's verdict: ${what}`, () => {
    const planned = plan(job, ...pods);
    assert.equal(interimOf(planned) ?? '', interim);
    if (planned.verdict) assert.equal(planned.remove.length, pods.filter(({ status }) => status?.phase === 'Running').length);
  });
}

test('the last word waits for what is uncounted and for pods on their way out', () => {
  const verdict = { type: 'Complete', reason: 'CompletionsReached', message: '' } as const;
  assert.equal(finishJob({ uncountedTerminatedPods: { succeeded: ['a'] } }, verdict, NOW), false);
  assert.equal(finishJob({ terminating: 1 }, verdict, NOW), false);
  const status: NonNullable<Job['status']> = {};
  assert.equal(finishJob(status, verdict, NOW), true);
  assert.equal(status.completionTime, '2026-01-01T01:00:00Z');
});

test('a failed index is tried again by itself, after its own back-off, and remembers', () => {
  const job = jobWith({ completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimitPerIndex: 3 });
  const waiting = plan(job, pod({ phase: 'Failed', index: 0, failures: 1, ago: 5 }), pod({ index: 1 }));
  assert.deepEqual([waiting.create.length, waiting.againInMs, waiting.release.length], [0, 15_000, 0]);
  const again = plan(job, pod({ phase: 'Failed', index: 0, failures: 1, ago: 21 }), pod({ index: 1 }));
  assert.deepEqual(again.create, [{ index: 0, failures: { counted: 2, ignored: 0 } }]);
});
