import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, UmiakError } from '#base/index.ts';
import { type Client, createClient } from '#client/index.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { podCondition } from '#kinds/pod-template.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { Scheduler } from './scheduler.ts';

const namespace = 'default';

function pod(
  name: string,
  { cpu = '100m', hostPort = 0, ...spec }: Partial<Pod['spec']> & { cpu?: string; hostPort?: number } = {},
): Draft<Pod> {
  const ports = hostPort ? [{ containerPort: 80, hostPort }] : [];
  const containers = [{ name: 'c', image: 'i', resources: { requests: { cpu } }, ports }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec: { containers, ...spec } };
}

const nodeOf = (view: View, name: string) => view.get(Pod, { namespace, name })?.spec.nodeName;
const failures = (view: View, name: string) =>
  view.list(Event, namespace).filter(({ reason, involvedObject }) => reason === 'FailedScheduling' && involvedObject.name === name);

async function startScheduler(plane: ControlPlane, change: (client: Client) => Client = client => client): Promise<Scheduler> {
  const client = createClient(plane.cluster.server.local({ name: 'system:kube-scheduler', groups: ['system:masters'] }));
  const scheduler = new Scheduler({ client: change(client), clock: systemClock, log: silentLog });
  await scheduler.start();
  return scheduler;
}

test('what finds no place says why, node by node, and is tried again when something may help', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true });
  const { client, cluster } = plane;
  await using _scheduler = await startScheduler(plane);

  await t.test('no nodes at all', async () => {
    await client.create(Pod, pod('first'));
    await plane.until('an event says so', view =>
      failures(view, 'first').some(({ message }) => message === 'no nodes available to schedule pods'),
    );
  });

  await t.test('a node that comes wakes it', async () => {
    await plane.addNode('small', { cpu: '1' });
    await plane.until('it is bound', view => nodeOf(view, 'first') === 'small');
    await plane.until('PodScheduled and an event say so', view => {
      const assigned = view.list(Event, namespace).find(({ reason }) => reason === 'Scheduled');
      return (
        podCondition(view.get(Pod, { namespace, name: 'first' })!, 'PodScheduled')?.status === 'True' &&
        assigned?.message === `Successfully assigned ${namespace}/first to small`
      );
    });
  });

  await t.test('each reason with the number of nodes it keeps out', async () => {
    await plane.addNode('tiny', { cpu: '1' });
    await plane.addNode('cordoned');
    await client.patch(Node, { name: 'cordoned' }, { spec: { unschedulable: true } });
    await plane.addNode('tainted');
    await client.patch(Node, { name: 'tainted' }, { spec: { taints: [{ key: 'team', value: 'x', effect: 'NoSchedule' }] } });
    await plane.until('they are seen', view => view.get(Node, { name: 'tainted' })?.spec.taints?.length === 1);
    await client.create(Pod, pod('big', { cpu: '3' }));
    const expected =
      '0/4 nodes are available: 1 node(s) had untolerated taint(s) {team: x}, 1 node(s) were unschedulable, 2 Insufficient cpu. ' +
      'preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.';
    await plane.until('the event counts', view => failures(view, 'big').some(({ message }) => message === expected));
    await plane.until('the condition too', view => {
      const condition = podCondition(view.get(Pod, { namespace, name: 'big' })!, 'PodScheduled');
      return condition?.status === 'False' && condition.reason === 'Unschedulable' && condition.message === expected;
    });
    assert.match((await cluster.kubectl('describe', 'pod', 'big')).stdout, /FailedScheduling.*2 Insufficient cpu/);
    assert.match((await cluster.kubectl('get', 'pod', 'big')).stdout, /Pending/);
  });

  await t.test('a heartbeat wakes nobody; a taint taken away does', async () => {
    const before = failures(plane.view, 'big').reduce((sum, { count = 1 }) => sum + count, 0);
    const node = plane.view.get(Node, { name: 'tiny' })!;
    await client.updateStatus(Node, {
      ...node,
      status: { ...node.status, conditions: [{ type: 'Ready', status: 'True', reason: 'again' }] },
    });
    await client.create(Pod, pod('marker', { cpu: '10m' }));
    await plane.until('a later pod is bound', view => nodeOf(view, 'marker') !== undefined);
    assert.equal(
      failures(plane.view, 'big').reduce((sum, { count = 1 }) => sum + count, 0),
      before,
    );
    await client.patch(Node, { name: 'tainted' }, { spec: { taints: null } }, { type: 'merge' });
    await plane.until('it is bound', view => nodeOf(view, 'big') === 'tainted');
  });

  await t.test('room that a deleted pod leaves is used', async () => {
    await client.create(Pod, pod('squatter', { cpu: '61' }));
    await plane.until('it is bound', view => nodeOf(view, 'squatter') === 'tainted');
    await client.create(Pod, pod('waiting', { cpu: '50' }));
    await plane.until('there is no room', view => failures(view, 'waiting').length === 1);
    await client.delete(Pod, { namespace, name: 'squatter' }, { gracePeriodSeconds: 0 });
    await plane.until('there is', view => nodeOf(view, 'waiting') === 'tainted');
  });

  await t.test('a host port is taken once a node', async () => {
    const nodeSelector = { 'kubernetes.io/hostname': 'ports' };
    await plane.addNode('ports', { labels: nodeSelector });
    await client.create(Pod, pod('port-1', { hostPort: 8080, nodeSelector }));
    await plane.until('the first is bound', view => nodeOf(view, 'port-1') === 'ports');
    await client.create(Pod, pod('port-2', { hostPort: 8080, nodeSelector }));
    await client.create(Pod, pod('port-3', { hostPort: 8081, nodeSelector }));
    await plane.until('another port is free', view => nodeOf(view, 'port-3') === 'ports');
    await plane.until('the same is not', view =>
      failures(view, 'port-2').some(({ message }) => /1 node\(s\) didn't have free ports/.test(message ?? '')),
    );
    await client.delete(Pod, { namespace, name: 'port-1' }, { gracePeriodSeconds: 0 });
    await plane.until('then it is', view => nodeOf(view, 'port-2') === 'ports');
  });

  await t.test('gated pods and those of other schedulers are left alone', async () => {
    await client.create(Pod, pod('gated', { schedulingGates: [{ name: 'example.com/wait' }] }));
    await client.create(Pod, pod('foreign', { schedulerName: 'mine' }));
    await client.create(Pod, pod('marker-2', { cpu: '10m' }));
    await plane.until('a later pod is bound', view => nodeOf(view, 'marker-2') !== undefined);
    assert.equal(nodeOf(plane.view, 'gated') ?? nodeOf(plane.view, 'foreign'), undefined);
    await client.patch(Pod, { namespace, name: 'gated' }, { spec: { schedulingGates: null } }, { type: 'merge' });
    await plane.until('the gate is open', view => nodeOf(view, 'gated') !== undefined);
  });
});

test('assumed pods are never booked twice, whatever order bindings end in', { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true });
  for (let index = 0; index < 8; index++) await plane.addNode(`n${index}`, { cpu: '4', pods: '10' });
  const { client } = plane;
  const most = { atOnce: 0, now: 0 };
  // Every fifth binding fails as if the answer had been lost or the server had been away, half of them after it was done.
  let calls = 0;
  const unreliable = (real: Client): Client => ({
    ...real,
    async createSubresource<R>(...args: Parameters<Client['createSubresource']>): Promise<R> {
      const fate = calls++ % 10;
      most.atOnce = Math.max(most.atOnce, ++most.now);
      try {
        if (fate === 4) throw new UmiakError('ServiceUnavailable', 'away');
        await new Promise(resolve => setTimeout(resolve, (calls * 7) % 5));
        const result = await real.createSubresource<R>(...args);
        if (fate === 9) throw new UmiakError('ServiceUnavailable', 'the answer was lost');
        return result;
      } finally {
        most.now -= 1;
      }
    },
  });
  using _books = plane.always(view => {
    const used = new Map<string, number>();
    for (const { spec } of view.list(Pod, namespace)) if (spec.nodeName) used.set(spec.nodeName, (used.get(spec.nodeName) ?? 0) + 1);
    for (const [node, count] of used) assert.ok(count <= 4, `${count} pods of 1 CPU on ${node}, which has 4`);
  });
  await Promise.all(Array.from({ length: 40 }, (_, index) => client.create(Pod, pod(`p${index}`, { cpu: '1' }))));
  await using _scheduler = await startScheduler(plane, unreliable);
  await plane.until('32 are bound, 8 are told why not', view => {
    const pods = view.list(Pod, namespace);
    const bound = pods.filter(({ spec }) => spec.nodeName);
    return bound.length === 32 && pods.every(each => each.spec.nodeName || podCondition(each, 'PodScheduled')?.status === 'False');
  });
  assert.ok(most.atOnce > 16, `${most.atOnce} bindings at once`);
  const victims = plane.view
    .list(Pod, namespace)
    .filter(({ spec }) => spec.nodeName)
    .slice(0, 8);
  await Promise.all(victims.map(({ metadata }) => client.delete(Pod, metadata, { gracePeriodSeconds: 0 })));
  await plane.until('the others follow', view => view.list(Pod, namespace).filter(({ spec }) => spec.nodeName).length === 32);
});

test('a pod that somebody else binds first counts where it went', { timeout: 30_000 }, async () => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true });
  await plane.addNode('one', { cpu: '1' });
  await plane.addNode('two', { cpu: '1' });
  const { client } = plane;
  let isFirst = true;
  await using _scheduler = await startScheduler(plane, real => ({
    ...real,
    async createSubresource<R>(...[kind, key, subresource, body]: Parameters<Client['createSubresource']>): Promise<R> {
      const { target } = body as { target: { name: string } };
      if (isFirst) {
        isFirst = false;
        const other = { ...(body as object), target: { ...target, name: target.name === 'one' ? 'two' : 'one' } };
        await client.createSubresource(kind, key, subresource, other);
      }
      return real.createSubresource<R>(kind, key, subresource, body);
    },
  }));
  await client.create(Pod, pod('contested', { cpu: '1' }));
  await plane.until('it is bound', view => nodeOf(view, 'contested') !== undefined);
  await client.create(Pod, pod('next', { cpu: '1' }));
  await plane.until(
    'the other node takes the next',
    view => nodeOf(view, 'next') !== undefined && nodeOf(view, 'next') !== nodeOf(view, 'contested'),
  );
});

test('1,000 pods on 100 nodes', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true });
  for (let index = 0; index < 100; index++) await plane.addNode(`n${index}`, { cpu: '32', pods: '110' });
  plane.kubelet.isReady = () => false;
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => plane.client.create(Pod, pod(`p${index}`))));
  const began = performance.now();
  await using _scheduler = await startScheduler(plane);
  await plane.until('all are bound', view => view.list(Pod, namespace).every(({ spec }) => spec.nodeName));
  const seconds = (performance.now() - began) / 1_000;
  t.diagnostic(`${Math.round(1_000 / seconds)} pods/s bound, seen by a watch`);
  const perNode = new Map<string, number>();
  for (const { spec } of plane.view.list(Pod, namespace)) perNode.set(spec.nodeName!, (perNode.get(spec.nodeName!) ?? 0) + 1);
  assert.equal(perNode.size, 100);
  assert.ok(Math.max(...perNode.values()) <= 12, `${Math.max(...perNode.values())} pods on one node`);
});
