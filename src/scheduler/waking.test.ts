import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '#base/index.ts';
import { createClient } from '#client/index.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { Scheduler } from './scheduler.ts';

const namespace = 'default';
const ZONE = 'zone';

function pod(name: string, { labels = {}, ...spec }: Partial<Pod['spec']> & { labels?: Record<string, string> } = {}): Draft<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
  };
}

const nodeOf = (view: View, name: string) => view.get(Pod, { namespace, name })?.spec.nodeName;
const failuresOf = (view: View, name: string) =>
  view
    .list(Event, namespace)
    .filter(({ reason, involvedObject }) => reason === 'FailedScheduling' && involvedObject.name === name)
    .reduce((sum, { count = 1 }) => sum + count, 0);
const term = (app: string) => ({ labelSelector: { matchLabels: { app } }, topologyKey: ZONE });

test('pods are woken by what helps them, and by nothing else', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true });
  const { client } = plane;
  await plane.addNode('a', { labels: { [ZONE]: 'a' } });
  await plane.addNode('b', { labels: { [ZONE]: 'b' } });
  const schedulerClient = createClient(plane.cluster.server.local({ name: 'system:kube-scheduler', groups: ['system:masters'] }));
  await using scheduler = new Scheduler({ client: schedulerClient, clock: systemClock, log: silentLog });
  await scheduler.start();
  const remove = (name: string) => client.delete(Pod, { namespace, name }, { gracePeriodSeconds: 0 });

  await t.test('affinity: by a pod that it needs, not by another', async () => {
    await client.create(
      Pod,
      pod('wanting', { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db')] } } }),
    );
    await plane.until('it has no place', view => failuresOf(view, 'wanting') === 1);
    await client.create(Pod, pod('web', { labels: { app: 'web' } }));
    await plane.until('another pod comes', view => nodeOf(view, 'web') !== undefined);
    await remove('web');
    await client.create(Pod, pod('marker'));
    await plane.until('a later pod is bound', view => nodeOf(view, 'marker') !== undefined);
    assert.equal(failuresOf(plane.view, 'wanting'), 1);
    await client.create(Pod, pod('db', { labels: { app: 'db' }, nodeSelector: { [ZONE]: 'b' } }));
    await plane.until('it follows', view => nodeOf(view, 'wanting') === 'b');
  });

  await t.test('anti-affinity: when the other goes, or changes its labels', async () => {
    const podAntiAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term('loud')] };
    for (const node of ['a', 'b'])
      await client.create(Pod, pod(`loud-${node}`, { labels: { app: 'loud' }, nodeSelector: { [ZONE]: node } }));
    await plane.until('both are there', view => nodeOf(view, 'loud-a') === 'a' && nodeOf(view, 'loud-b') === 'b');
    await client.create(Pod, pod('quiet-1', { affinity: { podAntiAffinity } }));
    await plane.until('it has no place', view => failuresOf(view, 'quiet-1') > 0);
    await remove('loud-a');
    await plane.until('it has', view => nodeOf(view, 'quiet-1') === 'a');
    await client.create(Pod, pod('quiet-2', { affinity: { podAntiAffinity }, nodeSelector: { [ZONE]: 'b' } }));
    await plane.until('it has no place', view => failuresOf(view, 'quiet-2') > 0);
    await client.patch(Pod, { namespace, name: 'loud-b' }, { metadata: { labels: { app: 'calm' } } }, { type: 'merge' });
    await plane.until('it has', view => nodeOf(view, 'quiet-2') === 'b');
  });

  await t.test('spreading: by a pod that evens it', async () => {
    const topologySpreadConstraints = [
      { maxSkew: 1, topologyKey: ZONE, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 's' } } },
    ];
    await client.create(Pod, pod('s-1', { labels: { app: 's' }, nodeSelector: { [ZONE]: 'a' } }));
    await plane.until('the first', view => nodeOf(view, 's-1') === 'a');
    await client.patch(Node, { name: 'b' }, { spec: { unschedulable: true } });
    await plane.until('a node is closed', view => view.get(Node, { name: 'b' })?.spec.unschedulable === true);
    await client.create(Pod, pod('s-2', { labels: { app: 's' }, topologySpreadConstraints }));
    await plane.until('it has no place', view => failuresOf(view, 's-2') > 0);
    await remove('s-1');
    await plane.until('it has', view => nodeOf(view, 's-2') === 'a');
  });
});
