import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Deployment } from '#kinds/deployment.ts';
import type { ReplicaSet } from '#kinds/replica-set.ts';
import { limits, newReplicaSet, planRollout, REVISION, revisionOf, sameTemplate } from './rollout.ts';

const template = (image: string) => ({ metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image }] } });

function deployment(replicas: number, spec: Partial<Deployment['spec']> = {}): Deployment {
  const metadata = { name: 'd', namespace: 'n', uid: 'u', resourceVersion: '1', creationTimestamp: 't' };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: { replicas, selector: { matchLabels: { app: 'a' } }, template: template('new'), ...spec },
  };
}

function set(name: string, image: string, size: number, available: number, desired?: number): ReplicaSet {
  const annotations =
    desired === undefined
      ? {}
      : {
          'deployment.kubernetes.io/desired-replicas': String(desired),
          'deployment.kubernetes.io/max-replicas': String(Math.ceil(desired * 1.25)),
        };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, uid: name, namespace: 'n', resourceVersion: '1', creationTimestamp: name, annotations },
    spec: { replicas: size, selector: {}, template: template(image) },
    status: { replicas: size, availableReplicas: available },
  };
}

const shown = (steps: { set: ReplicaSet; replicas: number }[]) => steps.map(step => `${step.set.metadata.name}=${step.replicas}`).join(' ');

const cases: { name: string; of: Deployment; current: ReplicaSet; others: ReplicaSet[]; steps: string }[] = [
  { name: 'surges first', of: deployment(4), current: set('new', 'new', 0, 0), others: [set('old', 'old', 4, 4)], steps: 'new=1' },
  {
    name: 'then takes what maxUnavailable allows',
    of: deployment(4),
    current: set('new', 'new', 1, 0),
    others: [set('old', 'old', 4, 4)],
    steps: 'old=3',
  },
  { name: 'waits for availability', of: deployment(4), current: set('new', 'new', 2, 0), others: [set('old', 'old', 3, 3)], steps: '' },
  {
    name: 'goes on when new pods are available',
    of: deployment(4),
    current: set('new', 'new', 2, 2),
    others: [set('old', 'old', 3, 3)],
    steps: 'old=1',
  },
  {
    name: 'removes broken old pods first',
    of: deployment(4),
    current: set('new', 'new', 1, 0),
    others: [set('old', 'old', 4, 0)],
    steps: 'old=3',
  },
  { name: 'is done', of: deployment(4), current: set('new', 'new', 4, 4), others: [set('old', 'old', 0, 0)], steps: '' },
  {
    name: 'scales a settled deployment',
    of: deployment(6),
    current: set('new', 'new', 4, 4, 4),
    others: [set('old', 'old', 0, 0)],
    steps: 'new=6',
  },
  {
    name: 'scales in proportion amid a rollout',
    of: deployment(20),
    current: set('new', 'new', 4, 4, 10),
    others: [set('old', 'old', 8, 8, 10)],
    steps: 'old=17 new=8',
  },
  {
    name: 'recreate ends the old ones first',
    of: deployment(2, { strategy: { type: 'Recreate' } }),
    current: set('new', 'new', 0, 0),
    others: [set('old', 'old', 2, 2)],
    steps: 'old=0',
  },
  {
    name: 'a paused one does not roll',
    of: deployment(4, { paused: true }),
    current: set('new', 'new', 0, 0),
    others: [set('old', 'old', 4, 4)],
    steps: '',
  },
];

for (const { name, of, current, others, steps } of cases)
  test(`a rollout ${name}`, () => assert.equal(shown(planRollout(of, current, others)), steps));

test('limits: surge rounds up, unavailable down, never both zero', () => {
  assert.deepEqual(limits(deployment(10)), { maxSurge: 3, maxUnavailable: 2 });
  assert.deepEqual(limits(deployment(1)), { maxSurge: 1, maxUnavailable: 0 });
  assert.deepEqual(limits(deployment(3, { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } })), {
    maxSurge: 0,
    maxUnavailable: 1,
  });
});

test('the set made from a template is recognised as having it, and bears its hash', () => {
  const draft = newReplicaSet(deployment(3), [], '1');
  const hash = draft.metadata.labels?.['pod-template-hash'];
  assert.equal(draft.metadata.name, `d-${hash}`);
  assert.equal(draft.spec.selector.matchLabels?.['pod-template-hash'], hash);
  assert.ok(sameTemplate(deployment(3), draft as ReplicaSet));
});

/** Plays a rollout to its end: whatever order pods become available in, the limits hold at each step. */
test('limits hold at every step of a rollout', () => {
  for (const replicas of [1, 2, 3, 5, 10, 17]) {
    const of = deployment(replicas);
    const sets = [set('new', 'new', 0, 0, replicas), set('old', 'old', replicas, replicas, replicas)] as const;
    const { maxSurge, maxUnavailable } = limits(of);
    for (let step = 0; step < 200 && sets[0].spec.replicas !== undefined; step++) {
      for (const each of planRollout(of, sets[0], [sets[1]])) {
        each.set.spec.replicas = each.replicas;
        each.set.status = { replicas: each.replicas, availableReplicas: Math.min(each.set.status?.availableReplicas ?? 0, each.replicas) };
      }
      const total = (sets[0].spec.replicas ?? 0) + (sets[1].spec.replicas ?? 0);
      const available = (sets[0].status?.availableReplicas ?? 0) + (sets[1].status?.availableReplicas ?? 0);
      assert.ok(total <= replicas + maxSurge, `${total} pods at step ${step}`);
      assert.ok(available >= replicas - maxUnavailable, `${available} available at step ${step}`);
      if (sets[0].status && sets[0].status.availableReplicas! < sets[0].spec.replicas!) sets[0].status.availableReplicas! += 1;
    }
    assert.deepEqual([sets[0].spec.replicas, sets[1].spec.replicas], [replicas, 0]);
  }
});

test('revisions are any 64-bit numbers, none where there is no number', () => {
  const revised = (text: string) => ({
    ...set('s', 'old', 1, 1),
    metadata: { ...set('s', 'old', 1, 1).metadata, annotations: { [REVISION]: text } },
  });
  assert.equal(revisionOf(revised('3546343826724305832')), 3546343826724305832n);
  for (const text of ['', 'x', '-1', '1.5']) assert.equal(revisionOf(revised(text)), 0n, text);
});
