import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toTime } from '#base/index.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { staleDisruptionInMs } from './stale-disruption.ts';

const NOW_MS = Date.parse('2026-11-23T12:00:00Z');
const target = (agoMs: number, more: object = {}) => ({
  type: 'DisruptionTarget',
  status: 'True',
  reason: 'EvictionByEvictionAPI',
  lastTransitionTime: toTime(NOW_MS - agoMs),
  ...more,
});

test('when what is said of a disruption becomes stale', () => {
  const inMs = (condition: object, status: object = {}, metadata: object = {}) =>
    staleDisruptionInMs({ metadata, status: { phase: 'Running', conditions: [condition], ...status } } as unknown as Pod, NOW_MS);
  assert.equal(inMs(target(30_000)), 90_000);
  assert.equal(inMs(target(130_000)), 0);
  assert.equal(inMs(target(130_000, { status: 'False' })), undefined);
  assert.equal(inMs(target(130_000, { reason: 'TerminationByKubelet' })), undefined, 'a kubelet may take its time');
  assert.equal(inMs(target(130_000), { phase: 'Failed' }), undefined, 'the end is explained by it');
  assert.equal(inMs(target(130_000), {}, { deletionTimestamp: toTime(NOW_MS) }), undefined, 'it is being done');
  assert.equal(inMs({ type: 'Ready', status: 'True' }), undefined);
});

test('a stale DisruptionTarget is set back, a fresh one stays', { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start({ nodes: 1 });
  const { client, view } = plane;
  const namespace = 'default';
  for (const name of ['fresh', 'stale'])
    await client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: { containers: [{ name: 'c', image: 'i' }], nodeName: 'node-0' },
    });
  const condition = (name: string) =>
    view.get(Pod, { namespace, name })?.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
  const say = (name: string, agoMs: number) => {
    const lastTransitionTime = toTime(Date.now() - agoMs);
    const conditions = [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', lastTransitionTime }];
    return client.patch(Pod, { namespace, name }, { status: { conditions } }, { type: 'strategic', subresource: 'status' });
  };
  await say('fresh', 0);
  await say('stale', 121_000);
  await plane.until('set back', () => condition('stale')?.status === 'False');
  assert.equal(condition('fresh')?.status, 'True');
});
