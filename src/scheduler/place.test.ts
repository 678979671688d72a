import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIRROR, MIRRORED_CONTAINER } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';
import { createPlugins } from './plugins.ts';
import { node, pod, put, run, world } from './testing.ts';
import { candidateOf } from './world.ts';

const gpu = { key: 'gpu', value: 'yes', effect: 'NoSchedule' };
const nodes = () =>
  world([
    node('small', { cpu: '500m' }),
    node('tainted', { taints: [gpu] }),
    node('closed', { unschedulable: true }),
    node('ssd', { labels: { disk: 'ssd' } }),
  ]);

const cases: { name: string; pod: Pod; gives: string }[] = [
  { name: 'goes where it fits', pod: pod(), gives: 'ssd' },
  {
    name: 'goes where it tolerates',
    pod: pod({ tolerations: [{ key: 'gpu', operator: 'Exists' }], nodeSelector: {} }),
    gives: 'tainted',
  },
  {
    name: 'is told what keeps each node out',
    pod: pod({ nodeSelector: { disk: 'ssd' }, cpu: '3' }),
    gives:
      "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s) {gpu: yes}, 1 node(s) were unschedulable.",
  },
];
for (const each of cases) test(`a pod ${each.name}`, () => assert.equal(run(each.pod, nodes()), each.gives));

test('no nodes at all', () => assert.equal(run(pod(), world([])), 'no nodes available to schedule pods'));

test('what is used counts, host ports too, and is free again afterwards', () => {
  const only = world([node('only')]);
  const first = put(only, 'only', pod({ name: 'first', cpu: '1500m', hostPort: 8080 }))[0]!;
  assert.match(run(pod(), only), /Insufficient cpu/);
  assert.match(run(pod({ cpu: '100m', hostPort: 8080 }), only), /free ports/);
  assert.equal(run(pod({ cpu: '100m', hostPort: 8081 }), only), 'only');
  only.unplace(first);
  assert.equal(run(pod({ cpu: '2', hostPort: 8080 }), only), 'only');
});

test('a node that is full of pods says so', () => {
  const only = world([node('only')]);
  for (let index = 0; index < 3; index++) put(only, 'only', pod({ name: `p${index}`, cpu: '1m' }));
  assert.match(run(pod({ cpu: '1m' }), only), /Too many pods/);
});

test("Pods that show docker's containers take no place of a node's, but their host ports", () => {
  const annotations = { [MIRROR]: 'c', [MIRRORED_CONTAINER]: 'c' };
  const only = world([node('only')]);
  for (let index = 0; index < 9; index++)
    put(only, 'only', pod({ name: `p${index}`, cpu: '0', hostPort: 8080 + index, namespace: 'docker', annotations }));
  assert.equal(run(pod(), only), 'only');
  assert.match(run(pod({ hostPort: 8080 }), only), /free ports/);
});

test('the emptier node is preferred, the preferred one even more', () => {
  const two = world([node('full'), node('empty', { labels: { zone: 'b' } })]);
  put(two, 'full', pod({ name: 'first' }));
  assert.equal(run(pod({ cpu: '500m' }), two), 'empty');
  const preference = { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['b'] }] };
  const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] } };
  assert.equal(run(pod({ affinity, cpu: '500m' }), two), 'full');
});

test('rows of removed nodes are used again, empty', () => {
  const some = world([node('a'), node('b')]);
  put(some, 'a', pod({ cpu: '2' }));
  some.removeNode('a');
  some.putNode(node('c'));
  assert.equal(some.table.length, 2);
  assert.equal(some.table.cpuUsed[some.table.rowOf('c')!], 0);
});

test("a DaemonSet's pod is told of its own node alone", () => {
  const nodeSelectorTerms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['small'] }] }];
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } };
  assert.equal(
    run(pod({ affinity }), nodes()),
    "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) had untolerated taint(s) {gpu: yes}, 1 node(s) were unschedulable.",
  );
});

test('pods that ask for nothing spread all the same', () => {
  const two = world([node('a', { pods: '10' }), node('b', { pods: '10' })]);
  const went = ['1', '2', '3', '4'].map(name => {
    const each = pod({ name, cpu: '0' });
    const to = run(each, two);
    put(two, to, each);
    return to;
  });
  assert.deepEqual(went.sort(), ['a', 'a', 'b', 'b']);
});

test('soft taints and images decide between nodes that are the same otherwise', () => {
  const soft = { key: 'slow', effect: 'PreferNoSchedule' };
  assert.equal(run(pod(), world([node('tainted', { taints: [soft] }), node('clean')])), 'clean');
  assert.equal(run(pod({ tolerations: [{ operator: 'Exists' }] }), world([node('tainted', { taints: [soft] }), node('clean')])), 'tainted');
  assert.equal(run(pod(), world([node('without'), node('with', { images: { 'i:latest': 900 * 2 ** 20 } })])), 'with');
  assert.equal(run(pod(), world([node('without'), node('with', { images: { 'i:latest': 2 ** 20 } })])), 'without');
});

test('strategies: the fullest, or by a curve', () => {
  const two = () => {
    const made = world([node('empty'), node('full')]);
    put(made, 'full', pod({ name: 'first', cpu: '500m' }));
    return made;
  };
  assert.equal(run(pod(), two()), 'empty');
  assert.equal(run(pod(), two(), createPlugins({ fit: { type: 'MostAllocated' } })), 'full');
  const shape = [
    { utilization: 0, score: 0 },
    { utilization: 100, score: 10 },
  ];
  assert.equal(run(pod(), two(), createPlugins({ fit: { type: 'RequestedToCapacityRatio', shape } })), 'full');
});

test('room that is being made for the more important is not taken by others', () => {
  const only = world([node('only')]);
  const important = pod({ name: 'important', cpu: '2', priority: 10 });
  only.nominate(candidateOf('n/important', important), 'only');
  assert.match(run(pod({ priority: 9 }), only), /1 Insufficient cpu/);
  assert.equal(run(pod({ priority: 11 }), only), 'only');
  assert.equal(run(important, only), 'only');
  only.nominate('n/important', undefined);
  assert.equal(run(pod({ priority: 9 }), only), 'only');
});
