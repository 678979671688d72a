import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { builtinKinds } from '#kinds/registry.ts';
import { makeV2, makeV2Protobuf, makeV3 } from './openapi/document.ts';
import { operationsOf } from './openapi/operations.ts';
import { toV2Schema } from './openapi/schemas.ts';
import { v2FormOf } from './openapi.ts';
import { Resources } from './resources.ts';
import { at, startTestCluster, type TestCluster } from './test-cluster.ts';
import { measureTurns } from './test-turns.ts';

const { all } = new Resources(builtinKinds);

async function whole(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces));
}

test('no reference of any document leads nowhere', async () => {
  const v2 = JSON.parse((await whole(makeV2(all))).toString());
  const names = new Set(Object.keys(v2.definitions).map(name => `#/definitions/${name}`));
  assert.ok(names.size > 500, `${names.size} definitions`);
  for (const [, ref] of JSON.stringify(v2).matchAll(/"\$ref":"([^"]+)"/g)) assert.ok(names.has(ref!), `${ref}`);
  for (const served of Map.groupBy(all, ({ apiVersion }) => apiVersion).values()) {
    const text = (await whole(makeV3(served))).toString();
    const known = new Set(Object.keys(JSON.parse(text).components.schemas).map(name => `#/components/schemas/${name}`));
    for (const [, ref] of text.matchAll(/"\$ref":"([^"]+)"/g)) assert.ok(known.has(ref!), `${ref}`);
  }
});

test('operations bear the names that clients generated from upstream know, each once', () => {
  const ids = all.flatMap(served => [...operationsOf(served)].map(({ id }) => id));
  assert.equal(new Set(ids).size, ids.length);
  for (const id of [
    'createCoreV1NamespacedConfigMap',
    'listCoreV1PodForAllNamespaces',
    'readAppsV1NamespacedDeploymentScale',
    'replaceRbacAuthorizationV1ClusterRole',
    'deleteCoreV1CollectionNamespacedPod',
    'patchAppsV1NamespacedStatefulSetStatus',
    'createCoreV1NamespacedPodEviction',
    'connectGetCoreV1NamespacedPodExec',
    'readCoreV1NamespacedPodLog',
    'createCoreV1NamespacedServiceAccountToken',
    'createAuthorizationV1SelfSubjectAccessReview',
  ])
    assert.ok(ids.includes(id), id);
});

test('others get their turn while documents are made', async () => {
  await whole(makeV2(all)); // types are read and compiled
  const { longestMs, wholeMs } = await measureTurns(async () => {
    await whole(makeV2Protobuf(all));
    await whole(makeV2(all));
  });
  assert.ok(longestMs < wholeMs / 4, `a turn took ${longestMs} of ${wholeMs} ms`);
});

test('which form of v2 is asked for', () => {
  const forms: [string | undefined, string | undefined][] = [
    [undefined, 'json'],
    ['*/*', 'json'],
    ['application/com.github.proto-openapi.spec.v2@v1.0+protobuf', 'protobuf'],
    ['application/com.github.proto-openapi.spec.v2.v1.0+protobuf,application/json', 'protobuf'],
    ['application/json', 'json'],
    ['text/html', undefined],
  ];
  for (const [accept, form] of forms) assert.equal(v2FormOf(accept), form);
});

test("a custom resource's schema in the words of v2", () => {
  const schema = {
    type: 'object',
    properties: {
      spec: { type: 'object', nullable: true, description: 'd', properties: { a: { type: 'string' } } },
      port: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }], default: 5 },
      list: { type: 'array', items: { type: 'object', oneOf: [{}], additionalProperties: true } },
      metadata: { allOf: [{ $ref: '#/components/schemas/M' }], description: 'd' },
    },
    'x-kubernetes-validations': [{ rule: 'true' }],
  };
  assert.deepEqual(toV2Schema(schema), {
    type: 'object',
    properties: {
      spec: { description: 'd' },
      port: { 'x-kubernetes-int-or-string': true, default: 5 },
      list: { type: 'array', items: { type: 'object', additionalProperties: true } },
      metadata: { description: 'd', $ref: '#/definitions/M' },
    },
    'x-kubernetes-validations': [{ rule: 'true' }],
  });
  const gvk = [{ group: 'g', version: 'v', kind: 'K' }];
  const open = { ...schema, 'x-kubernetes-preserve-unknown-fields': true, 'x-kubernetes-group-version-kind': gvk };
  assert.deepEqual(toV2Schema(open), { type: 'object', 'x-kubernetes-group-version-kind': gvk });
  const embedded = toV2Schema({ type: 'object', properties: { o: { type: 'object', 'x-kubernetes-embedded-resource': true } } });
  assert.deepEqual(Object.keys(at(embedded, 'properties.o.properties') as object), ['apiVersion', 'kind', 'metadata']);
});

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(async () => cluster?.[Symbol.asyncDispose]());

test('v2 over HTTP: JSON, protobuf, packed, by its tag', async () => {
  const plain = await cluster.call('GET', '/openapi/v2');
  assert.equal(plain.status, 200);
  assert.equal(at(plain.body, 'swagger'), '2.0');
  const { paths, definitions } = plain.body as { paths: Record<string, unknown>; definitions: Record<string, unknown> };
  assert.equal(at(paths['/api/v1/pods'], 'get.x-kubernetes-action'), 'list');
  assert.deepEqual(at(definitions['io.k8s.api.core.v1.PodSpec'], 'properties.restartPolicy.enum'), ['Always', 'Never', 'OnFailure']);
  assert.equal(at(definitions['io.k8s.api.core.v1.PodSpec'], 'properties.containers.x-kubernetes-patch-merge-key'), 'name');
  assert.equal(at(definitions['io.k8s.api.core.v1.ServicePort'], 'properties.protocol.default'), 'TCP');
  const etag = String(plain.headers.etag);
  assert.equal((await cluster.call('GET', '/openapi/v2', undefined, { 'if-none-match': etag })).status, 304);
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const protobuf = await cluster.call('GET', '/openapi/v2', undefined, { accept });
  assert.equal(protobuf.headers['content-type'], 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
  const packed = await cluster.call('GET', '/openapi/v2', undefined, { 'accept-encoding': 'gzip' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.ok(Number(packed.headers['content-length']) < 500_000, String(packed.headers['content-length']));
  assert.equal((await cluster.call('GET', '/openapi/v2', undefined, { accept: 'text/html' })).status, 406);
});

test('v3 over HTTP: descriptions, choices, lists, by its tag', async () => {
  const { body, headers } = await cluster.call('GET', '/openapi/v3/apis/apps/v1');
  const schemas = at(body, 'components.schemas') as Record<string, unknown>;
  assert.match(String(at(schemas['io.k8s.api.apps.v1.DeploymentSpec'], 'properties.replicas.description')), /How many/);
  assert.ok(schemas['io.k8s.api.apps.v1.DeploymentList']);
  assert.equal((await cluster.call('GET', '/openapi/v3/apis/apps/v1', undefined, { 'if-none-match': String(headers.etag) })).status, 304);
});

test('kubectl explains fields and their choices', async () => {
  const { stdout } = await cluster.kubectl('explain', 'pod.spec');
  assert.match(stdout, /restartPolicy\s+<string>/);
  assert.match(stdout, /enum: Always, Never, OnFailure/);
  assert.match(stdout, /What happens when a container ends/);
  const old = await cluster.kubectl('explain', 'deployment.spec.strategy', '--output', 'plaintext-openapiv2');
  assert.match(old.stdout, /How pods are replaced/);
});

test('definitions of custom resources stand in v2 and v3, and go with them', async () => {
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      properties: { spec: { type: 'object', properties: { size: { type: 'integer', description: 'How big.' } } } },
    },
  };
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'boats.openapi.test' },
    spec: {
      group: 'openapi.test',
      scope: 'Namespaced',
      names: { plural: 'boats', singular: 'boat', kind: 'Boat', listKind: 'BoatList' },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  };
  const { headers } = await cluster.call('GET', '/openapi/v2');
  assert.equal((await cluster.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition)).status, 201);
  await until(async () => (await cluster.call('GET', '/openapi/v3/apis/openapi.test/v1')).status === 200);
  const v2 = await cluster.call('GET', '/openapi/v2');
  assert.notEqual(v2.headers.etag, headers.etag);
  const { definitions } = v2.body as { definitions: Record<string, unknown> };
  assert.equal(at(definitions['test.openapi.v1.Boat'], 'properties.spec.properties.size.description'), 'How big.');
  assert.equal(
    at(definitions['test.openapi.v1.Boat'], 'properties.metadata.$ref'),
    '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
  );
  assert.ok(definitions['test.openapi.v1.BoatList']);
  const refused = await cluster.call('GET', '/apis/openapi.test/v1/boats', undefined, { accept: 'application/vnd.kubernetes.protobuf' });
  assert.equal(refused.status, 406);
  const fallback = 'application/vnd.kubernetes.protobuf,application/json';
  assert.equal(
    (await cluster.call('GET', '/apis/openapi.test/v1/boats', undefined, { accept: fallback })).headers['content-type'],
    'application/json',
  );
});

async function until(is: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await is())) assert.ok(Date.now() < deadline, 'in 10 s');
}
