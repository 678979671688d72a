import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import { DaemonSet } from '#kinds/daemon-set.ts';
import type { Node } from '#kinds/node.ts';
import type { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Pod } from '#kinds/pod.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';
import { made } from '#kinds/testing.ts';
import { Backoff } from './backoff.ts';
import { planRevision, planTruncation, revisionData, templateOfRevision } from './controller-revision.ts';
import { daemonAffinity, daemonSetStatus, daemonTolerations, planDaemonSet } from './daemon-set-plan.ts';
import { isStaleClaim, planClaimOwners } from './stateful-set-claims.ts';
import { planStatefulSet, statefulSetStatus } from './stateful-set-plan.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const meta = (name: string) => ({ name, namespace: 'n', uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' });
const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
const selector = { matchLabels: { app: 'a' } };

/** `+` ready, `-` not ready, `!` failed, `x` on its way out; then the revision. */
function pod(name: string, word: string, nodeName = ''): Pod {
  const [state = '+', revision = 'new'] = [word[0], word.slice(1) || 'new'];
  const ready = state === '+' || state === 'x' ? 'True' : 'False';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...meta(name),
      labels: { 'controller-revision-hash': revision },
      ...(state === 'x' ? { deletionTimestamp: '2026-01-01T01:00:00Z' } : {}),
    },
    spec: { containers: [{ name: 'c' }], nodeName },
    status: {
      phase: state === '!' ? 'Failed' : 'Running',
      conditions: [{ type: 'Ready', status: ready, lastTransitionTime: '2026-01-01T00:59:50Z' }],
    },
  };
}

const setWith = (spec: object) =>
  made<StatefulSet>(StatefulSet, {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: meta('s'),
    spec: { selector, template, ...spec },
  });

/** Members as `0:+new 1:-old`. */
function stateful(spec: object, members: string) {
  const pods = members
    .split(' ')
    .filter(Boolean)
    .map(word => pod(`s-${word.split(':')[0]}`, word.split(':')[1] ?? ''));
  return { set: setWith(spec), pods, currentRevision: 'old', updateRevision: 'new', nowMs: NOW };
}

const STATEFUL: [what: string, spec: object, members: string, steps: string][] = [
  ['the first', { replicas: 3 }, '', '+0new'],
  ['the next when the one before is ready', { replicas: 3 }, '0:+', '+1new'],
  ['not while it is not', { replicas: 3 }, '0:-', ''],
  ['not before minReadySeconds', { replicas: 3, minReadySeconds: 30 }, '0:+', ''],
  ['all at once when parallel', { replicas: 3, podManagementPolicy: 'Parallel' }, '1:-', '+0new +2new'],
  ['ordinals from a start', { replicas: 2, ordinals: { start: 5 } }, '5:+', '+6new'],
  ['a failed one goes before anything else', { replicas: 3 }, '0:! 1:+', '-0failed'],
  ['it waits for one on its way out', { replicas: 2 }, '0:x 1:+', ''],
  ['the highest goes first', { replicas: 1 }, '0:+ 1:+ 2:+', '-2condemned'],
  ['one at a time', { replicas: 1 }, '0:+ 1:+ 2:x', ''],
  ['not past an unhealthy one', { replicas: 1 }, '0:+ 1:- 2:-', ''],
  ['but the first unhealthy one may go', { replicas: 1 }, '0:+ 1:-', '-1condemned'],
  ['all at once when parallel', { replicas: 1, podManagementPolicy: 'Parallel' }, '0:+ 1:+ 2:-', '-2condemned -1condemned'],
  ['an update starts at the top', { replicas: 3 }, '0:+old 1:+old 2:+old', '-2outdated'],
  ['and goes on when that is ready', { replicas: 3 }, '0:+old 1:+old 2:+', '-1outdated'],
  ['it waits while that is not', { replicas: 3, podManagementPolicy: 'Parallel' }, '0:+old 1:+old 2:-', ''],
  [
    'a parallel update does not ask after those below',
    { replicas: 3, podManagementPolicy: 'Parallel' },
    '0:-old 1:+old 2:+old',
    '-2outdated',
  ],
  ['a broken first revision is left behind', { replicas: 1, podManagementPolicy: 'Parallel' }, '0:-old', '-0outdated'],
  [
    'with maxUnavailable, what is away already costs nothing',
    { replicas: 3, podManagementPolicy: 'Parallel', updateStrategy: { rollingUpdate: { maxUnavailable: 1 } } },
    '0:-old 1:+old 2:+old',
    '-0outdated',
  ],
  ['a broken ordered one holds everything up', { replicas: 3 }, '0:-old 1:+old 2:+old', ''],
  ['the partition is left', { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } }, '0:+old 1:+old 2:+', ''],
  ['below it pods are made as they were', { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } }, '0:+old 2:+', '+1old'],
  [
    'maxUnavailable',
    { replicas: 4, updateStrategy: { rollingUpdate: { maxUnavailable: '50%' } } },
    '0:+old 1:+old 2:+old 3:+old',
    '-3outdated -2outdated',
  ],
  ['OnDelete', { replicas: 2, updateStrategy: { type: 'OnDelete' } }, '0:+old 1:+old', ''],
  ['others of like names are none of its own', { replicas: 0 }, '00:+ 1a:+', ''],
];

for (const [what, spec, members, steps] of STATEFUL) {
  test(`StatefulSet: ${what} (${members})`, () => {
    const { create, remove } = planStatefulSet(stateful(spec, members));
    const said = [
      ...create.map(({ ordinal, revision }) => `+${ordinal}${revision}`),
      ...remove.map(({ pod: { metadata }, because }) => `-${metadata.name.slice(2)}${because}`),
    ];
    assert.equal(said.join(' '), steps);
  });
}

test('a StatefulSet has arrived when all are new and ready', () => {
  assert.equal(statefulSetStatus(stateful({ replicas: 2 }, '0:+old 1:+')).status.currentRevision, 'old');
  const { status } = statefulSetStatus(stateful({ replicas: 2 }, '0:+ 1:+'));
  assert.deepEqual([status.currentRevision, status.currentReplicas, status.updatedReplicas, status.availableReplicas], ['new', 2, 2, 2]);
  const waiting = statefulSetStatus(stateful({ replicas: 1, minReadySeconds: 30 }, '0:+'));
  assert.deepEqual([waiting.status.readyReplicas, waiting.status.availableReplicas, waiting.againInMs], [1, 0, 20_000]);
});

test('who owns a claim follows the retention policy', () => {
  const claim = (...owners: object[]) =>
    ({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { ...meta('data-s-0'), ownerReferences: owners },
      spec: {},
    }) as unknown as PersistentVolumeClaim;
  const ofPod = { apiVersion: 'v1', kind: 'Pod', name: 's-0', uid: 's-0' };
  const ofSet = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 's', uid: 's' };
  const owners = (whenDeleted: string, whenScaled: string, condemned: boolean, present: PersistentVolumeClaim) =>
    planClaimOwners(setWith({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } }), pod('s-0', '+'), condemned, present);
  assert.equal(owners('Retain', 'Retain', true, claim()), undefined);
  assert.deepEqual(owners('Delete', 'Retain', false, claim()), [ofSet]);
  assert.deepEqual(owners('Delete', 'Delete', true, claim(ofSet)), [ofPod]);
  assert.deepEqual(owners('Delete', 'Delete', false, claim(ofPod)), [ofSet]);
  assert.deepEqual(owners('Retain', 'Delete', true, claim()), [ofPod]);
  assert.deepEqual(owners('Retain', 'Retain', false, claim(ofSet)), []);
  assert.ok(isStaleClaim('s-0', claim(ofPod)) && !isStaleClaim('s-0', claim(ofSet)));
});

function node(name: string, more: object = {}, labels: Record<string, string> = {}): Node {
  return { apiVersion: 'v1', kind: 'Node', metadata: { ...meta(name), labels }, spec: more };
}

/** Pods as `a:+new a:-old b:!new`: node, state, revision. */
function daemon(spec: object, nodes: Node[], pods: string) {
  const set = made<DaemonSet>(DaemonSet, {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: meta('d'),
    spec: { selector, template, ...spec },
  });
  const all = pods
    .split(' ')
    .filter(Boolean)
    .map((word, i) => pod(`d-${i}`, word.split(':')[1] ?? '', word.split(':')[0]));
  return { set, nodes, pods: all, hash: 'new', nowMs: NOW };
}

const surge = (maxSurge: number | string) => ({ updateStrategy: { rollingUpdate: { maxSurge, maxUnavailable: 0 } } });
const away = (maxUnavailable: number | string) => ({ updateStrategy: { rollingUpdate: { maxUnavailable } } });
const [a, b, c] = [node('a'), node('b'), node('c')];
const tainted = (effect: string) => node('t', { taints: [{ key: 'mine', effect }] });

const DAEMONS: [what: string, spec: object, nodes: Node[], pods: string, steps: string][] = [
  ['one each', {}, [a, b], 'a:+', '+b'],
  ['not on a tainted node', {}, [tainted('NoSchedule')], '', ''],
  ['where one is, it stays', {}, [tainted('NoSchedule')], 't:+', ''],
  ['unless it may not', {}, [tainted('NoExecute')], 't:+', '-d-0'],
  ['on a cordoned node', {}, [node('a', { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] })], '', '+a'],
  ['the oldest of two stays', {}, [a], 'a:+ a:+', '-d-1'],
  ['a failed one goes', {}, [a], 'a:!', '-d-0'],
  ['nothing while one is on its way out', {}, [a], 'a:x', ''],
  ['one at a time', {}, [a, b, c], 'a:+old b:+old c:+old', '-d-0'],
  ['not while another is away', {}, [a, b, c], 'a:- b:+old c:+old', ''],
  ['one that is not available costs nothing', {}, [a, b, c], 'a:+ b:-old c:+old', '-d-1'],
  ['two of three', away('50%'), [a, b, c], 'a:+old b:+old c:+old', '-d-0 -d-1'],
  ['surge: the new one comes first', surge(1), [a, b], 'a:+old b:+old', '+a'],
  ['surge: no more than allowed', surge(1), [a, b], 'a:+old a:- b:+old', ''],
  ['surge: the old one goes when the new one is available', surge(1), [a, b], 'a:+old a:+ b:+old', '-d-0 +b'],
  ['surge: an old one that is not ready goes', surge(1), [a], 'a:-old a:-', '-d-0'],
  ['OnDelete', { updateStrategy: { type: 'OnDelete' } }, [a], 'a:+old', ''],
];

for (const [what, spec, nodes, pods, steps] of DAEMONS) {
  test(`DaemonSet: ${what} (${pods})`, () => {
    const { create, remove } = planDaemonSet(daemon(spec, nodes, pods));
    assert.equal([...remove.map(({ metadata }) => `-${metadata.name}`), ...create.map(name => `+${name}`)].join(' '), steps);
  });
}

test('a failed daemon is left in peace while its node’s back-off lasts', () => {
  const plan = planDaemonSet({ ...daemon({}, [a!], 'a:!'), backoffMs: () => 4_000 });
  assert.deepEqual([plan.remove.length, plan.create.length, plan.againInMs], [0, 0, 4_000]);
});

test('a DaemonSet counts', () => {
  const { status } = daemonSetStatus(daemon({}, [a!, b!, c!, tainted('NoSchedule')], 'a:+ b:-old t:+'));
  const { desiredNumberScheduled, currentNumberScheduled, numberReady, updatedNumberScheduled, numberMisscheduled, numberUnavailable } =
    status;
  assert.deepEqual([desiredNumberScheduled, currentNumberScheduled, numberReady, updatedNumberScheduled], [3, 2, 1, 1]);
  assert.deepEqual([numberMisscheduled, numberUnavailable], [1, 2]);
});

test('a daemon is bound to its node by name and bears the standard tolerations once', () => {
  const affinity = daemonAffinity({ containers: [] }, 'a');
  const [term] = affinity.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  assert.deepEqual(term, { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] });
  const once = daemonTolerations({ containers: [] });
  assert.equal(once.length, 6);
  assert.equal(daemonTolerations({ containers: [], tolerations: once, hostNetwork: true }).length, 7);
});

test('revisions: the same template is found, made the newest, and old ones go', () => {
  const revision = (name: string, number: number, image: string) => {
    const data = revisionData({ spec: { containers: [{ name: 'c', image }] } });
    return made<ControllerRevision>(ControllerRevision, {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: meta(name),
      data,
      revision: number,
    });
  };
  const all = [revision('one', 1, 'x'), revision('two', 2, 'y'), revision('three', 3, 'z')];
  const of = (image: string) => planRevision(all, { spec: { containers: [{ image, name: 'c' }] } });
  assert.deepEqual([of('z').found?.metadata.name, of('z').number], ['three', 3]);
  assert.deepEqual([of('x').found?.metadata.name, of('x').number], ['one', 4]);
  assert.deepEqual([of('w').found, of('w').number], [undefined, 4]);
  assert.deepEqual(templateOfRevision(all[0]!), { spec: { containers: [{ name: 'c', image: 'x' }] } });
  assert.deepEqual(
    planTruncation(all, new Set(['one']), 1).map(({ metadata }) => metadata.name),
    ['two'],
  );
});

test('back-off doubles, and is forgotten after twice the longest', () => {
  const backoff = new Backoff({ firstMs: 1_000, lastMs: 4_000 });
  assert.equal(backoff.leftMs('a', 0), 0);
  for (const [at, left] of [
    [0, 1_000],
    [1_000, 2_000],
    [3_000, 4_000],
    [7_000, 4_000],
    [20_000, 1_000],
  ] as const) {
    backoff.tried('a', at);
    assert.equal(backoff.leftMs('a', at), left);
  }
  assert.equal(backoff.leftMs('b', 0), 0);
});
