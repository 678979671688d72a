import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Event } from '#kinds/event.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { isOutOfService, planTerminated } from './pod-gc.ts';

test('ended pods: the evicted first, then the oldest, until the number is right', () => {
  const pod = (name: string, phase: string, second: number, reason?: string) =>
    ({ metadata: { name, creationTimestamp: `2026-01-01T00:00:0${second}Z` }, status: { phase, reason } }) as unknown as Pod;
  const pods = [
    pod('new', 'Failed', 5),
    pod('runs', 'Running', 0),
    pod('old', 'Succeeded', 1),
    pod('evicted', 'Failed', 6, 'Evicted'),
    pod('middle', 'Failed', 3),
  ];
  const names = (most: number) => planTerminated(pods, most).map(({ metadata }) => metadata.name);
  assert.deepEqual(names(2), ['evicted', 'old']);
  assert.deepEqual(names(0), ['evicted', 'old', 'middle', 'new']);
  assert.deepEqual(names(4), []);
});

test('a node is out of service when it is tainted so and not ready', () => {
  const node = (ready: string, key: string) =>
    ({ spec: { taints: [{ key, effect: 'NoExecute' }] }, status: { conditions: [{ type: 'Ready', status: ready }] } }) as unknown as Node;
  assert.equal(isOutOfService(node('Unknown', 'node.kubernetes.io/out-of-service')), true);
  assert.equal(isOutOfService(node('True', 'node.kubernetes.io/out-of-service')), false);
  assert.equal(isOutOfService(node('False', 'other')), false);
});

test('pods of lost nodes end, and say why', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 2 });
  const { client, kubelet, view } = plane;
  const namespace = 'default';
  const make = (name: string, spec: object = {}, metadata: object = {}) =>
    client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, ...metadata },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    });
  const get = (name: string) => view.get(Pod, { namespace, name });
  const target = (name: string) => get(name)?.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
  kubelet.isStubborn = () => true;

  await t.test('taints that people set count from when they are seen', async () => {
    const tolerations = [{ key: 'out', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 1 }];
    await make('soon', { nodeName: 'node-0', tolerations });
    await make('stays', { nodeName: 'node-0', tolerations: [{ operator: 'Exists' }] });
    await plane.until('running', () => get('soon')?.status?.phase === 'Running' && get('stays')?.status?.phase === 'Running');
    await client.patch(Node, { name: 'node-0' }, { spec: { taints: [{ key: 'out', effect: 'NoExecute' }] } }, { type: 'merge' });
    await plane.until('told to end', () => get('soon')?.metadata.deletionTimestamp !== undefined);
    assert.deepEqual([target('soon')?.status, target('soon')?.reason], ['True', 'DeletionByTaintManager']);
    assert.equal(get('stays')?.metadata.deletionTimestamp, undefined);
    await plane.until('an event', () => view.list(Event).some(({ reason }) => reason === 'TaintManagerEviction'));
  });

  await t.test('out of service: those told to end are gone', async () => {
    const conditions = [{ type: 'Ready', status: 'False' }];
    await client.patch(Node, { name: 'node-0' }, { status: { conditions } }, { type: 'strategic', subresource: 'status' });
    const taints = [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute', value: 'nodeshutdown' }];
    await client.patch(Node, { name: 'node-0' }, { spec: { taints } }, { type: 'merge' });
    await plane.until('gone', () => get('soon') === undefined);
    assert.ok(get('stays'));
  });

  await t.test('a node that is deleted takes its pods along', async () => {
    await make('orphan', { nodeName: 'node-1', tolerations: [{ operator: 'Exists' }] }, { finalizers: ['example.com/look'] });
    await plane.until('running', () => get('orphan')?.status?.phase === 'Running');
    await client.delete(Node, { name: 'node-1' });
    await plane.until('told to end', () => get('orphan')?.metadata.deletionTimestamp !== undefined);
    assert.equal(get('orphan')?.status?.phase, 'Failed');
    assert.equal(target('orphan')?.reason, 'DeletionByPodGC');
    await client.patch(Pod, { namespace, name: 'orphan' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await plane.until('gone', () => get('orphan') === undefined);
  });
});
