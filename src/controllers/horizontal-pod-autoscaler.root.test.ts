import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import type { NodeConnector } from '#apiserver/node-connector.ts';
import { ManualClock } from '#base/index.ts';
import { HorizontalPodAutoscaler } from '#kinds/autoscaling.ts';
import { Deployment } from '#kinds/deployment.ts';
import { Event } from '#kinds/event.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { planLimits } from './hpa-limits.ts';
import { type PodUse, planByUsage } from './hpa-usage.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');

interface Scripted {
  use?: number;
  ready?: boolean;
  phase?: string;
  going?: boolean;
  /** Seconds since it started, and since it became what it is. */
  age?: number;
  since?: number;
}

function pictureOf(all: Scripted[]) {
  const pods = all.map(({ ready = true, phase = 'Running', going, age = 1_000, since = 900 }, i) => ({
    metadata: { name: `p${i}`, ...(going && { deletionTimestamp: 'x' }) },
    status: {
      phase,
      startTime: new Date(NOW - age * 1_000).toISOString(),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: new Date(NOW - since * 1_000).toISOString() }],
    },
  })) as unknown as Pod[];
  const uses = new Map<string, PodUse>();
  all.forEach(({ use }, i) => {
    if (use !== undefined) uses.set(`p${i}`, { milli: use, timestampMs: NOW, windowMs: 15_000 });
  });
  return { pods, uses };
}

describe('planByUsage', () => {
  const tolerances = { up: 0.1, down: 0.1 };
  const cases: [string, Scripted[], { replicas: number; utilization?: number }, object?][] = [
    ['as many as the load needs', [{ use: 100 }, { use: 100 }], { replicas: 4, utilization: 100 }],
    ['less than a tenth more is nothing', [{ use: 54 }, { use: 55 }], { replicas: 2, utilization: 54 }],
    ['a tolerance of its own', [{ use: 54 }, { use: 55 }], { replicas: 3, utilization: 54 }, { tolerances: { up: 0.05, down: 0.1 } }],
    ['fewer', [{ use: 10 }, { use: 10 }, { use: 10 }], { replicas: 1, utilization: 10 }],
    ['pods without measures hold back growth', [{ use: 150 }, {}, {}], { replicas: 3, utilization: 150 }],
    ['and pods without measures hold back shrinking', [{ use: 10 }, {}, {}], { replicas: 3, utilization: 10 }],
    ['unready pods hold back growth', [{ use: 80 }, { use: 80, ready: false, age: 60, since: 60 }], { replicas: 2, utilization: 80 }],
    ['pods that end do not count', [{ use: 100 }, { use: 100, going: true }], { replicas: 2, utilization: 100 }],
    ['nor do pending ones', [{ use: 20 }, { phase: 'Pending' }], { replicas: 1, utilization: 20 }],
    ['a measure from before it was ready does not count', [{ use: 50 }, { use: 900, age: 60, since: 5 }], { replicas: 2, utilization: 50 }],
    ['one that lost its readiness counts', [{ use: 100, ready: false, since: 10 }], { replicas: 2, utilization: 100 }],
  ];
  for (const [name, all, expected, options] of cases) {
    test(name, () => {
      const { pods, uses } = pictureOf(all);
      const requests = new Map(pods.map(({ metadata }) => [metadata.name, 100]));
      const question = { currentReplicas: all.length, pods, uses, resource: 'cpu', tolerances, nowMs: NOW, ...options };
      const { replicas, utilization } = planByUsage({ ...question, target: { utilization: 50, requests } });
      assert.deepEqual({ replicas, utilization }, expected);
    });
  }

  test('an average for each pod, of memory even while they warm up', () => {
    const { pods, uses } = pictureOf([{ use: 300, age: 1, ready: false }, { use: 100 }]);
    const question = { currentReplicas: 2, pods, uses, resource: 'memory', tolerances, nowMs: NOW, target: { averageMilli: 100 } };
    assert.deepEqual(planByUsage(question), { replicas: 4, averageMilli: 200 });
  });

  test('what can not be told', () => {
    const question = { currentReplicas: 1, resource: 'cpu', tolerances, nowMs: NOW, target: { averageMilli: 1 } };
    assert.throws(() => planByUsage({ ...question, ...pictureOf([]) }), /no pods returned by selector/);
    assert.throws(() => planByUsage({ ...question, ...pictureOf([{}]) }), /did not receive metrics for targeted pods/);
    const picture = { ...question, ...pictureOf([{ use: 1 }]) };
    assert.throws(
      () => planByUsage({ ...picture, target: { utilization: 50, requests: new Map() } }),
      /no metrics returned matched known pods/,
    );
  });
});

describe('planLimits', () => {
  const policy = (type: string, value: number, periodSeconds = 60) => ({ type, value, periodSeconds });
  const spec = (behavior?: object) => ({ minReplicas: 1, maxReplicas: 20, behavior, scaleTargetRef: { kind: 'x', name: 'y' } });
  const ago = (seconds: number) => NOW - seconds * 1_000;
  const cases: [string, Partial<Parameters<typeof planLimits>[0]>, [replicas: number, able: string, limited: string]][] = [
    ['twice as many at once', { current: 3, wanted: 15 }, [6, 'ReadyForNewScale', 'ScaleUpLimit']],
    ['or four', { current: 1, wanted: 15 }, [4, 'ReadyForNewScale', 'ScaleUpLimit']],
    ['up to the most', { current: 15, wanted: 25 }, [20, 'ReadyForNewScale', 'TooManyReplicas']],
    ['down to the least', { current: 3, wanted: 0 }, [1, 'ReadyForNewScale', 'TooFewReplicas']],
    [
      'down only when five minutes agree',
      { current: 5, wanted: 2, recommendations: [{ replicas: 4, atMs: ago(299) }] },
      [4, 'ScaleDownStabilized', 'DesiredWithinRange'],
    ],
    [
      'and then',
      { current: 5, wanted: 2, recommendations: [{ replicas: 4, atMs: ago(301) }] },
      [2, 'ReadyForNewScale', 'DesiredWithinRange'],
    ],
    [
      'up by the greater of two policies, less what came already',
      {
        current: 5,
        wanted: 20,
        changes: [{ change: 1, atMs: ago(30) }],
        spec: spec({ scaleUp: { policies: [policy('Pods', 4), policy('Percent', 50)] } }),
      },
      [8, 'ReadyForNewScale', 'ScaleUpLimit'],
    ],
    [
      'or by the lesser',
      { current: 4, wanted: 20, spec: spec({ scaleUp: { selectPolicy: 'Min', policies: [policy('Pods', 4), policy('Percent', 50)] } }) },
      [6, 'ReadyForNewScale', 'ScaleUpLimit'],
    ],
    [
      'down by a policy',
      {
        current: 10,
        wanted: 1,
        changes: [
          { change: -2, atMs: ago(30) },
          { change: -5, atMs: ago(61) },
        ],
        spec: spec({ scaleDown: { stabilizationWindowSeconds: 0, policies: [policy('Percent', 50)] } }),
      },
      [6, 'ReadyForNewScale', 'ScaleDownLimit'],
    ],
    [
      'not at all',
      { current: 10, wanted: 1, spec: spec({ scaleDown: { selectPolicy: 'Disabled', stabilizationWindowSeconds: 0 } }) },
      [10, 'ReadyForNewScale', 'ScaleDownLimit'],
    ],
    [
      'up only when the window agrees',
      {
        current: 4,
        wanted: 9,
        recommendations: [{ replicas: 5, atMs: ago(10) }],
        spec: spec({ scaleUp: { stabilizationWindowSeconds: 60, policies: [policy('Pods', 9)] } }),
      },
      [5, 'ScaleUpStabilized', 'DesiredWithinRange'],
    ],
  ];
  for (const [name, question, [replicas, able, limited]] of cases) {
    test(name, () => {
      const answer = planLimits({ spec: spec(), current: 1, wanted: 1, recommendations: [], changes: [], nowMs: NOW, ...question });
      assert.deepEqual([answer.replicas, answer.able.reason, answer.limited.reason], [replicas, able, limited]);
    });
  }
});

test('replicas follow the load; what is missing is said', { timeout: 90_000 }, async t => {
  const clock = new ManualClock(Date.now());
  const load = { cores: 0.05, usedNs: 0, atMs: clock.now(), uids: () => [] as string[] };
  const startTime = new Date(clock.now()).toISOString();
  const connector: NodeConnector = {
    async request() {
      const time = new Date(clock.now()).toISOString();
      load.usedNs += load.cores * (clock.now() - load.atMs) * 1e6;
      load.atMs = clock.now();
      const usageCoreNanoSeconds = load.usedNs;
      const memory = { workingSetBytes: 64 << 20 };
      const cpu = { time, usageCoreNanoSeconds };
      const pods = load.uids().map(uid => ({ podRef: { uid }, containers: [{ name: 'c', startTime, cpu, memory }] }));
      return {
        status: 200,
        headers: {},
        body: Readable.from([JSON.stringify({ node: { cpu: { time, usageCoreNanoSeconds }, memory }, pods })]),
      };
    },
    upgrade: () => Promise.reject(new Error('not asked for')),
    async [Symbol.asyncDispose]() {},
  };
  await using plane = await ControlPlane.start({
    also: [HorizontalPodAutoscaler],
    clock,
    nodeGraceMs: 86_400_000,
    nodeConnector: connector,
  });
  const { client, view, cluster } = plane;
  const namespace = 'default';
  const key = { namespace, name: 'web' };
  load.uids = () => view.list(Pod, namespace).map(({ metadata }) => metadata.uid);
  const status = (name = 'web') => view.get(HorizontalPodAutoscaler, { namespace, name })?.status;
  const condition = (type: string, name?: string) => status(name)?.conditions?.find(each => each.type === type);
  const replicas = () => view.get(Deployment, key)?.spec.replicas;
  /** Lets time pass until it is so. */
  async function passing(what: string, isSo: () => boolean): Promise<void> {
    const passes = setInterval(() => clock.advance(500), 10);
    try {
      await plane.until(what, isSo);
    } finally {
      clearInterval(passes);
    }
  }
  await client.create(Deployment, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: key,
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '100m' } } }] },
      },
    },
  });

  await t.test('kubectl autoscale: up with the load', async () => {
    await cluster.kubectl('autoscale', 'deployment', 'web', '--min=2', '--max=5', '--cpu=50%');
    await passing('the least', () => replicas() === 2);
    load.cores = 0.4;
    await passing('up', () => replicas() === 4 || replicas() === 5);
    await passing('the most', () => status()?.currentReplicas === 5 && condition('ScalingLimited')?.reason === 'TooManyReplicas');
    assert.equal(condition('ScalingActive')?.reason, 'ValidMetricFound');
    assert.ok(
      view
        .list(Event)
        .some(({ reason, message }) => reason === 'SuccessfulRescale' && /above target|below Spec.MinReplicas/.test(message ?? '')),
    );
    assert.match((await cluster.kubectl('get', 'hpa')).stdout, /Deployment\/web\s+cpu: \d+%\/50%\s+2\s+5\s+5/);
    assert.match((await cluster.kubectl('describe', 'hpa', 'web')).stdout, /ScalingActive\s+True\s+ValidMetricFound/);
  });

  await t.test('down when five minutes agree', async () => {
    load.cores = 0;
    await passing('held', () => condition('AbleToScale')?.reason === 'ScaleDownStabilized');
    assert.equal(replicas(), 5);
    await passing('down', () => replicas() === 2);
  });

  await t.test('what can not be followed says why', async () => {
    const make = (name: string, target: string, metric: object) =>
      client.create(HorizontalPodAutoscaler, {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name, namespace },
        spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: target }, metrics: [metric as never] },
      });
    await client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'other', namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'other' } },
        template: { metadata: { labels: { app: 'other' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    });
    const pods = { metric: { name: 'requests' }, target: { type: 'AverageValue', averageValue: '10' } };
    await make('custom', 'other', { type: 'Pods', pods });
    await passing('no such API', () => condition('ScalingActive', 'custom')?.reason === 'FailedGetPodsMetric');
    await make('nobody', 'none', { type: 'Pods', pods });
    await passing('no such target', () => condition('AbleToScale', 'nobody')?.reason === 'FailedGetScale');
    assert.match(String(condition('AbleToScale', 'nobody')?.message), /deployments\.apps "none" not found/);
    await make('rival', 'web', { type: 'Pods', pods });
    await passing('two for the same pods', () => condition('ScalingActive', 'rival')?.reason === 'AmbiguousSelector');
    await client.patch(Deployment, key, { spec: { replicas: 0 } });
    await passing('switched off', () => condition('ScalingActive')?.reason === 'ScalingDisabled');
  });
});
