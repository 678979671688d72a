import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerOf } from '#client/index.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

function replicaSet(name: string, replicas: number, labels: Record<string, string> = { app: name }): Draft<ReplicaSet> {
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  };
}

const podsOf = (view: View, app: string) => view.list(Pod, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === app);

function isSettled(view: View, name: string, replicas: number): boolean {
  const pods = podsOf(view, name);
  const { status } = view.get(ReplicaSet, { namespace: NAMESPACE, name }) ?? {};
  return (
    pods.length === replicas && pods.every(pod => isPodActive(pod) && isPodReady(pod)) && (status?.availableReplicas ?? 0) === replicas
  );
}

test('ReplicaSets', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 3 });
  const { client } = plane;
  const scale = (name: string, replicas: number) => client.patch(ReplicaSet, { namespace: NAMESPACE, name }, { spec: { replicas } });

  await t.test('0 → 200 → 3, never more than asked for', async () => {
    await client.create(ReplicaSet, replicaSet('many', 0));
    {
      using _limit = plane.always(view => assert.ok(podsOf(view, 'many').filter(isPodActive).length <= 200));
      await scale('many', 200);
      await plane.until('200 pods run', view => isSettled(view, 'many', 200));
    }
    using _least = plane.always(view => assert.ok(podsOf(view, 'many').filter(isPodActive).length >= 3));
    await scale('many', 3);
    await plane.until('3 pods are left', view => isSettled(view, 'many', 3));
  });

  await t.test('what it says of an object is bounded', async () => {
    await plane.until('an event tells of a pod', view => view.list(Event, NAMESPACE).some(({ reason }) => reason === 'SuccessfulCreate'));
    const about = plane.view.list(Event, NAMESPACE).filter(({ involvedObject }) => involvedObject.kind === 'ReplicaSet');
    assert.ok(about.length <= 25, `${about.length} events`);
  });

  await t.test('failed pods are replaced and stay to be looked at', async () => {
    await client.create(ReplicaSet, replicaSet('fail', 3));
    await plane.until('3 pods run', view => isSettled(view, 'fail', 3));
    const [victim] = podsOf(plane.view, 'fail');
    await plane.setStatus(victim!, 'Failed', false);
    await plane.until('3 others run', view => podsOf(view, 'fail').filter(pod => isPodActive(pod) && isPodReady(pod)).length === 3);
    assert.equal(plane.view.get(Pod, victim!.metadata)?.status?.phase, 'Failed');
    await plane.until('the status leaves it out', view => {
      const { status } = view.get(ReplicaSet, { namespace: NAMESPACE, name: 'fail' })!;
      return status?.replicas === 3 && status.readyReplicas === 3;
    });
  });

  await t.test('a deleted pod is replaced at once, though it takes its grace to go', async () => {
    plane.kubelet.isStubborn = pod => pod.metadata.labels?.app === 'grace';
    await client.create(ReplicaSet, replicaSet('grace', 2));
    await plane.until('2 pods run', view => isSettled(view, 'grace', 2));
    const [victim] = podsOf(plane.view, 'grace');
    await client.delete(Pod, victim!.metadata);
    await plane.until('2 others run beside it', view => {
      const pods = podsOf(view, 'grace');
      return pods.length === 3 && pods.filter(pod => isPodActive(pod) && isPodReady(pod)).length === 2;
    });
    await plane.until('the status knows of it', view => {
      const { status } = view.get(ReplicaSet, { namespace: NAMESPACE, name: 'grace' })!;
      return status?.terminatingReplicas === 1 && status.replicas === 2;
    });
    delete plane.kubelet.isStubborn;
    plane.replay();
    await plane.until('it goes', view => isSettled(view, 'grace', 2));
  });

  await t.test('the least missed go first: not ready before ready, cheap before dear', async () => {
    plane.kubelet.isReady = pod => pod.metadata.labels?.broken !== 'yes';
    await client.create(ReplicaSet, replicaSet('order', 5));
    await plane.until('5 pods run', view => isSettled(view, 'order', 5));
    const [unready, cheap, ...kept] = podsOf(plane.view, 'order');
    await client.patch(Pod, unready!.metadata, { metadata: { labels: { broken: 'yes' } } });
    await client.patch(Pod, cheap!.metadata, { metadata: { annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-10' } } });
    await plane.until('one is not ready', view => podsOf(view, 'order').filter(isPodReady).length === 4);
    await scale('order', 3);
    await plane.until('3 are left', view => isSettled(view, 'order', 3));
    assert.deepEqual(
      podsOf(plane.view, 'order')
        .map(({ metadata }) => metadata.uid)
        .sort(),
      kept.map(({ metadata }) => metadata.uid).sort(),
    );
  });

  await t.test('ownerless pods that match are adopted; owned ones that no longer match are released', async () => {
    const pod = (name: string): Draft<Pod> => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: NAMESPACE, labels: { app: 'own' } },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    await client.create(Pod, pod('early'));
    await client.create(ReplicaSet, replicaSet('own', 2));
    await plane.until(
      '2 pods, the early one among them',
      view => isSettled(view, 'own', 2) && controllerOf(view.get(Pod, { namespace: NAMESPACE, name: 'early' })!) !== undefined,
    );
    await client.patch(Pod, { namespace: NAMESPACE, name: 'early' }, { metadata: { labels: { app: 'free' } } });
    await plane.until('it is free and replaced', view => {
      const early = view.get(Pod, { namespace: NAMESPACE, name: 'early' })!;
      return !controllerOf(early) && isSettled(view, 'own', 2);
    });
    await client.create(Pod, pod('late'));
    await plane.until('one too many goes', view => isSettled(view, 'own', 2));
    assert.ok(plane.view.get(Pod, { namespace: NAMESPACE, name: 'early' }), 'what was released lives on');
  });

  await t.test('what can not be made is said once and tried again with growing pauses', async () => {
    const set = replicaSet('never', 50);
    set.spec.template!.spec.serviceAccountName = 'nobody';
    await client.create(ReplicaSet, set);
    await plane.until('it says why', view => {
      const { status } = view.get(ReplicaSet, { namespace: NAMESPACE, name: 'never' }) ?? {};
      return status?.conditions?.some(({ type, reason }) => type === 'ReplicaFailure' && reason === 'FailedCreate') === true;
    });
    const written = () => plane.view.get(ReplicaSet, { namespace: NAMESPACE, name: 'never' })?.metadata.resourceVersion;
    const before = written();
    const told = (view: View) =>
      view.list(Event, NAMESPACE).filter(({ reason, involvedObject }) => reason === 'FailedCreate' && involvedObject.name === 'never');
    await plane.until('events say so, of several tries', view => told(view).reduce((sum, { count }) => sum + (count ?? 1), 0) >= 3);
    assert.equal(written(), before, 'the failure that goes on is not written again');
  });
});
