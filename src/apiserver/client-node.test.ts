import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiException, AppsV1Api, CoreV1Api, KubeConfig, makeInformer, VersionApi, Watch } from '@kubernetes/client-node';
import { startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
const config = new KubeConfig();
before(async () => {
  cluster = await startTestCluster();
  config.loadFromFile(cluster.kubeconfig);
});
after(() => cluster?.[Symbol.asyncDispose]());

test("the Kubernetes JavaScript client's typed calls work", async () => {
  const core = config.makeApiClient(CoreV1Api);
  const namespace = 'default';
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'a' }, data: { x: 'y' } } });
  const read = await core.readNamespacedConfigMap({ namespace, name: 'a' });
  assert.equal(read.data?.x, 'y');
  assert.ok(read.metadata?.creationTimestamp instanceof Date);
  await core.replaceNamespacedConfigMap({ namespace, name: 'a', body: { ...read, data: { x: 'z' } } });
  assert.equal((await core.listNamespacedConfigMap({ namespace })).items.length, 1);
  await assert.rejects(
    core.replaceNamespacedConfigMap({ namespace, name: 'a', body: read }),
    (error: ApiException<unknown>) => error.code === 409,
  );
  await assert.rejects(core.readNamespacedPod({ namespace, name: 'none' }), (error: ApiException<unknown>) => error.code === 404);
  await core.deleteNamespacedConfigMap({ namespace, name: 'a' });
  assert.equal((await config.makeApiClient(VersionApi).getCode()).minor, '36');
  assert.equal((await config.makeApiClient(AppsV1Api).listDeploymentForAllNamespaces()).items.length, 0);
});

test('its watch and its informer see what happens', async () => {
  const core = config.makeApiClient(CoreV1Api);
  const namespace = 'default';
  const types: string[] = [];
  const ended = Promise.withResolvers<void>();
  const request = await new Watch(config).watch(
    `/api/v1/namespaces/${namespace}/secrets`,
    {},
    type => {
      types.push(type);
      if (type === 'DELETED') ended.resolve();
    },
    () => ended.resolve(),
  );
  const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/secrets`, () => core.listNamespacedSecret({ namespace }));
  const added = new Promise<string | undefined>(resolve => informer.on('add', secret => resolve(secret.metadata?.name)));
  await informer.start();
  await core.createNamespacedSecret({ namespace, body: { metadata: { name: 's' }, stringData: { a: 'b' } } });
  assert.equal(await added, 's');
  await core.deleteNamespacedSecret({ namespace, name: 's' });
  await ended.promise;
  assert.deepEqual(types, ['ADDED', 'DELETED']);
  await informer.stop();
  request.abort();
});
