import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerOf } from '#client/index.ts';
import { Deployment } from '#kinds/deployment.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

function deployment(name: string, replicas: number, image: string, spec: Partial<Deployment['spec']> = {}): Draft<Deployment> {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image }], terminationGracePeriodSeconds: 5 } },
      ...spec,
    },
  };
}

const setImage = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });
const podsOf = (view: View, app: string) => view.list(Pod, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === app);
const setsOf = (view: View, app: string) => view.list(ReplicaSet, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === app);
const conditionOf = (of: Deployment | undefined, type: string) => of?.status?.conditions?.find(condition => condition.type === type);

/** All pods wanted are there, ready, of this image, and nothing else; the status says so. */
function isRolledOut(view: View, name: string, replicas: number, image: string): boolean {
  const pods = podsOf(view, name);
  const status = view.get(Deployment, { namespace: NAMESPACE, name })?.status;
  return (
    pods.length === replicas &&
    pods.every(pod => isPodReady(pod) && isPodActive(pod) && pod.spec.containers[0]?.image === image) &&
    (status?.availableReplicas ?? 0) === replicas &&
    (status?.updatedReplicas ?? 0) === replicas &&
    (status?.replicas ?? 0) === replicas
  );
}

test('a rolling update keeps to maxSurge and maxUnavailable at every step; undo brings the old template back', {
  timeout: 90_000,
}, async t => {
  await using plane = await ControlPlane.start();
  const { client, cluster } = plane;
  const rollingUpdate = { maxSurge: 2, maxUnavailable: 1 };
  await client.create(Deployment, deployment('web', 6, 'one', { strategy: { type: 'RollingUpdate', rollingUpdate } }));
  await plane.until('6 pods run image one', view => isRolledOut(view, 'web', 6, 'one'));

  await t.test('rolling update', async () => {
    using _limits = plane.always(view => {
      const active = podsOf(view, 'web').filter(isPodActive);
      assert.ok(active.length <= 8, `${active.length} pods`);
      assert.ok(active.filter(isPodReady).length >= 5, `${active.filter(isPodReady).length} ready pods`);
    });
    await client.patch(Deployment, { namespace: NAMESPACE, name: 'web' }, setImage('two'));
    await plane.until('6 pods run image two', view => isRolledOut(view, 'web', 6, 'two'));
    assert.equal(setsOf(plane.view, 'web').length, 2);
    await plane.until('it says it is complete', view => {
      const progressing = conditionOf(view.get(Deployment, { namespace: NAMESPACE, name: 'web' }), 'Progressing');
      return progressing?.reason === 'NewReplicaSetAvailable';
    });
  });

  await t.test('kubectl rollout status, history and undo', async () => {
    assert.match((await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=20s')).stdout, /successfully rolled out/);
    const history = (await cluster.kubectl('rollout', 'history', 'deployment/web')).stdout;
    assert.match(history, /^1\s/m);
    assert.match(history, /^2\s/m);
    await cluster.kubectl('rollout', 'undo', 'deployment/web');
    await plane.until('6 pods run image one again', view => isRolledOut(view, 'web', 6, 'one'));
    assert.equal(setsOf(plane.view, 'web').length, 2);
    await plane.until('the revision counts on', view => {
      const { metadata } = view.get(Deployment, { namespace: NAMESPACE, name: 'web' })!;
      return metadata.annotations?.['deployment.kubernetes.io/revision'] === '3';
    });
    const again = (await cluster.kubectl('rollout', 'history', 'deployment/web')).stdout;
    assert.doesNotMatch(again, /^1\s/m);
    assert.match(again, /^3\s/m);
  });

  await t.test('kubectl rollout pause and resume', async () => {
    await cluster.kubectl('rollout', 'pause', 'deployment/web');
    await client.patch(Deployment, { namespace: NAMESPACE, name: 'web' }, setImage('three'));
    await plane.until('it says it is paused', view => {
      const { metadata, status } = view.get(Deployment, { namespace: NAMESPACE, name: 'web' })!;
      return (
        status?.observedGeneration === metadata.generation &&
        conditionOf(view.get(Deployment, { namespace: NAMESPACE, name: 'web' }), 'Progressing')?.reason === 'DeploymentPaused'
      );
    });
    await client.patch(Deployment, { namespace: NAMESPACE, name: 'web' }, { spec: { replicas: 3 } });
    await plane.until('it scales while paused', view => podsOf(view, 'web').filter(isPodActive).length === 3);
    assert.ok(podsOf(plane.view, 'web').every(pod => pod.spec.containers[0]?.image === 'one'));
    await cluster.kubectl('rollout', 'resume', 'deployment/web');
    await plane.until('3 pods run image three', view => isRolledOut(view, 'web', 3, 'three'));
  });

  await t.test('kubectl rollout restart', async () => {
    const before = new Set(podsOf(plane.view, 'web').map(({ metadata }) => metadata.uid));
    await cluster.kubectl('rollout', 'restart', 'deployment/web');
    await plane.until(
      'all pods are new',
      view => isRolledOut(view, 'web', 3, 'three') && podsOf(view, 'web').every(({ metadata }) => !before.has(metadata.uid)),
    );
  });

  await t.test('events tell of the scaling', async () => {
    await plane.until('a ScalingReplicaSet event', view =>
      view.list(Event, NAMESPACE).some(({ reason, involvedObject }) => reason === 'ScalingReplicaSet' && involvedObject.name === 'web'),
    );
  });
});

test('recreate: no new pod while an old one is there', { timeout: 60_000 }, async () => {
  const stubborn = { on: true };
  await using plane = await ControlPlane.start({ kubelet: { isStubborn: () => stubborn.on } });
  await plane.client.create(Deployment, deployment('re', 3, 'one', { strategy: { type: 'Recreate' } }));
  await plane.until('3 pods run image one', view => isRolledOut(view, 're', 3, 'one'));
  using _limits = plane.always(view => {
    const images = new Set(podsOf(view, 're').map(pod => pod.spec.containers[0]?.image));
    assert.ok(images.size <= 1, `images side by side: ${[...images]}`);
  });
  await plane.client.patch(Deployment, { namespace: NAMESPACE, name: 're' }, setImage('two'));
  await plane.until('the old ones end', view => podsOf(view, 're').every(({ metadata }) => metadata.deletionTimestamp));
  stubborn.on = false;
  plane.replay();
  await plane.until('3 pods run image two', view => isRolledOut(view, 're', 3, 'two'));
});

test('a rollout that gets nowhere says so after its deadline, and goes on when it can', { timeout: 60_000 }, async () => {
  const broken = new Set(['two']);
  await using plane = await ControlPlane.start({ kubelet: { isReady: pod => !broken.has(pod.spec.containers[0]?.image ?? '') } });
  const { client, cluster } = plane;
  await client.create(Deployment, deployment('slow', 4, 'one', { progressDeadlineSeconds: 1 }));
  await plane.until('4 pods run image one', view => isRolledOut(view, 'slow', 4, 'one'));
  using _limits = plane.always(view => {
    const ready = podsOf(view, 'slow').filter(pod => isPodActive(pod) && isPodReady(pod));
    assert.ok(ready.length >= 3, `${ready.length} ready pods`);
  });
  await client.patch(Deployment, { namespace: NAMESPACE, name: 'slow' }, setImage('two'));
  await plane.until('the deadline is exceeded', view => {
    const progressing = conditionOf(view.get(Deployment, { namespace: NAMESPACE, name: 'slow' }), 'Progressing');
    return progressing?.status === 'False' && progressing.reason === 'ProgressDeadlineExceeded';
  });
  await assert.rejects(cluster.kubectl('rollout', 'status', 'deployment/slow', '--timeout=10s'), /exceeded its progress deadline/);
  await client.patch(Deployment, { namespace: NAMESPACE, name: 'slow' }, { spec: { replicas: 8 } });
  await plane.until('a change of size amid the rollout is shared out', view => {
    const sizes = setsOf(view, 'slow').map(({ spec }) => spec.replicas ?? 0);
    return sizes.length === 2 && sizes.every(size => size > 1) && sizes[0]! + sizes[1]! === 10;
  });
  broken.clear();
  plane.replay();
  await plane.until('8 pods run image two', view => isRolledOut(view, 'slow', 8, 'two'));
});

test('foreign names, orphans and released sets', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start();
  const { client, cluster } = plane;

  await t.test('a deleted deployment leaves its sets (orphan); the next one of that selector adopts them', async () => {
    await client.create(Deployment, deployment('adopt', 2, 'one'));
    await plane.until('2 pods run', view => isRolledOut(view, 'adopt', 2, 'one'));
    const pods = new Set(podsOf(plane.view, 'adopt').map(({ metadata }) => metadata.uid));
    const [set] = setsOf(plane.view, 'adopt');
    await cluster.kubectl('delete', 'deployment', 'adopt', '--cascade=orphan');
    await plane.until('the set has no owner', view => setsOf(view, 'adopt').every(each => !controllerOf(each)));
    await client.create(Deployment, deployment('adopt', 2, 'one'));
    await plane.until('it is adopted', view => {
      const owner = view.get(Deployment, { namespace: NAMESPACE, name: 'adopt' });
      return isRolledOut(view, 'adopt', 2, 'one') && setsOf(view, 'adopt').every(each => controllerOf(each)?.uid === owner?.metadata.uid);
    });
    assert.deepEqual(
      setsOf(plane.view, 'adopt').map(({ metadata }) => metadata.uid),
      [set?.metadata.uid],
    );
    assert.ok(podsOf(plane.view, 'adopt').every(({ metadata }) => pods.has(metadata.uid)));
  });

  await t.test('a name taken by a foreign set is counted as a collision and gone around', async () => {
    await client.create(Deployment, deployment('col', 1, 'one'));
    await plane.until('1 pod runs', view => isRolledOut(view, 'col', 1, 'one'));
    const [set] = setsOf(plane.view, 'col');
    await cluster.kubectl('delete', 'deployment', 'col', '--cascade=foreground');
    await plane.until('all gone', view => setsOf(view, 'col').length === 0 && podsOf(view, 'col').length === 0);
    const { name = '' } = set?.metadata ?? {};
    const foreign = { matchLabels: { app: 'foreign' } };
    const template = { metadata: { labels: { app: 'foreign' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
    await client.create(ReplicaSet, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { name, namespace: NAMESPACE },
      spec: { replicas: 0, selector: foreign, template },
    });
    await client.create(Deployment, deployment('col', 1, 'one'));
    await plane.until('1 pod runs', view => isRolledOut(view, 'col', 1, 'one'));
    assert.equal(plane.view.get(Deployment, { namespace: NAMESPACE, name: 'col' })?.status?.collisionCount, 1);
  });

  await t.test('a set whose labels the selector no longer means is released', async () => {
    await client.create(Deployment, deployment('rel', 1, 'one'));
    await plane.until('1 pod runs', view => isRolledOut(view, 'rel', 1, 'one'));
    const [set] = setsOf(plane.view, 'rel');
    await client.patch(ReplicaSet, set!.metadata, { metadata: { labels: { app: 'other' } } });
    await plane.until('it has no owner and there is a new one', view => {
      const old = view.get(ReplicaSet, set!.metadata);
      return old !== undefined && !controllerOf(old) && setsOf(view, 'rel').length === 1;
    });
  });

  await t.test('old history goes beyond revisionHistoryLimit; annotations and minReadySeconds reach the present set', async () => {
    await client.create(Deployment, deployment('hist', 1, 'i0', { revisionHistoryLimit: 2 }));
    for (let index = 0; index < 5; index++) {
      await client.patch(Deployment, { namespace: NAMESPACE, name: 'hist' }, setImage(`i${index}`));
      await plane.until(`image i${index} runs`, view => isRolledOut(view, 'hist', 1, `i${index}`));
    }
    await plane.until('3 sets are left', view => setsOf(view, 'hist').length === 3);
    const annotations = { 'kubernetes.io/change-cause': 'because' };
    await client.patch(Deployment, { namespace: NAMESPACE, name: 'hist' }, { metadata: { annotations }, spec: { minReadySeconds: 1 } });
    await plane.until('the present set follows', view =>
      setsOf(view, 'hist').some(
        ({ metadata, spec }) => metadata.annotations?.['kubernetes.io/change-cause'] === 'because' && spec.minReadySeconds === 1,
      ),
    );
    assert.match((await cluster.kubectl('rollout', 'history', 'deployment/hist')).stdout, /because/);
  });
});
