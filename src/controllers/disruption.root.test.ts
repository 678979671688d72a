import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deployment } from '#kinds/deployment.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import { PodDisruptionBudget } from '#kinds/policy.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { planDisruption, planFailure, planNeed } from './disruption-plan.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');

function budgetOf(spec: Partial<PodDisruptionBudget['spec']>, status: PodDisruptionBudget['status'] = {}): PodDisruptionBudget {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'b', namespace: 'n', generation: 2 } as PodDisruptionBudget['metadata'],
    spec: { selector: {}, ...spec },
    status,
  };
}

function podOf(name: string, { ready = true, going = false } = {}): Pod {
  return {
    metadata: { name, namespace: 'n', ...(going && { deletionTimestamp: '2026-01-02T03:04:00Z' }) },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  } as unknown as Pod;
}

const pods = (count: number) => Array.from({ length: count }, (_, i) => podOf(`p${i}`));

describe('planNeed', () => {
  const cases: [string, Partial<PodDisruptionBudget['spec']>, { pods: number; scale: number }, { expected: number; desired: number }][] = [
    ['a count', { minAvailable: 2 }, { pods: 3, scale: 0 }, { expected: 3, desired: 2 }],
    ['a share, rounded up', { minAvailable: '34%' }, { pods: 3, scale: 10 }, { expected: 10, desired: 4 }],
    ['maxUnavailable', { maxUnavailable: 1 }, { pods: 3, scale: 5 }, { expected: 5, desired: 4 }],
    ['a share of maxUnavailable, rounded up', { maxUnavailable: '30%' }, { pods: 3, scale: 5 }, { expected: 5, desired: 3 }],
    ['never less than none', { maxUnavailable: 9 }, { pods: 3, scale: 5 }, { expected: 5, desired: 0 }],
    ['neither', {}, { pods: 3, scale: 0 }, { expected: 3, desired: 0 }],
  ];
  for (const [name, spec, { pods: count, scale }, expected] of cases)
    test(name, () => assert.deepEqual(planNeed({ budget: budgetOf(spec), pods: pods(count), scale }), expected));
});

describe('planDisruption', () => {
  const plan = (spec: Partial<PodDisruptionBudget['spec']>, of: Pod[], status?: PodDisruptionBudget['status'], scale = of.length) =>
    planDisruption({ budget: budgetOf(spec, status), pods: of, scale, nowMs: NOW });

  test('what is healthy beyond the need may go', () => {
    const { status } = plan({ minAvailable: 2 }, [...pods(3), podOf('ill', { ready: false }), podOf('going', { going: true })]);
    const { conditions, ...counts } = status;
    assert.deepEqual(counts, { currentHealthy: 3, desiredHealthy: 2, disruptionsAllowed: 1, expectedPods: 5, observedGeneration: 2 });
    assert.deepEqual(conditions?.[0], {
      type: 'DisruptionAllowed',
      status: 'True',
      reason: 'SufficientPods',
      message: '',
      observedGeneration: 2,
      lastTransitionTime: '2026-01-02T03:04:05Z',
    });
  });

  test('without pods nothing may go', () => {
    const { status } = plan({ maxUnavailable: 1 }, []);
    assert.equal(status.disruptionsAllowed, 0);
    assert.equal(status.conditions?.[0]?.reason, 'InsufficientPods');
  });

  test('an eviction that has not come true counts as a loss, for two minutes', () => {
    const disruptedPods = { p0: '2026-01-02T03:03:05Z', p1: '2026-01-02T03:02:04Z', gone: '2026-01-02T03:04:04Z' };
    const { status, overdue, againInMs } = plan({ minAvailable: 1 }, pods(3), { disruptedPods });
    assert.deepEqual(status.disruptedPods, { p0: disruptedPods.p0 });
    assert.equal(status.currentHealthy, 2);
    assert.equal(againInMs, 60_000);
    assert.deepEqual(
      overdue.map(({ metadata }) => metadata.name),
      ['p1'],
    );
  });

  test('the transition keeps its time while the status stays', () => {
    const lastTransitionTime = '2026-01-01T00:00:00Z';
    const before = { type: 'DisruptionAllowed', status: 'False', reason: 'SyncFailed', message: 'why', lastTransitionTime };
    assert.equal(
      plan({ minAvailable: 3 }, pods(3), { conditions: [before] }).status.conditions?.[0]?.lastTransitionTime,
      lastTransitionTime,
    );
    const failed = planFailure(budgetOf({}, { disruptionsAllowed: 3, conditions: [{ ...before, status: 'True' }] }), 'no scale', NOW);
    assert.equal(failed.disruptionsAllowed, 0);
    assert.deepEqual(
      failed.conditions?.map(({ status, reason, message }) => [status, reason, message]),
      [['False', 'SyncFailed', 'no scale']],
    );
  });
});

describe('budgets and evictions', { timeout: 90_000 }, () => {
  const namespace = 'default';
  const labels = { app: 'web' };

  function deployment(name: string, replicas: number, app = name): Draft<Deployment> {
    return {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: {
        replicas,
        selector: { matchLabels: { app } },
        template: { metadata: { labels: { app } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    };
  }

  async function evict(plane: ControlPlane, name: string, body: object = {}) {
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace }, ...body };
    const { status, body: answer } = await plane.cluster.call('POST', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, eviction);
    return { code: status, status: answer as { message?: string; details?: { causes?: { reason: string; message: string }[] } } };
  }

  test('the status follows pods and scale; of many evictions at once no more come through than allowed', async () => {
    await using plane = await ControlPlane.start({ also: [PodDisruptionBudget] });
    const { client, kubelet } = plane;
    const budget = { namespace, name: 'web' };
    const allowed = () => plane.view.get(PodDisruptionBudget, budget)?.status?.disruptionsAllowed;
    const active = () => plane.view.list(Pod, namespace).filter(pod => pod.metadata.labels?.app === 'web' && isPodReady(pod));
    await client.create(Deployment, deployment('web', 5));
    await client.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: budget,
      spec: { maxUnavailable: '40%', selector: { matchLabels: labels } },
    });
    await plane.until('2 of 5 may go', () => allowed() === 2);

    const dry = await evict(plane, active()[0]!.metadata.name, { deleteOptions: { dryRun: ['All'] } });
    assert.equal(dry.code, 201);
    assert.equal((await client.get(PodDisruptionBudget, budget))?.status?.disruptionsAllowed, 2, 'a dry run takes nothing');

    kubelet.isReady = () => false; // those that come in their place don't help
    kubelet.isStubborn = () => true; // and whoever is told to end stays to be looked at
    const victims = active();
    const answers = await Promise.all(victims.map(({ metadata }) => evict(plane, metadata.name)));
    const codes = answers.map(({ code }) => code).toSorted();
    assert.equal(codes.filter(code => code === 201).length, 2, codes.join());
    assert.equal(codes.filter(code => code === 429).length, 3);
    const refused = answers.find(({ code }) => code === 429)!.status;
    assert.equal(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert.equal(refused.details?.causes?.[0]?.reason, 'DisruptionBudget');
    const evicted = victims.find((_, i) => answers[i]!.code === 201)!;
    const seen = await client.get(Pod, evicted.metadata);
    assert.ok(seen?.metadata.deletionTimestamp);
    assert.deepEqual(
      seen.status?.conditions?.filter(({ type }) => type === 'DisruptionTarget').map(({ reason, message }) => [reason, message]),
      [['EvictionByEvictionAPI', 'Eviction API: evicting']],
    );
    await plane.until('the budget is spent', () => allowed() === 0);
    await client.patch(PodDisruptionBudget, budget, { spec: { maxUnavailable: 5 } }, { type: 'merge' });
    await plane.until('a new need', () => plane.view.get(PodDisruptionBudget, budget)?.status?.desiredHealthy === 0);
  });

  test('pods that serve nobody go without asking; unhealthy ones as the budget says; two budgets are one too many', async () => {
    await using plane = await ControlPlane.start({ also: [PodDisruptionBudget] });
    const { client, kubelet } = plane;
    kubelet.isReady = ({ metadata }) => metadata.labels?.ready !== 'no';
    const key = { namespace, name: 'all' };
    const make = (name: string, ready: string, spec: object = {}) =>
      client.create(Pod, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace, labels: { app: 'solo', ready } },
        spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
      });
    await client.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: key,
      spec: { minAvailable: 3, selector: { matchLabels: { app: 'solo' } } },
    });
    await make('well', 'yes');
    await make('ill', 'no');
    await make('waiting', 'yes', { nodeSelector: { nowhere: 'x' } });
    const running = (name: string) => plane.view.get(Pod, { namespace, name })?.status?.phase === 'Running';
    await plane.until('two run', () => running('well') && running('ill'));
    await plane.until('counted', () => plane.view.get(PodDisruptionBudget, key)?.status?.expectedPods === 3);
    assert.equal((await evict(plane, 'waiting')).code, 201, 'a pending pod');
    assert.equal((await evict(plane, 'well')).code, 429);
    const ill = await evict(plane, 'ill');
    assert.equal(ill.code, 429, 'a budget that is not met keeps its unhealthy pods');
    assert.match(String(ill.status.details?.causes?.[0]?.message), /^The disruption budget all needs 3 healthy pods and has 1 currently$/);
    await client.patch(PodDisruptionBudget, key, { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } }, { type: 'merge' });
    assert.equal((await evict(plane, 'ill')).code, 201);
    await client.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { namespace, name: 'second' },
      spec: { minAvailable: 0, selector: {} },
    });
    const two = await evict(plane, 'well');
    assert.equal(two.code, 500);
    assert.equal(two.status.message, 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.');
    assert.equal((await evict(plane, 'well', { metadata: { name: 'other' } })).code, 400);
  });

  test('kubectl drain waits for the budget', async () => {
    await using plane = await ControlPlane.start({ also: [PodDisruptionBudget], nodes: 2 });
    const { client, cluster } = plane;
    const key = { namespace, name: 'web' };
    await client.create(Deployment, deployment('web', 2));
    await client.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: key,
      spec: { minAvailable: 2, selector: { matchLabels: labels } },
    });
    await plane.until('none may go', () => plane.view.get(PodDisruptionBudget, key)?.status?.currentHealthy === 2);
    assert.match((await cluster.kubectl('get', 'pdb')).stdout, /web\s+2\s+N\/A\s+0\s/);
    const node = plane.view.list(Pod, namespace)[0]!.spec.nodeName!;
    await assert.rejects(
      cluster.kubectl('drain', node, '--timeout=2s'),
      /Cannot evict pod as it would violate the pod's disruption budget/,
    );
    await client.patch(Deployment, key, { spec: { replicas: 4 } });
    await plane.until('two may go', () => plane.view.get(PodDisruptionBudget, key)?.status?.disruptionsAllowed === 2);
    await cluster.kubectl('drain', node, '--timeout=25s');
    assert.equal(
      plane.view.list(Pod, namespace).filter(({ spec, metadata }) => spec.nodeName === node && !metadata.deletionTimestamp).length,
      0,
    );
  });
});
