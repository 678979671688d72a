import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOCAL_PATH_DIRECTORY } from '#kinds/local-path.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StorageClass } from '#kinds/storage.ts';
import { made } from '#kinds/testing.ts';
import { asksForLocalPath, planLocalVolume, planRefusal } from './local-path-plan.ts';
import { planEphemeralClaim } from './volume-ephemeral.ts';
import { isToGrow } from './volume-expand.ts';
import { planFinalizers } from './volume-protection.ts';
import { nodeOfConsumer } from './volume-selected-node.ts';

const claim = (spec: object = {}, metadata: object = {}) =>
  made(PersistentVolumeClaim, {
    metadata: { name: 'c', namespace: 'default', uid: 'u', ...metadata },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } }, ...spec },
  });
const pod = (spec: object, metadata: object = {}) =>
  made(Pod, {
    metadata: { name: 'p', namespace: 'default', uid: 'pu', ...metadata },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
  });
const GOING = { deletionTimestamp: '2026-01-01T00:00:00Z' };

test('a claim asks for a directory when the binder says who is to make its volume', () => {
  const annotations = { 'volume.kubernetes.io/storage-provisioner': 'umiak.io/local-path' };
  assert.ok(asksForLocalPath(claim({}, { annotations })));
  assert.ok(!asksForLocalPath(claim()));
  assert.ok(!asksForLocalPath(claim({ volumeName: 'v' }, { annotations })));
  assert.ok(!asksForLocalPath(claim({}, { annotations, ...GOING })));
});

test('what a directory can’t be is refused', () => {
  assert.equal(planRefusal(claim()), undefined);
  assert.match(planRefusal(claim({ volumeMode: 'Block' })) ?? '', /volumeMode Block/);
  assert.match(planRefusal(claim({ selector: {} })) ?? '', /Selector/);
  assert.match(planRefusal(claim({ dataSource: { kind: 'PersistentVolumeClaim', name: 'x' } })) ?? '', /data source/);
});

test('a local volume lies where its node says, under a name that fits', () => {
  const storageClass = made(StorageClass, { metadata: { name: 's' }, provisioner: 'umiak.io/local-path', reclaimPolicy: 'Retain' });
  const node = (annotations: object) => made(Node, { metadata: { name: 'n', annotations, labels: { 'kubernetes.io/hostname': 'host' } } });
  assert.equal(planLocalVolume(claim(), storageClass, node({})), undefined);
  const there = node({ [LOCAL_PATH_DIRECTORY]: '/data/storage' });
  const { spec } = planLocalVolume(claim(), storageClass, there)!;
  assert.equal(spec.local?.path, '/data/storage/u_default_c');
  assert.equal(spec.persistentVolumeReclaimPolicy, 'Retain');
  assert.deepEqual(spec.nodeAffinity?.required?.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values, ['host']);
  const paths = ['a', 'b'].map(
    end => planLocalVolume(claim({}, { name: 'x'.repeat(240) + end }), storageClass, there)?.spec.local?.path ?? '',
  );
  assert.ok(paths.every(path => path.length < 230) && paths[0] !== paths[1]);
});

test('finalizers: one on what lives, none on what is deleted and unused', () => {
  const finalizers = ['x/y', 'a/b'];
  assert.deepEqual(planFinalizers(claim({}, { finalizers: ['x/y'] }), 'a/b', false), finalizers);
  assert.equal(planFinalizers(claim({}, { finalizers }), 'a/b', true), undefined);
  assert.equal(planFinalizers(claim({}, { finalizers, ...GOING }), 'a/b', true), undefined);
  assert.deepEqual(planFinalizers(claim({}, { finalizers, ...GOING }), 'a/b', false), ['x/y']);
  assert.equal(planFinalizers(claim({}, { finalizers: ['x/y'], ...GOING }), 'a/b', false), undefined);
});

test('an ephemeral claim is its pod’s', () => {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
  const volume = { name: 'v', ephemeral: { volumeClaimTemplate: { metadata: { labels: { a: 'b' } }, spec } } };
  const { metadata } = planEphemeralClaim(pod({ volumes: [volume] }), volume);
  assert.equal(metadata.name, 'p-v');
  assert.deepEqual(metadata.labels, { a: 'b' });
  assert.deepEqual(metadata.ownerReferences, [
    { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'pu', controller: true, blockOwnerDeletion: true },
  ]);
});

test('a claim grows once it is bound and asks for more than it has', () => {
  const bound = { ...claim({ volumeName: 'v' }, { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }) };
  const having = (storage: string) => isToGrow({ ...bound, status: { phase: 'Bound', capacity: { storage } } });
  assert.deepEqual([having('1Gi'), having('2048Mi'), having('3Gi')], [true, false, false]);
  assert.ok(!isToGrow({ ...claim(), status: { phase: 'Pending' } }));
});

test('the node of a claim’s consumer', () => {
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }];
  assert.equal(nodeOfConsumer('c', [pod({ volumes })]), undefined);
  assert.equal(nodeOfConsumer('c', [pod({ volumes, nodeName: 'n' }, GOING), pod({ nodeName: 'm' }), pod({ volumes, nodeName: 'k' })]), 'k');
});
