import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import { DaemonSet } from '#kinds/daemon-set.ts';
import type { Draft } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

function daemonSet(name: string, spec: Partial<DaemonSet['spec']> = {}, pod: object = {}): Draft<DaemonSet> {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'one' }], ...pod } },
      ...spec,
    },
  };
}

const setImage = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });
const key = (name: string) => ({ namespace: NAMESPACE, name });
const podsOf = (view: View, app: string) => view.list(Pod, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === app);
const ready = (view: View, app: string) => podsOf(view, app).filter(pod => isPodActive(pod) && isPodReady(pod));
const nodesOf = (pods: Pod[]) =>
  pods
    .map(({ spec }) => spec.nodeName)
    .sort()
    .join(' ');

function isSettled(view: View, name: string, count: number, image = 'one'): boolean {
  const { metadata, status } = view.get(DaemonSet, key(name)) ?? {};
  return (
    podsOf(view, name).length === count &&
    ready(view, name).length === count &&
    podsOf(view, name).every(({ spec }) => spec.containers[0]?.image === image) &&
    status?.observedGeneration === metadata?.generation &&
    (status?.numberAvailable ?? 0) === count &&
    (status?.updatedNumberScheduled ?? 0) === count &&
    status?.desiredNumberScheduled === count
  );
}

test('DaemonSets', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 3, also: [DaemonSet, ControllerRevision] });
  const { client, cluster } = plane;

  await t.test('a pod on every node, also on new ones; unschedulable ones keep theirs', async () => {
    await client.create(DaemonSet, daemonSet('all'));
    await plane.until('3 pods', view => isSettled(view, 'all', 3));
    await cluster.kubectl('cordon', 'node-1');
    await plane.addNode('node-3', { labels: { disk: 'ssd' } });
    await plane.until('4 pods', view => isSettled(view, 'all', 4));
    assert.equal(nodesOf(podsOf(plane.view, 'all')), 'node-0 node-1 node-2 node-3');
    await cluster.kubectl('uncordon', 'node-1');
  });

  await t.test('only on nodes that selector and taints allow', async () => {
    await client.create(DaemonSet, daemonSet('ssd', {}, { nodeSelector: { disk: 'ssd' } }));
    await plane.until('1 pod', view => isSettled(view, 'ssd', 1));
    await cluster.kubectl('label', 'node', 'node-0', 'disk=ssd');
    await plane.until('2 pods', view => isSettled(view, 'ssd', 2));
    await cluster.kubectl('label', 'node', 'node-3', 'disk-');
    await plane.until('it moved', view => isSettled(view, 'ssd', 1) && nodesOf(podsOf(view, 'ssd')) === 'node-0');
    await client.patch(Node, { name: 'node-0' }, { spec: { taints: [{ key: 'mine', effect: 'NoSchedule' }] } }, { type: 'merge' });
    await plane.until('a taint that comes later leaves it', view => view.get(DaemonSet, key('ssd'))?.status?.numberMisscheduled === 1);
    await client.patch(Node, { name: 'node-0' }, { spec: { taints: [] } }, { type: 'merge' });
    await plane.until('as before', view => isSettled(view, 'ssd', 1));
  });

  await t.test('failed pods are replaced', async () => {
    const [victim] = podsOf(plane.view, 'ssd');
    await plane.setStatus(victim!, 'Failed', false);
    await plane.until('another', view => isSettled(view, 'ssd', 1) && podsOf(view, 'ssd')[0]?.metadata.uid !== victim!.metadata.uid);
  });

  await t.test('a rolling update keeps to maxUnavailable; status, history, undo and restart by kubectl', async () => {
    {
      using _limit = plane.always(view => assert.ok(ready(view, 'all').length >= 3));
      await client.patch(DaemonSet, key('all'), setImage('two'));
      await plane.until('all run image two', view => isSettled(view, 'all', 4, 'two'));
    }
    assert.match((await cluster.kubectl('rollout', 'status', 'ds/all', '--timeout=20s')).stdout, /successfully rolled out/);
    assert.match((await cluster.kubectl('rollout', 'history', 'ds/all')).stdout, /^2\s/m);
    await cluster.kubectl('rollout', 'undo', 'ds/all');
    await plane.until('all run image one again', view => isSettled(view, 'all', 4));
    const before = new Set(podsOf(plane.view, 'all').map(({ metadata }) => metadata.uid));
    await cluster.kubectl('rollout', 'restart', 'ds/all');
    await plane.until(
      'all are new',
      view => isSettled(view, 'all', 4) && podsOf(view, 'all').every(({ metadata }) => !before.has(metadata.uid)),
    );
  });

  await t.test('with maxSurge the new pod is available before the old one goes', async () => {
    const rollingUpdate = { maxSurge: 2, maxUnavailable: 0 };
    await client.patch(DaemonSet, key('all'), { spec: { updateStrategy: { type: 'RollingUpdate', rollingUpdate } } });
    using _limit = plane.always(view => {
      assert.ok(ready(view, 'all').length >= 4);
      assert.ok(podsOf(view, 'all').filter(isPodActive).length <= 6);
    });
    await client.patch(DaemonSet, key('all'), setImage('three'));
    await plane.until('all run image three', view => isSettled(view, 'all', 4, 'three'));
  });

  await t.test('another revision of the same template takes its place, and nothing restarts', async () => {
    const ofSet = (view: View) => view.list(ControllerRevision, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === 'all');
    const newest = (view: View) => ofSet(view).sort((a, b) => b.revision - a.revision)[0];
    const before = newest(plane.view);
    assert.ok(before);
    const uids = podsOf(plane.view, 'all').map(({ metadata }) => metadata.uid);
    const { labels, ownerReferences = [] } = before.metadata;
    await client.create(ControllerRevision, {
      ...before,
      metadata: { name: 'all-twin', namespace: NAMESPACE, ownerReferences, labels: { ...labels, 'controller-revision-hash': 'twin' } },
      revision: before.revision + 1,
    });
    await plane.until(
      'the twin is alone',
      view => ofSet(view).every(({ metadata }) => metadata.uid !== before.metadata.uid) && isSettled(view, 'all', 4, 'three'),
    );
    assert.equal(newest(plane.view)?.metadata.name, 'all-twin');
    assert.deepEqual(
      podsOf(plane.view, 'all').map(({ metadata }) => metadata.uid),
      uids,
    );
    assert.ok(podsOf(plane.view, 'all').every(({ metadata }) => metadata.labels?.['controller-revision-hash'] === 'twin'));
  });

  await t.test('killed in the middle of updates: never two pods on a node', async () => {
    const rollingUpdate = { maxSurge: 0, maxUnavailable: '50%' };
    await client.patch(DaemonSet, key('all'), { spec: { updateStrategy: { type: 'RollingUpdate', rollingUpdate } } });
    using _one = plane.always(view => {
      const nodes = podsOf(view, 'all')
        .filter(isPodActive)
        .map(({ spec, metadata }) => spec.nodeName || metadata.name);
      assert.equal(new Set(nodes).size, nodes.length, nodes.join(' '));
    });
    for (const image of ['four', 'five', 'six']) {
      await client.patch(DaemonSet, key('all'), setImage(image));
      await plane.until('it has begun', view => podsOf(view, 'all').some(({ spec }) => spec.containers[0]?.image === image));
      await plane.stopControllers({ abruptly: true });
      await plane.startControllers();
    }
    await plane.until('all run the last image', view => isSettled(view, 'all', 4, 'six'));
  });

  await t.test('OnDelete waits for deletions', async () => {
    await client.patch(
      DaemonSet,
      key('ssd'),
      { spec: { updateStrategy: { type: 'OnDelete', rollingUpdate: null }, ...setImage('two').spec } },
      { type: 'merge' },
    );
    await plane.until('it knows', view => {
      const { metadata, status } = view.get(DaemonSet, key('ssd'))!;
      return status?.observedGeneration === metadata.generation && !status?.updatedNumberScheduled;
    });
    await client.delete(Pod, podsOf(plane.view, 'ssd')[0]!.metadata);
    await plane.until('the next one is new', view => ready(view, 'ssd')[0]?.spec.containers[0]?.image === 'two');
  });
});
