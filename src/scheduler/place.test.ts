import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { explain, place } from './place.ts';
import { createPlugins } from './plugins.ts';
import { candidateOf, World } from './world.ts';

const plugins = createPlugins();
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

function world(...nodes: Node[]): World {
  const made = new World();
  for (const each of nodes) made.putNode(each);
  return made;
}

let count = 0;
const put = (on: World, of: Pod, node_: string) => on.place(candidateOf(`n/${++count}`, of), node_);

function run(of: Pod, on: World): string {
  const placement = place(candidateOf('n/p', of), on, plugins, { next: 0 });
  return placement.row === undefined ? explain(placement, on.table.size) : placement.node;
}

const gpu = { key: 'gpu', value: 'yes', effect: 'NoSchedule' };
const nodes = () =>
  world(
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

test('no nodes at all', () => assert.equal(run(pod(), world()), 'no nodes available to schedule pods'));

test('what is used counts, host ports too, and is free again afterwards', () => {
  const only = world(node('only'));
  const first = put(only, pod({}, '1500m', 8080), 'only');
  assert.match(run(pod({}, '1'), only), /Insufficient cpu/);
  assert.match(run(pod({}, '100m', 8080), only), /free ports/);
  assert.equal(run(pod({}, '100m', 8081), only), 'only');
  only.unplace(first);
  assert.equal(run(pod({}, '2', 8080), only), 'only');
});

test('a node that is full of pods says so', () => {
  const only = world(node('only'));
  for (let index = 0; index < 3; index++) put(only, pod({}, '1m'), 'only');
  assert.match(run(pod({}, '1m'), only), /Too many pods/);
});

test('the emptier node is preferred, the preferred one even more', () => {
  const two = world(node('full'), node('empty', { labels: { zone: 'b' } }));
  put(two, pod({}, '1'), 'full');
  assert.equal(run(pod({}, '500m'), two), 'empty');
  const preference = { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['b'] }] };
  const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] } };
  assert.equal(run(pod({ affinity }, '500m'), two), 'full');
});

test('rows of removed nodes are used again, empty', () => {
  const some = world(node('a'), node('b'));
  put(some, pod({}, '2'), 'a');
  some.removeNode('a');
  some.putNode(node('c'));
  assert.equal(some.table.length, 2);
  assert.equal(some.table.cpuUsed[some.table.rowOf('c')!], 0);
});
