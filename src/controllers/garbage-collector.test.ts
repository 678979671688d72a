import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import { apiVersionOf, type Kind, type KubeObject } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { ControlPlane } from '#tests/control-plane.ts';

const namespace = 'default';

interface Reference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  blockOwnerDeletion?: boolean;
}

function refer(kind: Kind, { metadata: { name, uid } }: KubeObject, blockOwnerDeletion = false): Reference {
  return { apiVersion: apiVersionOf(kind.resource), kind: kind.resource.kind, name, uid, blockOwnerDeletion };
}

test('garbage collection', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start();
  const { client, cluster } = plane;
  const make = (name: string, ownerReferences: Reference[] = [], finalizers: string[] = []) =>
    client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, ownerReferences, finalizers } });
  const isThere = (name: string) => plane.view.get(ConfigMap, { namespace, name }) !== undefined;
  const gone = (...names: string[]) => plane.until(`${names.join(', ')} gone`, () => !names.some(isThere));

  await t.test('background: dependents go after their owner, across kinds and generations', async () => {
    const top = await client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'top', namespace } });
    const middle = await make('middle', [refer(ServiceAccount, top)]);
    await make('bottom', [refer(ConfigMap, middle)]);
    await client.delete(ServiceAccount, { namespace, name: 'top' });
    await gone('middle', 'bottom');
  });

  await t.test('a dependent lives while one of its owners does, and forgets the dead one', async () => {
    const [one, two] = [await make('one'), await make('two')];
    await make('both', [refer(ConfigMap, one), refer(ConfigMap, two)]);
    await client.delete(ConfigMap, one.metadata);
    await plane.until('it forgets one', view => view.get(ConfigMap, { namespace, name: 'both' })?.metadata.ownerReferences?.length === 1);
    await client.delete(ConfigMap, two.metadata);
    await gone('both');
  });

  await t.test('an owner that never was, has another uid, or stands elsewhere, is none', async () => {
    const owner = await make('owner');
    await make('wrong-uid', [{ ...refer(ConfigMap, owner), uid: '00000000-0000-4000-8000-000000000000' }]);
    await make('no-owner', [{ ...refer(ConfigMap, owner), name: 'never-was', uid: '00000000-0000-4000-8000-000000000001' }]);
    const elsewhere = await client.create(ConfigMap, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'far', namespace: 'kube-system' },
    });
    await make('cross-namespace', [refer(ConfigMap, elsewhere)]);
    await gone('wrong-uid', 'no-owner', 'cross-namespace');
    assert.ok(isThere('owner'));
  });

  await t.test('cluster-scoped owners count; owners of kinds that are not served are left to those who know them', async () => {
    const node = plane.view.get(Node, { name: 'node-0' })!;
    await make('of-node', [refer(Node, node)]);
    await make('of-unknown', [{ apiVersion: 'example.com/v1', kind: 'Thing', name: 'x', uid: '00000000-0000-4000-8000-000000000002' }]);
    await make('marker', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: '00000000-0000-4000-8000-000000000003' }]);
    await gone('marker');
    assert.ok(isThere('of-node') && isThere('of-unknown'));
  });

  await t.test('foreground: the owner stays until what blocks it is gone', async () => {
    const owner = await make('fore');
    await make('held', [refer(ConfigMap, owner, true)], ['example.com/hold']);
    await make('easy', [refer(ConfigMap, owner, true)]);
    await make('unblocking', [refer(ConfigMap, owner, false)], ['example.com/hold']);
    await client.delete(ConfigMap, owner.metadata, { propagationPolicy: 'Foreground' });
    await gone('easy');
    await plane.until('the rest is on its way', view =>
      ['held', 'unblocking'].every(name => view.get(ConfigMap, { namespace, name })?.metadata.deletionTimestamp),
    );
    assert.ok(plane.view.get(ConfigMap, { namespace, name: 'fore' })?.metadata.finalizers?.includes('foregroundDeletion'));
    await client.patch(ConfigMap, { namespace, name: 'held' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await gone('held', 'fore');
    assert.ok(isThere('unblocking'));
    await client.patch(ConfigMap, { namespace, name: 'unblocking' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await gone('unblocking');
  });

  await t.test('foreground: a dependent that lets go of its owner no longer holds it', async () => {
    const owner = await make('waits');
    await make('lets-go', [refer(ConfigMap, owner, true)], ['example.com/hold']);
    await client.delete(ConfigMap, owner.metadata, { propagationPolicy: 'Foreground' });
    await plane.until('both wait', view => view.get(ConfigMap, { namespace, name: 'lets-go' })?.metadata.deletionTimestamp !== undefined);
    await client.patch(ConfigMap, { namespace, name: 'lets-go' }, { metadata: { ownerReferences: null } }, { type: 'merge' });
    await gone('waits');
  });

  await t.test('foreground: owners in a circle do not wait for each other', async () => {
    const first = await make('circle-1');
    const second = await make('circle-2', [refer(ConfigMap, first, true)]);
    const third = await make('circle-3', [refer(ConfigMap, second, true)]);
    const closing = { metadata: { ownerReferences: [refer(ConfigMap, third, true)] } };
    await client.patch(ConfigMap, { namespace, name: 'circle-1' }, closing, { type: 'merge' });
    await client.delete(ConfigMap, first.metadata, { propagationPolicy: 'Foreground' });
    await gone('circle-1', 'circle-2', 'circle-3');
  });

  await t.test('orphan: references are taken away before the owner goes', async () => {
    const owner = await make('parent');
    await make('orphan', [refer(ConfigMap, owner, true)]);
    await client.delete(ConfigMap, owner.metadata, { propagationPolicy: 'Orphan' });
    await gone('parent');
    await plane.until(
      'it owns itself',
      view => (view.get(ConfigMap, { namespace, name: 'orphan' })?.metadata.ownerReferences?.length ?? 0) === 0,
    );
    assert.ok(isThere('orphan'));
  });

  for (const cascade of ['background', 'foreground', 'orphan'])
    await t.test(`kubectl delete deployment --cascade=${cascade}`, async () => {
      const labels = { app: cascade };
      const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
      const spec = { replicas: 3, selector: { matchLabels: labels }, template };
      await client.create(Deployment, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: cascade, namespace }, spec });
      const pods = () => plane.view.list(Pod, namespace).filter(({ metadata }) => metadata.labels?.app === cascade);
      const sets = () => plane.view.list(ReplicaSet, namespace).filter(({ metadata }) => metadata.labels?.app === cascade);
      await plane.until('3 pods run', () => pods().filter(isPodReady).length === 3);
      await cluster.kubectl('delete', 'deployment', cascade, `--cascade=${cascade}`, '--timeout=20s');
      await plane.until('the deployment is gone', view => view.get(Deployment, { namespace, name: cascade }) === undefined);
      if (cascade === 'orphan') {
        await plane.until('the set owns itself', () => sets().length === 1 && !sets()[0]?.metadata.ownerReferences?.length);
        assert.equal(pods().length, 3);
      } else {
        if (cascade === 'foreground') assert.deepEqual([sets().length, pods().length], [0, 0]);
        await plane.until('everything is gone', () => sets().length === 0 && pods().length === 0);
      }
    });
});
