import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import type { Draft } from '#kinds/kind.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

function statefulSet(name: string, replicas: number, spec: Partial<StatefulSet['spec']> = {}): Draft<StatefulSet> {
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas,
      serviceName: 'svc',
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      ...spec,
    },
  };
}

const setImage = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });
const key = (name: string) => ({ namespace: NAMESPACE, name });
const podsOf = (view: View, app: string) =>
  view
    .list(Pod, NAMESPACE)
    .filter(({ metadata }) => metadata.labels?.app === app)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
const ready = (view: View, app: string) => podsOf(view, app).filter(pod => isPodActive(pod) && isPodReady(pod));
const names = (pods: Pod[]) => pods.map(({ metadata }) => metadata.name).join(' ');

function isSettled(view: View, name: string, replicas: number, image = 'one'): boolean {
  const pods = podsOf(view, name);
  const { metadata, status } = view.get(StatefulSet, key(name)) ?? {};
  return (
    pods.length === replicas &&
    ready(view, name).length === replicas &&
    pods.every(({ spec }) => spec.containers[0]?.image === image) &&
    status?.observedGeneration === metadata?.generation &&
    (status?.availableReplicas ?? 0) === replicas &&
    status?.currentRevision === status?.updateRevision
  );
}

test('StatefulSets', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 2, also: [StatefulSet, ControllerRevision, PersistentVolumeClaim] });
  const { client, cluster, kubelet } = plane;

  await t.test('members come in order, each with its name, host name, labels and revision', async () => {
    const held = new Set(['web-1']);
    kubelet.isReady = ({ metadata }) => !held.has(metadata.name);
    await client.create(StatefulSet, statefulSet('web', 3));
    await plane.until('web-1 is there and not ready', view => podsOf(view, 'web').length === 2 && ready(view, 'web').length === 1);
    held.clear();
    plane.replay();
    await plane.until('3 members', view => isSettled(view, 'web', 3));
    const [first, second] = podsOf(plane.view, 'web');
    assert.equal(names([first!, second!]), 'web-0 web-1');
    assert.equal(second?.spec.hostname, 'web-1');
    assert.equal(second?.spec.subdomain, 'svc');
    assert.equal(second?.metadata.labels?.['apps.kubernetes.io/pod-index'], '1');
    assert.equal(second?.metadata.labels?.['statefulset.kubernetes.io/pod-name'], 'web-1');
    const revision = plane.view.get(StatefulSet, key('web'))?.status?.currentRevision;
    assert.equal(second?.metadata.labels?.['controller-revision-hash'], revision);
    assert.ok(plane.view.get(ControllerRevision, key(revision ?? '')));
  });

  await t.test('failed members are made again under their name', async () => {
    const [, victim] = podsOf(plane.view, 'web');
    await plane.setStatus(victim!, 'Failed', false);
    await plane.until('another web-1', view => isSettled(view, 'web', 3) && podsOf(view, 'web')[1]?.metadata.uid !== victim!.metadata.uid);
  });

  await t.test('a rolling update goes from the highest down, one at a time; undo brings the old revision back', async () => {
    const seen: string[] = [];
    {
      using _limit = plane.always(view => {
        assert.ok(ready(view, 'web').length >= 2, names(ready(view, 'web')));
        for (const pod of podsOf(view, 'web').filter(({ spec }) => spec.containers[0]?.image === 'two'))
          if (!seen.includes(pod.metadata.name)) seen.push(pod.metadata.name);
      });
      await client.patch(StatefulSet, key('web'), setImage('two'));
      await plane.until('all run image two', view => isSettled(view, 'web', 3, 'two'));
    }
    assert.deepEqual(seen, ['web-2', 'web-1', 'web-0']);
    assert.match((await cluster.kubectl('rollout', 'status', 'sts/web', '--timeout=20s')).stdout, /complete/);
    assert.match((await cluster.kubectl('rollout', 'history', 'sts/web')).stdout, /^2\s/m);
    await cluster.kubectl('rollout', 'undo', 'sts/web');
    await plane.until('all run image one again', view => isSettled(view, 'web', 3, 'one'));
    const revisions = plane.view.list(ControllerRevision, NAMESPACE).map(({ revision }) => revision);
    assert.deepEqual(revisions.sort(), [2, 3]);
  });

  await t.test('a partition holds the lower ones back, also when they are made again', async () => {
    await client.patch(StatefulSet, key('web'), {
      spec: { updateStrategy: { rollingUpdate: { partition: 2 } }, ...setImage('three').spec },
    });
    const images = (view: View) => ready(view, 'web').map(({ spec }) => spec.containers[0]?.image);
    await plane.until('only web-2 is new', view => images(view).join() === 'one,one,three');
    const [first] = podsOf(plane.view, 'web');
    await client.delete(Pod, first!.metadata);
    await plane.until(
      'web-0 is as it was',
      view => images(view).join() === 'one,one,three' && podsOf(view, 'web')[0]?.metadata.uid !== first!.metadata.uid,
    );
    await client.patch(StatefulSet, key('web'), { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } });
    await plane.until('all are new', view => isSettled(view, 'web', 3, 'three'));
  });

  await t.test('scaling down goes from the highest, one by one', async () => {
    kubelet.isStubborn = ({ metadata }) => metadata.name === 'web-2';
    await cluster.kubectl('scale', 'sts/web', '--replicas=1');
    await plane.until('web-2 goes', view => podsOf(view, 'web')[2]?.metadata.deletionTimestamp !== undefined);
    assert.equal(podsOf(plane.view, 'web')[1]?.metadata.deletionTimestamp, undefined);
    delete kubelet.isStubborn;
    plane.replay();
    await plane.until('one is left', view => isSettled(view, 'web', 1, 'three'));
    assert.equal(names(podsOf(plane.view, 'web')), 'web-0');
  });

  await t.test('OnDelete, Parallel, a first ordinal, and history of one', async () => {
    await client.create(
      StatefulSet,
      statefulSet('par', 3, {
        podManagementPolicy: 'Parallel',
        ordinals: { start: 5 },
        updateStrategy: { type: 'OnDelete' },
        revisionHistoryLimit: 0,
      }),
    );
    await plane.until('3 members', view => isSettled(view, 'par', 3));
    assert.equal(names(podsOf(plane.view, 'par')), 'par-5 par-6 par-7');
    await client.patch(StatefulSet, key('par'), setImage('two'));
    await plane.until('the set knows', view => {
      const { metadata, status } = view.get(StatefulSet, key('par'))!;
      return status?.observedGeneration === metadata.generation && status?.updateRevision !== status?.currentRevision;
    });
    assert.equal(ready(plane.view, 'par').length, 3);
    await client.delete(Pod, key('par-6'));
    await plane.until('it is new', view => ready(view, 'par')[1]?.spec.containers[0]?.image === 'two' && ready(view, 'par').length === 3);
  });

  await t.test('killed again and again: the order holds', async () => {
    await client.create(StatefulSet, statefulSet('hard', 6));
    using _order = plane.always(view => {
      const pods = podsOf(view, 'hard').filter(isPodActive);
      const waiting = pods.findIndex(pod => !isPodReady(pod));
      if (waiting >= 0) assert.equal(waiting, pods.length - 1, names(pods));
    });
    for (let count = 2; count <= 5; count++) {
      await plane.until(`${count} are ready`, view => ready(view, 'hard').length >= count);
      await plane.stopControllers({ abruptly: true });
      await plane.startControllers();
    }
    await plane.until('all 6', view => isSettled(view, 'hard', 6));
  });

  await t.test('claims: one each, kept or removed as the policy says', async () => {
    const claimsLeft = (view: View) =>
      view
        .list(PersistentVolumeClaim, NAMESPACE)
        .map(({ metadata }) => metadata.name)
        .sort()
        .join(' ');
    const templates: object[] = [
      { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
    ];
    const persistentVolumeClaimRetentionPolicy = { whenDeleted: 'Delete', whenScaled: 'Delete' };
    kubelet.isReady = () => true;
    await client.create(
      StatefulSet,
      statefulSet('db', 2, {
        volumeClaimTemplates: templates as PersistentVolumeClaim[],
        persistentVolumeClaimRetentionPolicy,
        podManagementPolicy: 'Parallel',
      }),
    );
    await plane.until('2 claims', view => claimsLeft(view) === 'data-db-0 data-db-1' && podsOf(view, 'db').length === 2);
    assert.deepEqual(podsOf(plane.view, 'db')[1]?.spec.volumes?.find(({ name }) => name === 'data')?.persistentVolumeClaim, {
      claimName: 'data-db-1',
    });
    await client.patch(StatefulSet, key('db'), { spec: { replicas: 1 } });
    await plane.until('the claim goes with its member', view => claimsLeft(view) === 'data-db-0');
    await client.delete(StatefulSet, key('db'));
    await plane.until('and the rest with the set', view => claimsLeft(view) === '');
  });
});
