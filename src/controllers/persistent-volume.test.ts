import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Draft } from '#kinds/kind.ts';
import { LOCAL_PATH_DIRECTORY, LOCAL_PATH_FINALIZER } from '#kinds/local-path.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StorageClass } from '#kinds/storage.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';
import { ensureLocalPathClass } from './local-path.ts';

const NAMESPACE = 'default';
const key = (name: string) => ({ namespace: NAMESPACE, name });

function claim(name: string, spec: Partial<PersistentVolumeClaim['spec']> = {}): Draft<PersistentVolumeClaim> {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: key(name),
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  };
}

function volume(name: string, spec: Partial<PersistentVolume['spec']> = {}): Draft<PersistentVolume> {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: `/tmp/${name}` }, ...spec },
  };
}

function pod(name: string, claimName: string, spec: Partial<Pod['spec']> = {}): Draft<Pod> {
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName } }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: key(name), spec: { containers: [{ name: 'c', image: 'one' }], volumes, ...spec } };
}

const phases = (view: View, claimName: string, volumeName: string) =>
  `${view.get(PersistentVolumeClaim, key(claimName))?.status?.phase}/${view.get(PersistentVolume, { name: volumeName })?.status?.phase}`;
const volumeOf = (view: View, claimName: string) => {
  const name = view.get(PersistentVolumeClaim, key(claimName))?.spec.volumeName;
  return name ? view.get(PersistentVolume, { name }) : undefined;
};

test('volumes and claims', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 1, also: [PersistentVolume, PersistentVolumeClaim, StorageClass] });
  const { client } = plane;
  await client.patch(
    Node,
    { name: 'node-0' },
    { metadata: { annotations: { [LOCAL_PATH_DIRECTORY]: '/data/storage' } } },
    { type: 'merge' },
  );

  await t.test('a claim without a class takes the smallest volume that is large enough', async () => {
    await client.create(PersistentVolume, volume('large', { capacity: { storage: '5Gi' } }));
    await client.create(PersistentVolume, volume('fits', { capacity: { storage: '2Gi' } }));
    await client.create(PersistentVolume, volume('small', { capacity: { storage: '500Mi' } }));
    await plane.until('all are available', view => view.list(PersistentVolume).every(({ status }) => status?.phase === 'Available'));
    await client.create(PersistentVolumeClaim, claim('by-size', { storageClassName: '' }));
    await plane.until('they are bound', view => phases(view, 'by-size', 'fits') === 'Bound/Bound');
    const { metadata, spec, status } = (await client.get(PersistentVolumeClaim, key('by-size')))!;
    assert.equal(spec.volumeName, 'fits');
    assert.deepEqual(status?.capacity, { storage: '2Gi' });
    assert.deepEqual(status?.accessModes, ['ReadWriteOnce']);
    assert.equal(metadata.annotations?.['pv.kubernetes.io/bind-completed'], 'yes');
    assert.equal(metadata.annotations?.['pv.kubernetes.io/bound-by-controller'], 'yes');
    const bound = (await client.get(PersistentVolume, { name: 'fits' }))!;
    assert.equal(bound.spec.claimRef?.uid, metadata.uid);
    assert.ok(bound.status?.lastPhaseTransitionTime);
  });

  await t.test('a claim that is deleted leaves its volume released, and nobody takes that', async () => {
    await client.delete(PersistentVolumeClaim, key('by-size'));
    await plane.until('it is released', view => view.get(PersistentVolume, { name: 'fits' })?.status?.phase === 'Released');
    await client.create(PersistentVolumeClaim, claim('by-size', { storageClassName: '', resources: { requests: { storage: '2Gi' } } }));
    await plane.until('another one is bound', view => phases(view, 'by-size', 'large') === 'Bound/Bound');
  });

  await t.test('a volume that is kept for a claim is its, and no other takes it', async () => {
    await client.create(PersistentVolume, volume('kept', { claimRef: { namespace: NAMESPACE, name: 'chosen' } }));
    await client.create(PersistentVolumeClaim, claim('other', { storageClassName: '' }));
    await client.create(PersistentVolumeClaim, claim('chosen', { storageClassName: '' }));
    await plane.until('it is bound', view => phases(view, 'chosen', 'kept') === 'Bound/Bound');
    assert.equal(plane.view.get(PersistentVolumeClaim, key('other'))?.status?.phase, 'Pending');
    const { metadata } = (await client.get(PersistentVolume, { name: 'kept' }))!;
    assert.equal(metadata.annotations?.['pv.kubernetes.io/bound-by-controller'], undefined);
    await client.create(PersistentVolume, volume('late'));
    await plane.until('a volume that comes later is taken', view => phases(view, 'other', 'late') === 'Bound/Bound');
  });

  await t.test('a bound volume that is deleted stays while it is bound; a claim whose volume is gone is lost', async () => {
    await client.delete(PersistentVolume, { name: 'late' });
    assert.ok((await client.get(PersistentVolume, { name: 'late' }))?.metadata.deletionTimestamp);
    await client.patch(PersistentVolume, { name: 'late' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await plane.until('it is lost', view => view.get(PersistentVolumeClaim, key('other'))?.status?.phase === 'Lost');
  });

  await t.test('a volume that nobody can remove says so', async () => {
    const policy = { persistentVolumeReclaimPolicy: 'Delete', claimRef: { namespace: NAMESPACE, name: 'going' } };
    await client.create(PersistentVolume, volume('stays', policy));
    await client.create(PersistentVolumeClaim, claim('going', { storageClassName: '' }));
    await plane.until('it is bound', view => phases(view, 'going', 'stays') === 'Bound/Bound');
    await client.delete(PersistentVolumeClaim, key('going'));
    await plane.until('it has failed', view => view.get(PersistentVolume, { name: 'stays' })?.status?.phase === 'Failed');
    assert.match(String((await client.get(PersistentVolume, { name: 'stays' }))?.status?.message), /no deletable volume plugin matched/);
  });

  await t.test('the default class makes a volume on the node of the first consumer', async () => {
    await ensureLocalPathClass(client);
    await ensureLocalPathClass(client);
    const made = await client.create(PersistentVolumeClaim, claim('dynamic'));
    assert.equal(made.spec.storageClassName, 'local-path');
    assert.deepEqual(made.metadata.finalizers, ['kubernetes.io/pvc-protection']);
    await client.create(Pod, pod('consumer', 'dynamic'));
    await plane.until('it is bound', view => phases(view, 'dynamic', `pvc-${made.metadata.uid}`) === 'Bound/Bound');
    const { metadata, spec } = volumeOf(plane.view, 'dynamic')!;
    assert.equal(metadata.name, `pvc-${made.metadata.uid}`);
    assert.equal(spec.local?.path, `/data/storage/${made.metadata.uid}_default_dynamic`);
    assert.deepEqual(spec.nodeAffinity?.required?.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values, ['node-0']);
    assert.ok(metadata.finalizers?.includes(LOCAL_PATH_FINALIZER));
  });

  await t.test('a bound claim grows', async () => {
    const size = (storage: string) => ({ spec: { resources: { requests: { storage } } } });
    await client.patch(PersistentVolumeClaim, key('dynamic'), size('3Gi'), { type: 'merge' });
    await plane.until('it has grown', view => view.get(PersistentVolumeClaim, key('dynamic'))?.status?.capacity?.storage === '3Gi');
    assert.equal(volumeOf(plane.view, 'dynamic')?.spec.capacity?.storage, '3Gi');
    await assert.rejects(client.patch(PersistentVolumeClaim, key('dynamic'), size('1Gi'), { type: 'merge' }), {
      reason: 'Invalid',
      message: /spec.resources.requests.storage: Forbidden: field can not be less than status.capacity/,
    });
  });

  await t.test('a claim in use goes after its pods, its volume after that, once the node has removed the directory', async () => {
    const { name } = volumeOf(plane.view, 'dynamic')!.metadata;
    await client.delete(PersistentVolumeClaim, key('dynamic'));
    assert.ok((await client.get(PersistentVolumeClaim, key('dynamic')))?.metadata.deletionTimestamp);
    await client.delete(Pod, key('consumer'));
    await plane.until('the claim is gone', view => !view.get(PersistentVolumeClaim, key('dynamic')));
    const isLeftToNode = (view: View) => {
      const { deletionTimestamp, finalizers } = view.get(PersistentVolume, { name })!.metadata;
      return deletionTimestamp !== undefined && finalizers?.join() === LOCAL_PATH_FINALIZER;
    };
    await plane.until('the volume waits for its node', isLeftToNode);
    await client.delete(Node, { name: 'node-0' });
    await plane.until('without its node it goes', view => !view.get(PersistentVolume, { name }));
  });

  await t.test('an ephemeral volume’s claim comes and goes with its pod', async () => {
    const template = {
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
      metadata: { labels: { a: 'b' } },
    };
    const volumes = [{ name: 'scratch-a', ephemeral: { volumeClaimTemplate: template } }];
    const { metadata } = await client.create(Pod, pod('the-pod', '', { volumes }));
    await plane.until('it is there', view => view.get(PersistentVolumeClaim, key('the-pod-scratch-a')) !== undefined);
    const made = plane.view.get(PersistentVolumeClaim, key('the-pod-scratch-a'));
    assert.equal(made?.metadata.ownerReferences?.[0]?.uid, metadata.uid);
    assert.equal(made?.metadata.labels?.a, 'b');
    await client.delete(Pod, key('the-pod'), { gracePeriodSeconds: 0 });
    await plane.until('it is gone', view => !view.get(PersistentVolumeClaim, key('the-pod-scratch-a')));
  });
});

test('a controller killed in the midst of binding finds every claim its one volume', { timeout: 120_000 }, async () => {
  await using plane = await ControlPlane.start({ nodes: 0, also: [PersistentVolume, PersistentVolumeClaim] });
  const { client } = plane;
  const count = 40;
  const writing = Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await client.create(PersistentVolume, volume(`v${index}`, { capacity: { storage: `${1 + (index % 3)}Gi` } }));
      await client.create(PersistentVolumeClaim, claim(`c${index}`, { storageClassName: '' }));
    }),
  );
  for (const share of [3, 10, 25]) {
    const bound = (view: View) => view.list(PersistentVolumeClaim).filter(({ status }) => status?.phase === 'Bound').length;
    await plane.until(`${share} are bound`, view => bound(view) >= share);
    await plane.stopControllers({ abruptly: true });
    await plane.startControllers();
  }
  await writing;
  await plane.until(
    'all are bound',
    view => view.list(PersistentVolumeClaim).filter(({ status }) => status?.phase === 'Bound').length === count,
  );
  await plane.until('all volumes say so', view => view.list(PersistentVolume).every(({ status }) => status?.phase === 'Bound'));
  const taken = new Set(plane.view.list(PersistentVolumeClaim).map(({ spec }) => spec.volumeName));
  assert.equal(taken.size, count);
  for (const { metadata, spec } of plane.view.list(PersistentVolumeClaim)) {
    const named = plane.view.get(PersistentVolume, { name: spec.volumeName ?? '' });
    assert.equal(named?.spec.claimRef?.uid, metadata.uid);
  }
});
