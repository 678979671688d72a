import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '#base/index.ts';
import { createClient } from '#client/index.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { podCondition } from '#kinds/pod-template.ts';
import { PodDisruptionBudget } from '#kinds/policy.ts';
import { PriorityClass } from '#kinds/scheduling.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { Scheduler } from './scheduler.ts';

const namespace = 'default';

function pod(
  name: string,
  { cpu = '1', labels = {}, ...spec }: Partial<Pod['spec']> & { cpu?: string; labels?: Record<string, string> },
): Draft<Pod> {
  const containers = [{ name: 'c', image: 'i', resources: { requests: { cpu } } }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels }, spec: { containers, ...spec } };
}

const get = (view: View, name: string) => view.get(Pod, { namespace, name });
const eventsOf = (view: View, name: string) => view.list(Event, namespace).filter(({ involvedObject }) => involvedObject.name === name);

async function startPlane(): Promise<ControlPlane> {
  const plane = await ControlPlane.start({ nodes: 0, idle: true, also: [PodDisruptionBudget] });
  for (const [name, value] of [
    ['low', 1],
    ['high', 100],
    ['polite', 50],
  ] as const)
    await plane.client.create(PriorityClass, {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
      ...(name === 'polite' ? { preemptionPolicy: 'Never' } : {}),
    });
  return plane;
}

async function startScheduler(plane: ControlPlane, profiles?: readonly { name: string }[]): Promise<Scheduler> {
  const client = createClient(plane.cluster.server.local({ name: 'system:kube-scheduler', groups: ['system:masters'] }));
  const scheduler = new Scheduler({ client, clock: systemClock, log: silentLog, ...(profiles ? { profiles } : {}) });
  await scheduler.start();
  return scheduler;
}

test('the more important pod gets its room, with grace, where budgets allow it', { timeout: 60_000 }, async () => {
  await using plane = await startPlane();
  const { client } = plane;
  const stubborn = new Set<string>();
  plane.kubelet.isStubborn = ({ metadata }) => stubborn.has(metadata.name);
  for (const name of ['a', 'b']) await plane.addNode(name, { cpu: '2' });
  await client.create(PodDisruptionBudget, {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'kept', namespace },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'kept' } } },
  });
  await using _scheduler = await startScheduler(plane);
  await client.create(Pod, pod('kept', { cpu: '2', priorityClassName: 'low', labels: { app: 'kept' }, nodeSelector: {} }));
  await client.create(Pod, pod('victim', { cpu: '2', priorityClassName: 'low' }));
  await plane.until('both run', view => ['kept', 'victim'].every(name => get(view, name)?.spec.nodeName));
  const node = get(plane.view, 'victim')!.spec.nodeName!;
  stubborn.add('victim');

  await client.create(Pod, pod('polite', { priorityClassName: 'polite' }));
  await plane.until('who may not preempt is told so', view =>
    eventsOf(view, 'polite').some(
      ({ message }) => message === '0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.',
    ),
  );

  await client.create(Pod, pod('important', { priorityClassName: 'high' }));
  await plane.until('the node is nominated', view => get(view, 'important')?.status?.nominatedNodeName === node);
  await plane.until('the victim is told to go, and why', view => {
    const victim = get(view, 'victim')!;
    const condition = podCondition(victim, 'DisruptionTarget');
    return (
      victim.metadata.deletionTimestamp !== undefined &&
      victim.metadata.deletionGracePeriodSeconds === 30 &&
      condition?.status === 'True' &&
      condition.reason === 'PreemptionByScheduler' &&
      condition.message === 'default-scheduler: preempting to accommodate a higher priority pod'
    );
  });
  const { uid } = get(plane.view, 'important')!.metadata;
  await plane.until('an event says so', view =>
    eventsOf(view, 'victim').some(({ reason, message }) => reason === 'Preempted' && message === `Preempted by pod ${uid} on node ${node}`),
  );
  assert.equal(get(plane.view, 'important')?.spec.nodeName ?? '', '');
  assert.equal(podCondition(get(plane.view, 'important')!, 'PodScheduled')?.reason, 'Unschedulable');

  stubborn.clear();
  plane.replay();
  await plane.until('it gets the room, and the other what is left of it', view =>
    ['important', 'polite'].every(name => get(view, name)?.spec.nodeName === node),
  );
  assert.equal(get(plane.view, 'important')?.status?.nominatedNodeName, undefined);
  assert.equal(get(plane.view, 'kept')?.metadata.deletionTimestamp, undefined);
});

test('pods wait in the order of their importance; a profile takes those that name it', { timeout: 60_000 }, async () => {
  await using plane = await startPlane();
  const { client } = plane;
  await client.create(Pod, pod('first', { priorityClassName: 'low', schedulerName: 'mine' }));
  await client.create(Pod, pod('second', { priorityClassName: 'polite', schedulerName: 'mine' }));
  await client.create(Pod, pod('default', { priorityClassName: 'high' }));
  await plane.addNode('only', { cpu: '1' });
  await using _scheduler = await startScheduler(plane, [{ name: 'mine' }]);
  await plane.until('the more important one', view => get(view, 'second')?.spec.nodeName === 'only');
  await plane.until('the other waits', view =>
    eventsOf(view, 'first').some(({ reason, source }) => reason === 'FailedScheduling' && source?.component === 'mine'),
  );
  assert.equal(eventsOf(plane.view, 'default').length, 0);
});
