import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerOf } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive } from '#kinds/pod-template.ts';
import { ReplicationController } from '#kinds/replication-controller.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

test('ReplicationControllers: pods, scale, status, release', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start();
  const { client, cluster } = plane;
  const key = { namespace: NAMESPACE, name: 'old' };
  const podsOf = (view: View) => view.list(Pod, NAMESPACE).filter(pod => pod.metadata.labels?.app === 'old' && isPodActive(pod));
  await client.create(ReplicationController, {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: key,
    spec: { replicas: 2, template: { metadata: { labels: { app: 'old' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } },
  });
  await plane.until('2 pods', view => podsOf(view).length === 2);
  assert.equal(controllerOf(podsOf(plane.view)[0]!)?.kind, 'ReplicationController');

  await t.test('kubectl scale and the status', async () => {
    await cluster.kubectl('scale', 'rc/old', '--replicas=4');
    await cluster.kubectl('wait', 'rc/old', '--for=jsonpath={.status.availableReplicas}=4', '--timeout=20s');
    assert.match((await cluster.kubectl('get', 'rc', 'old')).stdout, /old\s+4\s+4\s+4/);
  });

  await t.test('a pod that loses its label is released and replaced', async () => {
    const [pod] = podsOf(plane.view);
    await client.patch(Pod, pod!.metadata, { metadata: { labels: { app: 'else' } } }, { type: 'merge' });
    await plane.until('it is free', view => controllerOf(view.get(Pod, pod!.metadata)!) === undefined && podsOf(view).length === 4);
  });
});
