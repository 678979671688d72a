import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOCAL_PATH_NODE } from '#kinds/local-path.ts';
import type { Pod } from '#kinds/types.gen.ts';
import type { Attributes, Identity } from './identity.ts';
import { NodeAuthorizer, referencesOf } from './node-authorizer.ts';

const nodeA: Identity = { name: 'system:node:a', groups: ['system:nodes', 'system:authenticated'] };

function pod(name: string, nodeName: string | undefined, spec: object = {}, uid = `uid-${name}`): Pod {
  const metadata = { name, namespace: 'shop', uid };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [{ name: 'c' }], ...(nodeName && { nodeName }), ...spec },
  } as unknown as Pod;
}

function asker(authorizer: NodeAuthorizer, identity = nodeA) {
  return (text: string, fieldSelector?: string, labelSelector?: string) => {
    const [verb, what, namespace = '-', name = ''] = text.split(' ') as [string, string, string?, string?];
    const [resource, subresource = ''] = what.split('/') as [string, string?];
    const [plural, ...group] = resource.split('.') as [string, ...string[]];
    const attributes: Attributes = {
      identity,
      verb,
      group: group.join('.'),
      version: 'v1',
      resource: plural,
      subresource,
      namespace: namespace === '-' ? '' : namespace,
      name,
      fieldSelector,
      labelSelector,
    };
    return authorizer.authorize(attributes).allowed;
  };
}

test('finds everything a pod refers to', () => {
  const spec = {
    serviceAccountName: 'sa',
    imagePullSecrets: [{ name: 'pull' }],
    initContainers: [{ name: 'i', envFrom: [{ configMapRef: { name: 'cm-1' } }, { secretRef: { name: 's-1' } }] }],
    containers: [
      {
        name: 'c',
        env: [
          { name: 'A', valueFrom: { secretKeyRef: { name: 's-2', key: 'k' } } },
          { name: 'B', valueFrom: { configMapKeyRef: { name: 'cm-2', key: 'k' } } },
        ],
      },
    ],
    volumes: [
      { name: 'v1', secret: { secretName: 's-3' } },
      { name: 'v2', configMap: { name: 'cm-3' } },
      {
        name: 'v3',
        projected: {
          sources: [{ secret: { name: 's-4' } }, { configMap: { name: 'kube-root-ca.crt' } }, { serviceAccountToken: { path: 't' } }],
        },
      },
      { name: 'v4', persistentVolumeClaim: { claimName: 'data' } },
      { name: 'v5', ephemeral: {} },
      { name: 'v6', emptyDir: {} },
    ],
  };
  assert.deepEqual([...referencesOf(pod('web', 'a', spec))].sort(), [
    'configmaps/shop/cm-1',
    'configmaps/shop/cm-2',
    'configmaps/shop/cm-3',
    'configmaps/shop/kube-root-ca.crt',
    'persistentvolumeclaims/shop/data',
    'persistentvolumeclaims/shop/web-v5',
    'secrets/shop/pull',
    'secrets/shop/s-1',
    'secrets/shop/s-2',
    'secrets/shop/s-3',
    'secrets/shop/s-4',
    'serviceaccounts/shop/sa',
  ]);
});

test('a node reads what its pods refer to, as long as they are there', () => {
  const authorizer = new NodeAuthorizer();
  const may = asker(authorizer);
  const spec = {
    serviceAccountName: 'sa',
    volumes: [
      { name: 'v', secret: { secretName: 's' } },
      { name: 'd', persistentVolumeClaim: { claimName: 'data' } },
    ],
  };
  authorizer.observe(pod('one', undefined, spec));
  assert.equal(may('get secrets shop s'), false, 'not bound yet');
  authorizer.observe(pod('one', 'a', spec));
  authorizer.observe(pod('two', 'a', spec));
  authorizer.observe(pod('far', 'b', { volumes: [{ name: 'v', secret: { secretName: 'far' } }] }));
  for (const text of [
    'get secrets shop s',
    'watch secrets shop s',
    'create serviceaccounts/token shop sa',
    'get serviceaccounts shop sa',
    'get persistentvolumeclaims shop data',
  ])
    assert.equal(may(text), true, text);
  for (const text of [
    'list secrets shop',
    'get secrets shop far',
    'get secrets other s',
    'update secrets shop s',
    'create serviceaccounts/token shop default',
    'get configmaps shop s',
    'list secrets',
  ])
    assert.equal(may(text), false, text);
  authorizer.observe({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv' },
    spec: { claimRef: { namespace: 'shop', name: 'data' } },
  } as never);
  assert.equal(may('get persistentvolumes - pv'), true);
  assert.equal(may('get persistentvolumes - other'), false);

  authorizer.observe(pod('one', 'a', spec), true);
  assert.equal(may('get secrets shop s'), true, 'the other still refers to it');
  authorizer.observe(pod('two', 'a', { volumes: [] }, 'reborn'));
  assert.equal(may('get secrets shop s'), false);
  assert.equal(may('get persistentvolumes - pv'), false);
});

test('a node writes its own objects and its pods’ statuses', () => {
  const authorizer = new NodeAuthorizer();
  authorizer.observe(pod('mine', 'a'));
  authorizer.observe(pod('far', 'b'));
  const may = asker(authorizer);
  const allowed = [
    'create nodes',
    'get nodes - b',
    'update nodes/status - a',
    'patch nodes - a',
    'create leases.coordination.k8s.io kube-node-lease',
    'update leases.coordination.k8s.io kube-node-lease a',
    'patch pods/status shop mine',
    'delete pods shop mine',
    'get pods shop mine',
    'create pods/eviction shop mine',
    'create pods docker',
    'create namespaces',
    'create events shop',
    'patch events.events.k8s.io shop x',
    'watch services',
    'list endpointslices.discovery.k8s.io',
    'create csinodes.storage.k8s.io',
  ];
  const refused = [
    'update nodes/status - b',
    'delete nodes - a',
    'update leases.coordination.k8s.io kube-node-lease b',
    'update leases.coordination.k8s.io kube-system a',
    'patch pods/status shop far',
    'delete pods shop far',
    'get pods shop far',
    'create pods shop',
    'create pods/exec shop mine',
    'list pods',
    'delete namespaces - docker',
    'create deployments.apps shop',
    'create clusterrolebindings.rbac.authorization.k8s.io',
    'get csinodes.storage.k8s.io - b',
  ];
  for (const text of allowed) assert.equal(may(text), true, text);
  for (const text of refused) assert.equal(may(text), false, text);
  assert.equal(may('list pods', 'spec.nodeName=a'), true);
  assert.equal(may('watch pods', 'status.phase!=Failed,spec.nodeName=a'), true);
  assert.equal(may('list pods', 'spec.nodeName=b'), false);
  assert.equal(may('list pods', 'spec.nodeName=ab'), false);
});

test('a node follows the volumes that are its own directories, and lets them go', () => {
  const authorizer = new NodeAuthorizer();
  const volume = (name: string, node: string) =>
    ({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name, labels: { [LOCAL_PATH_NODE]: node } }, spec: {} }) as never;
  authorizer.observe(volume('mine', 'a'));
  authorizer.observe(volume('far', 'b'));
  const may = asker(authorizer);
  assert.equal(may('watch persistentvolumes', undefined, `${LOCAL_PATH_NODE}=a`), true);
  assert.equal(may('watch persistentvolumes', undefined, `${LOCAL_PATH_NODE}=b`), false);
  assert.equal(may('list persistentvolumes'), false);
  for (const text of ['get persistentvolumes - mine', 'update persistentvolumes - mine']) assert.equal(may(text), true, text);
  for (const text of ['get persistentvolumes - far', 'update persistentvolumes - far', 'delete persistentvolumes - mine'])
    assert.equal(may(text), false, text);
  authorizer.observe(volume('mine', 'a'), true);
  assert.equal(may('update persistentvolumes - mine'), false);
});

test('who is no node gets nothing from it', () => {
  const authorizer = new NodeAuthorizer();
  authorizer.observe(pod('mine', 'a'));
  for (const identity of [
    { name: 'system:node:a', groups: ['system:authenticated'] },
    { name: 'jane', groups: ['system:nodes'] },
    { name: 'system:node:', groups: ['system:nodes'] },
  ])
    assert.equal(asker(authorizer, identity)('get pods shop mine'), false);
});
