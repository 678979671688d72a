import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '#base/index.ts';
import { createClient } from '#client/index.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StorageClass } from '#kinds/storage.ts';
import { BIND_COMPLETED, SELECTED_NODE } from '#kinds/volume-binding.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { Scheduler } from './scheduler.ts';

const namespace = 'default';
const ZONE = 'topology.kubernetes.io/zone';

function podWith(name: string, claimName: string): Draft<Pod> {
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName } }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec: { containers: [{ name: 'c', image: 'i' }], volumes } };
}

function claim(name: string, storageClassName: string, accessMode = 'ReadWriteOnce'): Draft<PersistentVolumeClaim> {
  const spec = { storageClassName, accessModes: [accessMode], resources: { requests: { storage: '1Gi' } } };
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, namespace }, spec };
}

function volume(name: string, storageClassName: string, zone: string): Draft<PersistentVolume> {
  const nodeSelectorTerms = [{ matchExpressions: [{ key: ZONE, operator: 'In', values: [zone] }] }];
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      storageClassName,
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '1Gi' },
      local: { path: '/x' },
      nodeAffinity: { required: { nodeSelectorTerms } },
    },
  };
}

const storageClass = (name: string, provisioner: string, volumeBindingMode: string): Draft<StorageClass> => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name },
  provisioner,
  volumeBindingMode,
});

const nodeOf = (view: View, name: string) => view.get(Pod, { namespace, name })?.spec.nodeName;
const isTold = (view: View, name: string, message: string) =>
  view.list(Event, namespace).some(event => event.involvedObject.name === name && event.message === message);
const refused = (why: string) =>
  `0/2 nodes are available: ${why}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.`;

test('pods go where their volumes are, and wait for their claims', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 0, idle: true, also: [PersistentVolumeClaim, PersistentVolume, StorageClass] });
  const { client } = plane;
  await plane.addNode('node-a', { labels: { [ZONE]: 'a' } });
  await plane.addNode('node-b', { labels: { [ZONE]: 'b' } });
  await client.create(StorageClass, storageClass('now', 'example.com/disk', 'Immediate'));
  await client.create(StorageClass, storageClass('later', 'example.com/disk', 'WaitForFirstConsumer'));
  await client.create(StorageClass, storageClass('by-hand', 'kubernetes.io/no-provisioner', 'WaitForFirstConsumer'));
  const schedulerClient = createClient(plane.cluster.server.local({ name: 'system:kube-scheduler', groups: ['system:masters'] }));
  await using scheduler = new Scheduler({ client: schedulerClient, clock: systemClock, log: silentLog });
  await scheduler.start();
  /** What the binder of claims does at the end. */
  const bind = (name: string, volumeName: string) =>
    client.patch(
      PersistentVolumeClaim,
      { namespace, name },
      { metadata: { annotations: { [BIND_COMPLETED]: 'yes' } }, spec: { volumeName } },
      { type: 'merge' },
    );

  await t.test('a claim that is missing, then not bound, then bound to a volume of one zone', async () => {
    await client.create(Pod, podWith('bound', 'immediate'));
    await plane.until('it is missing', view => isTold(view, 'bound', refused('persistentvolumeclaim "immediate" not found')));
    await client.create(PersistentVolumeClaim, claim('immediate', 'now'));
    await plane.until('it is not bound', view => isTold(view, 'bound', refused('pod has unbound immediate PersistentVolumeClaims')));
    await client.create(PersistentVolume, volume('of-b', 'now', 'b'));
    await bind('immediate', 'of-b');
    await plane.until('the pod is where the volume is', view => nodeOf(view, 'bound') === 'node-b');
  });

  await t.test('a claim that waits for its consumer is told the node, and bound before the pod', async () => {
    await client.create(PersistentVolumeClaim, claim('late', 'later'));
    await client.create(Pod, podWith('consumer', 'late'));
    const chosen = (view: View) => view.get(PersistentVolumeClaim, { namespace, name: 'late' })?.metadata.annotations?.[SELECTED_NODE];
    await plane.until('a node is chosen', view => chosen(view) !== undefined);
    const first = chosen(plane.view);
    assert.equal(nodeOf(plane.view, 'consumer'), undefined);
    await client.patch(
      PersistentVolumeClaim,
      { namespace, name: 'late' },
      { metadata: { annotations: { [SELECTED_NODE]: null } } },
      { type: 'merge' },
    );
    await plane.until('a node is chosen again when the provisioner gives up', view => chosen(view) !== undefined);
    await client.create(PersistentVolume, volume('made', 'later', chosen(plane.view) === 'node-a' ? 'a' : 'b'));
    await bind('late', 'made');
    await plane.until('the pod is bound', view => nodeOf(view, 'consumer') !== undefined);
    assert.equal(nodeOf(plane.view, 'consumer'), chosen(plane.view));
    assert.ok(first);
  });

  await t.test('volumes made by hand are given to claims where the pod goes, each once', async () => {
    await client.create(PersistentVolumeClaim, claim('hand-1', 'by-hand'));
    await client.create(PersistentVolumeClaim, claim('hand-2', 'by-hand'));
    await client.create(Pod, podWith('user-1', 'hand-1'));
    await plane.until('there is none', view =>
      isTold(view, 'user-1', refused("2 node(s) didn't find available persistent volumes to bind")),
    );
    const made = await client.create(PersistentVolume, volume('hand-a', 'by-hand', 'a'));
    await client.updateStatus(PersistentVolume, { ...made, status: { phase: 'Available' } });
    await plane.until('it is given', view => view.get(PersistentVolume, { name: 'hand-a' })?.spec.claimRef?.name === 'hand-1');
    await client.create(Pod, podWith('user-2', 'hand-2'));
    await plane.until('the other gets nothing', view =>
      isTold(view, 'user-2', refused("2 node(s) didn't find available persistent volumes to bind")),
    );
    await bind('hand-1', 'hand-a');
    await plane.until('the pod is bound', view => nodeOf(view, 'user-1') === 'node-a');
  });

  await t.test('a claim for one pod keeps a second away', async () => {
    await client.create(PersistentVolumeClaim, claim('single', 'now', 'ReadWriteOncePod'));
    await client.create(PersistentVolume, volume('single', 'now', 'a'));
    await bind('single', 'single');
    await client.create(Pod, podWith('one', 'single'));
    await plane.until('the first is bound', view => nodeOf(view, 'one') === 'node-a');
    await client.create(Pod, podWith('two', 'single'));
    await plane.until('the second is told', view =>
      view
        .list(Event, namespace)
        .some(({ involvedObject, message }) => involvedObject.name === 'two' && /ReadWriteOncePod/.test(message ?? '')),
    );
    await client.delete(Pod, { namespace, name: 'one' }, { gracePeriodSeconds: 0 });
    await plane.until('then it is bound', view => nodeOf(view, 'two') === 'node-a');
  });
});
