import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerRevision } from './controller-revision.ts';
import { CronJob } from './cron-job.ts';
import { DaemonSet } from './daemon-set.ts';
import { Job } from './job.ts';
import type { Kind, KubeObject } from './kind.ts';
import { ReplicationController } from './replication-controller.ts';
import { StatefulSet } from './stateful-set.ts';
import { made, problemsOf, updateProblemsOf } from './testing.ts';

const pod = (more: object = {}) => ({ containers: [{ name: 'c', image: 'i' }], ...more });
const template = (more: object = {}) => ({ metadata: { labels: { app: 'a' } }, spec: pod(more) });
const draft = (kind: Kind, spec: object, metadata: object = {}) => ({
  apiVersion: `${kind.resource.group ? `${kind.resource.group}/` : ''}${kind.resource.version}`,
  kind: kind.resource.kind,
  metadata: { name: 'a', namespace: 'default', uid: 'u', ...metadata },
  spec,
});
const selector = { matchLabels: { app: 'a' } };
const job = (spec: object) => draft(Job, { template: { spec: pod({ restartPolicy: 'Never' }) }, ...spec });
const indexed = (spec: object) => job({ completionMode: 'Indexed', completions: 3, ...spec });
const set = (spec: object) => draft(StatefulSet, { selector, template: template(), serviceName: 's', ...spec });
const daemon = (spec: object) => draft(DaemonSet, { selector, template: template(), ...spec });
const cron = (spec: object) =>
  draft(CronJob, { schedule: '* * * * *', jobTemplate: { spec: { template: { spec: pod({ restartPolicy: 'Never' }) } } }, ...spec });
const controller = (spec: object) => draft(ReplicationController, { template: template(), ...spec });

const policy = (rule: object) => ({ podFailurePolicy: { rules: [rule] } });
const AT = 'spec.podFailurePolicy.rules[0]';

const CASES: [Kind, object, RegExp | undefined][] = [
  [Job, job({}), undefined],
  [Job, job({ template: { spec: pod() } }), /^spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"$/],
  [Job, job({ selector }), /^spec.selector: Invalid value: .*`selector` not auto-generated$/m],
  [Job, job({ manualSelector: true, selector, template: template({ restartPolicy: 'Never' }) }), undefined],
  [Job, job({ manualSelector: true }), /^spec.selector: Required value$/],
  [Job, job({ completionMode: 'Indexed' }), undefined],
  [Job, job({ completionMode: 'Indexed', parallelism: 1 }), /^spec.completions: Required value: when completion mode is Indexed$/],
  [Job, job({ completionMode: 'Odd' }), /^spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"$/],
  [Job, job({ backoffLimitPerIndex: 1 }), /^spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode$/],
  [Job, indexed({ maxFailedIndexes: 1 }), /^spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified$/],
  [
    Job,
    indexed({ backoffLimitPerIndex: 1, maxFailedIndexes: 4 }),
    /maxFailedIndexes: Invalid value: 4: must be less than or equal to completions$/,
  ],
  [Job, indexed({ parallelism: 100_001 }), /must be less than or equal to 100000 when completion mode is Indexed$/],
  [Job, job({ managedBy: 'mine' }), /^spec.managedBy: Invalid value: "mine": must be a domain-prefixed path/],
  [Job, job({ podReplacementPolicy: 'Odd' }), /^spec.podReplacementPolicy: Unsupported value/],
  [Job, job({ ...policy({ action: 'Count' }) }), /specifying one of OnExitCodes and OnPodConditions is required$/],
  [
    Job,
    job(policy({ action: 'Count', onExitCodes: { operator: 'In', values: [0] } })),
    /onExitCodes.values\[0\]: Invalid value: 0: must not be 0/,
  ],
  [Job, job(policy({ action: 'FailIndex', onExitCodes: { operator: 'In', values: [1] } })), /requires the backoffLimitPerIndex to be set$/],
  [Job, job(policy({ action: 'Ignore', onExitCodes: { operator: 'In', values: [2, 1] } })), /must be ordered$/],
  [
    Job,
    job(policy({ action: 'Ignore', onExitCodes: { operator: 'In', values: [1], containerName: 'x' } })),
    /must be one of the container/,
  ],
  [
    Job,
    job(policy({ action: 'Odd', onPodConditions: [{ type: 'DisruptionTarget' }] })),
    new RegExp(`^${AT.replaceAll(/[[\].]/g, '\\$&')}.action: Unsupported`),
  ],
  [Job, job(policy({ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] })), undefined],
  [
    Job,
    job({ successPolicy: { rules: [{ succeededCount: 1 }] } }),
    /^spec.successPolicy: Invalid value: .*requires indexed completion mode$/,
  ],
  [Job, indexed({ successPolicy: { rules: [] } }), /^spec.successPolicy.rules: Required value: at least one rules must be specified/],
  [Job, indexed({ successPolicy: { rules: [{}] } }), /at least one of succeededCount or succeededIndexes must be specified$/],
  [Job, indexed({ successPolicy: { rules: [{ succeededIndexes: '2,1' }] } }), /error parsing succeededIndexes/],
  [
    Job,
    indexed({ successPolicy: { rules: [{ succeededIndexes: '0-1', succeededCount: 3 }] } }),
    /less than or equal to 2 \(the number of indexes/,
  ],
  [Job, indexed({ successPolicy: { rules: [{ succeededIndexes: '0-1', succeededCount: 1 }] } }), undefined],
  [CronJob, cron({}), undefined],
  [CronJob, cron({ schedule: '* * *' }), /^spec.schedule: Invalid value: .*expected exactly 5 fields, found 3/],
  [CronJob, cron({ schedule: 'TZ=UTC * * * * *' }), /cannot use TZ or CRON_TZ in schedule, use timeZone field instead$/],
  [CronJob, cron({ timeZone: 'Mars/Base' }), /^spec.timeZone: Invalid value: "Mars\/Base": unknown time zone Mars\/Base$/],
  [CronJob, cron({ timeZone: 'Local' }), /must be an explicit time zone/],
  [CronJob, cron({ timeZone: 'Europe/Zurich' }), undefined],
  [
    CronJob,
    cron({ concurrencyPolicy: 'Odd' }),
    /^spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace"$/,
  ],
  [
    CronJob,
    cron({ jobTemplate: { spec: { selector, template: { spec: pod({ restartPolicy: 'Never' }) } } } }),
    /`selector` will be auto-generated$/,
  ],
  [StatefulSet, set({}), undefined],
  [StatefulSet, { ...set({}), metadata: { name: 'a.b' } }, /^metadata.name: Invalid value: "a.b": must not contain dots/],
  [
    StatefulSet,
    set({ podManagementPolicy: 'Odd' }),
    /^spec.podManagementPolicy: Invalid value: "Odd": must be 'OrderedReady' or 'Parallel'$/,
  ],
  [StatefulSet, set({ updateStrategy: { type: 'Odd' } }), /^spec.updateStrategy: Invalid value: .*must be 'RollingUpdate' or 'OnDelete'$/],
  [StatefulSet, set({ updateStrategy: { type: 'OnDelete', rollingUpdate: {} } }), /only allowed for updateStrategy 'RollingUpdate'$/],
  [StatefulSet, set({ updateStrategy: { rollingUpdate: { partition: -1 } } }), /rollingUpdate.partition: Invalid value: -1/],
  [StatefulSet, set({ updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } }), /maxUnavailable: Invalid value: 0: cannot be 0$/],
  [StatefulSet, set({ ordinals: { start: -1 } }), /^spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0$/],
  [
    StatefulSet,
    set({ persistentVolumeClaimRetentionPolicy: { whenScaled: 'Odd' } }),
    /whenScaled: Unsupported value: "Odd": supported values: "Retain", "Delete"$/,
  ],
  [StatefulSet, set({ template: template({ activeDeadlineSeconds: 1 }) }), /activeDeadlineSeconds in StatefulSet is not Supported$/],
  [DaemonSet, daemon({}), undefined],
  [DaemonSet, daemon({ selector: {} }), /^spec.selector: Invalid value: {}: empty selector is invalid for daemonset$/],
  [
    DaemonSet,
    daemon({ updateStrategy: { rollingUpdate: { maxSurge: 1 } } }),
    /maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero$/,
  ],
  [
    DaemonSet,
    daemon({ updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } }),
    /maxUnavailable: Required value: cannot be 0 when maxSurge is 0$/,
  ],
  [
    DaemonSet,
    daemon({ updateStrategy: { type: 'Odd' } }),
    /^spec.updateStrategy: Unsupported value: .*"Odd".*: supported values: "RollingUpdate", "OnDelete"/,
  ],
  [
    DaemonSet,
    daemon({ template: template({ restartPolicy: 'Never' }) }),
    /^spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"$/,
  ],
  [ReplicationController, controller({}), undefined],
  [ReplicationController, controller({ selector: { app: 'b' } }), /`selector` does not match template `labels`$/],
  [ReplicationController, draft(ReplicationController, {}), /^spec.selector: Required value\nspec.template: Required value$/],
  [
    ControllerRevision,
    { apiVersion: 'apps/v1', kind: 'ControllerRevision', metadata: { name: 'a' }, revision: -1 },
    /^data: Required value: data is mandatory\nrevision: Invalid value: -1/,
  ],
];

for (const [kind, object, expected] of CASES) {
  const what = expected ? String(expected) : JSON.stringify(object);
  test(`${kind.resource.kind}: ${what.slice(0, 150)}`, () => {
    const problems = problemsOf(kind as Kind<KubeObject>, object).join('\n');
    if (expected) assert.match(problems, expected);
    else assert.equal(problems, '');
  });
}

test('what a Job may change', () => {
  const manual = (spec: object, more: object = {}) =>
    job({ manualSelector: true, selector, template: template({ restartPolicy: 'Never', ...more }), ...spec });
  const many = (count: number, parallelism: number) => manual({ completionMode: 'Indexed', completions: count, parallelism });
  const running = manual({ completions: 2, parallelism: 2 });
  assert.deepEqual(updateProblemsOf(Job, manual({ completions: 2, parallelism: 5, backoffLimit: 1 }), running), []);
  assert.match(updateProblemsOf(Job, manual({ completions: 3, parallelism: 2 }), running).join(), /spec.completions: .*field is immutable/);
  assert.deepEqual(updateProblemsOf(Job, many(4, 4), many(3, 3)), []);
  assert.match(updateProblemsOf(Job, many(4, 3), many(3, 3)).join(), /in tandem with spec.parallelism/);
  const placed = { nodeSelector: { a: 'b' } };
  assert.match(updateProblemsOf(Job, manual({}, placed), manual({})).join(), /spec.template: .*field is immutable/);
  assert.deepEqual(updateProblemsOf(Job, manual({ suspend: true }, placed), manual({ suspend: true })), []);
});

test('a DaemonSet counts the changes of its template', () => {
  const key = 'deprecated.daemonset.template.generation';
  const before = made(DaemonSet, daemon({}));
  assert.equal(before.metadata.annotations?.[key], '1');
  const after = made(DaemonSet, daemon({ template: template({ hostNetwork: true }) }));
  DaemonSet.prepareForUpdate?.(after, before);
  assert.equal(after.metadata.annotations?.[key], '2');
});

test('a ReplicationController takes labels and selector from its template', () => {
  const { metadata, spec } = made(ReplicationController, controller({}));
  assert.deepEqual([metadata.labels, spec.selector], [{ app: 'a' }, { app: 'a' }]);
});

test('a Job takes labels from its template, as its maker wrote them', () => {
  const { metadata, spec } = made(Job, job({ template: template({ restartPolicy: 'Never' }) }));
  assert.deepEqual(metadata.labels, { app: 'a' });
  assert.deepEqual(Object.keys(spec.template.metadata?.labels ?? {}).sort(), [
    'app',
    'batch.kubernetes.io/controller-uid',
    'batch.kubernetes.io/job-name',
    'controller-uid',
    'job-name',
  ]);
  assert.deepEqual(spec.selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u' } });
});

test('conditions of a failure policy mean True where nothing is said, in a CronJob too', () => {
  const rules = [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }];
  const jobTemplate = { spec: { podFailurePolicy: { rules }, template: { spec: pod({ restartPolicy: 'Never' }) } } };
  const { spec } = made(CronJob, cron({ jobTemplate }));
  assert.equal(spec.jobTemplate.spec.podFailurePolicy?.rules[0]?.onPodConditions?.[0]?.status, 'True');
  assert.deepEqual(problemsOf(CronJob, cron({ jobTemplate })), []);
});
