import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { NodeTable } from './node-table.ts';
import { explain, place } from './place.ts';
import { filters, scores } from './plugins.ts';
import { requestOf } from './scheduler.ts';

const plugins = { filters, scores };
const metadata = (name: string) => ({ name, uid: name, resourceVersion: '1', creationTimestamp: '' });

function node(
  name: string,
  {
    cpu = '2',
    labels = {},
    taints = [],
    unschedulable = false,
  }: { cpu?: string; labels?: Record<string, string>; taints?: NonNullable<Node['spec']['taints']>; unschedulable?: boolean } = {},
): Node {
  const allocatable = { cpu, memory: '4Gi', pods: '3' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { ...metadata(name), labels },
    spec: { taints, unschedulable },
    status: { allocatable },
  };
}

function pod(spec: Partial<Pod['spec']> = {}, cpu = '1', hostPort?: number): Pod {
  const ports = hostPort ? [{ containerPort: 80, hostPort, protocol: 'TCP' }] : [];
  const containers = [{ name: 'c', image: 'i', resources: { requests: { cpu } }, ports }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata('p'), namespace: 'n' }, spec: { containers, ...spec } };
}

function table(...nodes: Node[]): NodeTable {
  const made = new NodeTable();
  for (const each of nodes) made.put(each);
  return made;
}

function run(of: Pod, on: NodeTable): string {
  const placement = place({ pod: of, request: requestOf(of) }, on, plugins, { next: 0 });
  return placement.row === undefined ? explain(placement.reasons, on.size) : placement.node;
}

const gpu = { key: 'gpu', value: 'yes', effect: 'NoSchedule' };
const nodes = () =>
  table(
    node('small', { cpu: '500m' }),
    node('tainted', { taints: [gpu] }),
    node('closed', { unschedulable: true }),
    node('ssd', { labels: { disk: 'ssd' } }),
  );

const cases: { name: string; pod: Pod; gives: string }[] = [
  { name: 'goes where it fits', pod: pod(), gives: 'ssd' },
  {
    name: 'goes where it tolerates',
    pod: pod({ tolerations: [{ key: 'gpu', operator: 'Exists' }], nodeSelector: {} }, '1', undefined),
    gives: 'tainted',
  },
  {
    name: 'is told what keeps each node out',
    pod: pod({ nodeSelector: { disk: 'ssd' } }, '3'),
    gives:
      "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s) {gpu: yes}, 1 node(s) were unschedulable.",
  },
];
for (const each of cases) test(`a pod ${each.name}`, () => assert.equal(run(each.pod, nodes()), each.gives));

test('no nodes at all', () => assert.equal(run(pod(), table()), 'no nodes available to schedule pods'));

test('what is used counts, host ports too, and is free again afterwards', () => {
  const only = table(node('only'));
  const first = requestOf(pod({}, '1500m', 8080));
  only.use(0, first, 1);
  assert.match(run(pod({}, '1'), only), /Insufficient cpu/);
  assert.match(run(pod({}, '100m', 8080), only), /free ports/);
  assert.equal(run(pod({}, '100m', 8081), only), 'only');
  only.use(0, first, -1);
  assert.equal(run(pod({}, '2', 8080), only), 'only');
});

test('a node that is full of pods says so', () => {
  const only = table(node('only'));
  for (let count = 0; count < 3; count++) only.use(0, requestOf(pod({}, '1m')), 1);
  assert.match(run(pod({}, '1m'), only), /Too many pods/);
});

test('the emptier node is preferred, the preferred one even more', () => {
  const two = table(node('full'), node('empty', { labels: { zone: 'b' } }));
  two.use(0, requestOf(pod({}, '1')), 1);
  assert.equal(run(pod({}, '500m'), two), 'empty');
  const preference = { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['b'] }] };
  const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] } };
  assert.equal(run(pod({ affinity }, '500m'), two), 'full');
});

test('rows of removed nodes are used again, empty', () => {
  const some = table(node('a'), node('b'));
  some.use(0, requestOf(pod({}, '2')), 1);
  some.remove('a');
  some.put(node('c'));
  assert.equal(some.length, 2);
  assert.equal(some.cpuUsed[some.rowOf('c')!], 0);
});
