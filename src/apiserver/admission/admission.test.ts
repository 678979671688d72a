import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from '#client/rest-client.ts';
import { Node } from '#kinds/node.ts';
import { type Answer, at, startTestCluster, type TestCluster } from '../test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
  await cluster.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
});
after(() => cluster[Symbol.asyncDispose]());

const PODS = '/api/v1/namespaces/default/pods';
const message = (answer: Answer) => String(at(answer.body, 'message'));
const pod = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } });

test('limit ranges give defaults and keep pods within bounds', async () => {
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'limited' } });
  await cluster.call('POST', '/api/v1/namespaces/limited/serviceaccounts', { metadata: { name: 'default' } });
  const limits = [{ type: 'Container', default: { cpu: '500m' }, max: { cpu: '1' } }];
  const range = await cluster.call('POST', '/api/v1/namespaces/limited/limitranges', { metadata: { name: 'l' }, spec: { limits } });
  assert.deepEqual(at(range.body, 'spec.limits.0.defaultRequest'), { cpu: '500m' });
  const made = await cluster.call('POST', '/api/v1/namespaces/limited/pods', pod('p'));
  assert.deepEqual(at(made.body, 'spec.containers.0.resources'), { limits: { cpu: '500m' }, requests: { cpu: '500m' } });
  const big = { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu: '2' } } }] };
  const refused = await cluster.call('POST', '/api/v1/namespaces/limited/pods', pod('q', big));
  assert.equal(refused.status, 403);
  assert.equal(message(refused), 'pods "q" is forbidden: maximum cpu usage per Container is 1, but limit is 2');
});

test('priority comes from the class, or from the one default', async () => {
  const classes = '/apis/scheduling.k8s.io/v1/priorityclasses';
  const wrong: [object, RegExp][] = [
    [
      { metadata: { name: 'system-mine' }, value: 1 },
      /reserved for system use only. error: system-mine is not a known system priority class/,
    ],
    [{ metadata: { name: 'big' }, value: 1_000_000_001 }, /maximum allowed value of a user defined priority is 1000000000/],
  ];
  for (const [body, expected] of wrong) assert.match(message(await cluster.call('POST', classes, body)), expected);
  assert.equal((await cluster.call('POST', classes, { metadata: { name: 'usual' }, value: 7, globalDefault: true })).status, 201);
  const second = await cluster.call('POST', classes, { metadata: { name: 'second' }, value: 8, globalDefault: true });
  assert.match(message(second), /PriorityClass usual is already marked as default\. Only one default can exist/);
  const made = await cluster.call('POST', PODS, pod('prio'));
  assert.deepEqual([at(made.body, 'spec.priority'), at(made.body, 'spec.priorityClassName')], [7, 'usual']);
  const critical = await cluster.call('POST', PODS, pod('prio2', { priorityClassName: 'system-node-critical' }));
  assert.equal(at(critical.body, 'spec.priority'), 2_000_001_000);
  assert.match(
    message(await cluster.call('POST', PODS, pod('prio3', { priorityClassName: 'none' }))),
    /no PriorityClass with name none was found/,
  );
  await cluster.call('DELETE', `${classes}/usual`);
});

test('a node that registers itself gets no pods before it is seen ready', async () => {
  const node = createClient(cluster.server.local({ name: 'system:node:fresh', groups: ['system:nodes', 'system:authenticated'] }));
  const made = await node.create(Node, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'fresh' }, spec: {} });
  assert.deepEqual(made.spec.taints, [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
});

test('a runtime class gives overhead and place, and has to be there', async () => {
  const runtimeClass = {
    metadata: { name: 'heavy' },
    handler: 'heavy',
    overhead: { podFixed: { cpu: '250m' } },
    scheduling: { nodeSelector: { heavy: 'yes' }, tolerations: [{ key: 'heavy', operator: 'Exists' }] },
  };
  assert.equal((await cluster.call('POST', '/apis/node.k8s.io/v1/runtimeclasses', runtimeClass)).status, 201);
  const made = await cluster.call('POST', PODS, pod('heavy', { runtimeClassName: 'heavy' }));
  assert.deepEqual([at(made.body, 'spec.overhead.cpu'), at(made.body, 'spec.nodeSelector.heavy')], ['250m', 'yes']);
  assert.ok((at(made.body, 'spec.tolerations') as { key?: string }[]).some(({ key }) => key === 'heavy'));
  const refused: [object, RegExp][] = [
    [{ runtimeClassName: 'none' }, /pods "x" is forbidden: pod rejected: RuntimeClass "none" not found/],
    [{ overhead: { cpu: '1' } }, /Pod Overhead set without corresponding RuntimeClass defined Overhead/],
    [{ runtimeClassName: 'heavy', overhead: { cpu: '1' } }, /Pod's Overhead doesn't match RuntimeClass's defined Overhead/],
    [
      { runtimeClassName: 'heavy', nodeSelector: { heavy: 'no' } },
      /conflict: runtimeClass\.scheduling\.nodeSelector\[heavy\] = yes; pod\.spec\.nodeSelector\[heavy\] = no/,
    ],
  ];
  for (const [spec, expected] of refused) assert.match(message(await cluster.call('POST', PODS, pod('x', spec))), expected);
});

test('claims and Ingresses get the default class; claims grow only where the class lets them', async () => {
  const classes = '/apis/storage.k8s.io/v1/storageclasses';
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
  await cluster.call('POST', classes, { metadata: { name: 'fixed', annotations }, provisioner: 'x' });
  await cluster.call('POST', classes, { metadata: { name: 'elastic' }, provisioner: 'x', allowVolumeExpansion: true });
  const claim = (name: string, storageClassName?: string) => ({
    metadata: { name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      ...(storageClassName !== undefined && { storageClassName }),
    },
  });
  const path = '/api/v1/namespaces/default/persistentvolumeclaims';
  assert.equal(at((await cluster.call('POST', path, claim('a'))).body, 'spec.storageClassName'), 'fixed');
  assert.equal(at((await cluster.call('POST', path, claim('b', ''))).body, 'spec.storageClassName'), '');
  await cluster.call('POST', path, claim('c', 'elastic'));
  const MERGE = { 'content-type': 'application/merge-patch+json' };
  const bind = (name: string) => cluster.call('PATCH', `${path}/${name}/status`, { status: { phase: 'Bound' } }, MERGE);
  for (const name of ['a', 'b', 'c']) await bind(name);
  const grow = (name: string) => cluster.call('PATCH', `${path}/${name}`, { spec: { resources: { requests: { storage: '2Gi' } } } }, MERGE);
  assert.match(message(await grow('a')), /only dynamically provisioned pvc can be resized/);
  assert.equal((await grow('c')).status, 200);

  const ingressClass = {
    metadata: { name: 'front', annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
    spec: { controller: 'example.com/x' },
  };
  await cluster.call('POST', '/apis/networking.k8s.io/v1/ingressclasses', ingressClass);
  const backend = { service: { name: 's', port: { number: 80 } } };
  const ingress = await cluster.call('POST', '/apis/networking.k8s.io/v1/namespaces/default/ingresses', {
    metadata: { name: 'i' },
    spec: { defaultBackend: backend },
  });
  assert.equal(at(ingress.body, 'spec.ingressClassName'), 'front');
});
