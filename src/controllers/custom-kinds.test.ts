import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { crontabs } from '#apiserver/crd/test-definitions.ts';
import { establish, untilDefinition } from '#apiserver/crd/testing.ts';
import { at } from '#apiserver/test-cluster.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ControlPlane } from '#tests/control-plane.ts';

let plane: ControlPlane;
before(async () => {
  plane = await ControlPlane.start({ nodes: 0 });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
});

const MERGE = { 'content-type': 'application/merge-patch+json' };

async function post(path: string, body: object): Promise<unknown> {
  const answer = await plane.cluster.call('POST', path, body);
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
}

function crontab(name: string, metadata: object = {}): object {
  return { metadata: { name, ...metadata }, spec: { cronSpec: '* * * * */5' } };
}

test('a namespace takes custom resources with it, and waits for their finalizers', async () => {
  await establish(plane.cluster, crontabs('emptied.example.com'));
  const name = await plane.namespace('with-custom');
  const path = `/apis/emptied.example.com/v1/namespaces/${name}/crontabs`;
  await post(path, crontab('plain'));
  await post(path, crontab('held', { finalizers: ['example.com/hold'] }));
  await plane.cluster.call('DELETE', `/api/v1/namespaces/${name}`);
  await plane.until('the namespace says what holds it', view =>
    (view.get(Namespace, { name })?.status?.conditions ?? []).some(
      ({ type, message }) => type === 'NamespaceFinalizersRemaining' && message?.includes('example.com/hold') === true,
    ),
  );
  const released = await plane.cluster.call('PATCH', `${path}/held`, { metadata: { finalizers: null } }, MERGE);
  assert.equal(released.status, 200, released.text);
  await plane.until('the namespace is gone', view => view.get(Namespace, { name }) === undefined, 5_000);
});

test('custom resources own and are owned', async () => {
  await establish(plane.cluster, crontabs('owners.example.com'));
  const path = '/apis/owners.example.com/v1/namespaces/default/crontabs';
  const owner = await post(path, crontab('owner'));
  const reference = { apiVersion: 'owners.example.com/v1', kind: 'CronTab', name: 'owner', uid: at(owner, 'metadata.uid') };
  await post('/api/v1/namespaces/default/configmaps', { metadata: { name: 'owned', ownerReferences: [reference] } });
  const map = await post('/api/v1/namespaces/default/configmaps', { metadata: { name: 'map' } });
  await post(
    path,
    crontab('dependent', { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'map', uid: at(map, 'metadata.uid') }] }),
  );
  await plane.cluster.call('DELETE', `${path}/owner`);
  await plane.until('what it owned is gone', view => view.get(ConfigMap, { namespace: 'default', name: 'owned' }) === undefined);
  const held = await plane.cluster.call('GET', '/api/v1/namespaces/default/configmaps/map');
  assert.equal(held.status, 200);
  await plane.cluster.call('DELETE', '/api/v1/namespaces/default/configmaps/map?propagationPolicy=Foreground');
  await plane.until('the map waited and went', view => view.get(ConfigMap, { namespace: 'default', name: 'map' }) === undefined);
  await plane.cluster.call('DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.owners.example.com');
  await untilDefinition(plane.cluster, 'crontabs.owners.example.com', body => body === undefined);
});
