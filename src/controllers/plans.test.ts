import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Service } from '#kinds/service.ts';
import { planSlices } from './endpoint-slice.ts';
import { evictionInMs, planTaints } from './node-lifecycle.ts';
import { availableInMs, planRemovals } from './pods.ts';
import { type Condition, isSameStatus, setCondition } from './status.ts';

const meta = (name: string) => ({ name, namespace: 'n', uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' });
const NOW = Date.parse('2026-01-01T01:00:00Z');

function pod(name: string, { ready = true, phase = 'Running', node = 'a', ip = `10.0.0.${name.length}`, cost = '' } = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...meta(name), annotations: cost ? { 'controller.kubernetes.io/pod-deletion-cost': cost } : {} },
    spec: { containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 8080, protocol: 'TCP' }] }], nodeName: node },
    status: {
      phase,
      podIP: ip,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:59:50Z' }],
    },
  };
}

test('the least missed pods go first', () => {
  const pods = [
    pod('ready'),
    pod('dear', { cost: '10' }),
    pod('unready', { ready: false }),
    pod('pending', { phase: 'Pending', ready: false }),
    pod('unassigned', { node: '', phase: 'Pending', ready: false }),
  ];
  assert.deepEqual(
    planRemovals(pods, 5, NOW).map(({ metadata }) => metadata.name),
    ['unassigned', 'pending', 'unready', 'ready', 'dear'],
  );
  assert.deepEqual(planRemovals(pods, 0, NOW), []);
});

test('a pod is available once it has been ready for minReadySeconds', () => {
  assert.equal(availableInMs(pod('a'), 0, NOW), 0);
  assert.equal(availableInMs(pod('a'), 10, NOW), 0);
  assert.equal(availableInMs(pod('a'), 30, NOW), 20_000);
  assert.equal(availableInMs(pod('a', { ready: false }), 0, NOW), undefined);
});

const service: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: meta('s'),
  spec: { selector: { app: 'a' }, ports: [{ name: 'http', port: 80, targetPort: 'web', protocol: 'TCP' }] },
};

function settled(plan: ReturnType<typeof planSlices>): EndpointSlice[] {
  return [
    ...plan.create.map((slice, index) => ({ ...slice, metadata: { ...meta(`s-${index}`), ...slice.metadata } }) as EndpointSlice),
    ...plan.update,
  ];
}

test('endpoints: named ports resolved, unready ones present but not ready, finished ones absent', () => {
  const [slice] = planSlices(service, [pod('a'), pod('bb', { ready: false }), pod('ccc', { phase: 'Succeeded' })], []).create;
  assert.deepEqual(slice?.ports, [{ name: 'http', protocol: 'TCP', port: 8080 }]);
  assert.deepEqual(
    slice?.endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    [
      ['10.0.0.1', true],
      ['10.0.0.2', false],
    ],
  );
});

test('endpoints: nothing changed means nothing written, one changed pod changes one slice', () => {
  const pods = Array.from({ length: 250 }, (_, index) => pod(`p${index}`, { ip: `10.0.${index >> 8}.${index & 255}` }));
  const slices = settled(planSlices(service, pods, []));
  assert.equal(slices.length, 3);
  assert.deepEqual(planSlices(service, pods, slices), { create: [], update: [], remove: [] });
  const plan = planSlices(service, [...pods.slice(0, 120), pod('p120', { ip: '10.0.0.120', ready: false }), ...pods.slice(121)], slices);
  assert.deepEqual([plan.create.length, plan.update.length, plan.remove.length], [0, 1, 0]);
});

test('endpoints: a Service without pods keeps one empty slice', () => {
  const slices = settled(planSlices(service, [pod('a')], []));
  const plan = planSlices(service, [], slices);
  assert.deepEqual([plan.create.length, plan.remove.length, plan.update[0]?.endpoints], [0, 0, []]);
});

function node(ready: string, taints: NonNullable<Node['spec']['taints']> = [], unschedulable = false): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: meta('a'),
    spec: { taints, unschedulable },
    status: { conditions: [{ type: 'Ready', status: ready }] },
  };
}

test('taints follow conditions; foreign ones and the time of known ones stay', () => {
  const foreign = { key: 'mine', effect: 'NoSchedule' };
  assert.deepEqual(planTaints(node('True', [foreign, { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }]), NOW), [foreign]);
  const unknown = planTaints(node('Unknown', [], true), NOW);
  assert.deepEqual(
    unknown.map(({ key, effect }) => `${key.split('/')[1]}:${effect}`),
    ['unreachable:NoSchedule', 'unreachable:NoExecute', 'unschedulable:NoSchedule'],
  );
  assert.deepEqual(planTaints(node('Unknown', unknown, true), NOW + 60_000), unknown);
});

test('eviction: at once, later, or never', () => {
  const taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '2026-01-01T00:59:00Z' };
  assert.equal(evictionInMs([], [taint], NOW), 0);
  assert.equal(evictionInMs([{ key: taint.key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }], [taint], NOW), 240_000);
  assert.equal(evictionInMs([{ operator: 'Exists' }], [taint], NOW), undefined);
});

test('conditions: the transition time moves only with the status', () => {
  const first = setCondition<Condition>([], { type: 'Ready', status: 'True', reason: 'A' }, NOW);
  const second = setCondition(first, { type: 'Ready', status: 'True', reason: 'B' }, NOW + 5_000);
  assert.equal(second[0]?.lastTransitionTime, first[0]?.lastTransitionTime);
  assert.equal(second[0]?.reason, 'B');
  assert.notEqual(
    setCondition(second, { type: 'Ready', status: 'False' }, NOW + 5_000)[0]?.lastTransitionTime,
    first[0]?.lastTransitionTime,
  );
  assert.deepEqual(setCondition(second, { type: 'Ready', status: undefined }, NOW), []);
});

test('statuses: absent, zero and empty are the same, order of fields does not matter', () => {
  assert.ok(isSameStatus({ b: 1, a: { y: 1, x: 2 } }, { a: { x: 2, y: 1 }, b: 1, zero: 0, none: [] }));
  assert.ok(!isSameStatus({ a: 1 }, { a: 2 }));
});
