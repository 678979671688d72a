import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { SYSTEM } from '../identity.ts';
import { createSecurity } from '../security.ts';
import { startApiServer } from '../server.ts';
import { type Answer, at, openWatch, startTestCluster, type TestCluster } from '../test-cluster.ts';
import { type CustomDefinition, crontabs, definition } from './test-definitions.ts';
import { conditionOf, establish, untilDefinition } from './testing.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const MERGE = { 'content-type': 'application/merge-patch+json' };

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const object = (properties: Record<string, CrdSchema>): CrdSchema => ({ type: 'object', properties });

async function call(status: number, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<unknown> {
  const answer: Answer = await cluster.call(method, path, body, headers);
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
  return answer.body;
}

const pathOf = (group: string, version = 'v1') => `/apis/${group}/${version}/namespaces/default/crontabs`;
const named = (name: string, rest: object = {}) => ({ metadata: { name }, ...rest });

/** Replaces the definition's versions and waits until that is served: `isSo` asks of discovery. */
async function change(crd: CustomDefinition, versions: object[], spec: object = {}): Promise<void> {
  await call(200, 'PATCH', `${CRDS}/${crd.metadata.name}`, { spec: { ...spec, versions } }, MERGE);
  await cluster.server.settled();
}

test('names that somebody else has are not accepted until they are free', async () => {
  const first = definition('names.example.com', object({}));
  await establish(cluster, first);
  const second = {
    ...definition('names.example.com', object({})),
    metadata: { name: 'others.names.example.com' },
  };
  second.spec = { ...second.spec, names: { plural: 'others', kind: 'Other', shortNames: ['ct'] } };
  await call(201, 'POST', CRDS, second);
  await untilDefinition(cluster, second.metadata.name, body => conditionOf(body, 'NamesAccepted') === 'False');
  const refused = await call(200, 'GET', `${CRDS}/${second.metadata.name}`);
  assert.equal(conditionOf(refused, 'Established'), 'False');
  const message = (at(refused, 'status.conditions') as { type: string; message: string }[]).find(({ type }) => type === 'NamesAccepted');
  assert.equal(message?.message, '"ct" is already in use');
  await call(404, 'GET', '/apis/names.example.com/v1/others');
  await call(200, 'DELETE', `${CRDS}/${first.metadata.name}`);
  await untilDefinition(cluster, second.metadata.name, body => conditionOf(body, 'Established') === 'True');
  await call(200, 'GET', '/apis/names.example.com/v1/others');
});

test('deleting a definition deletes its objects first, and waits for their finalizers', async () => {
  const group = 'deleted.example.com';
  await establish(cluster, crontabs(group));
  const spec = { cronSpec: '* * * * */5' };
  await call(201, 'POST', pathOf(group), named('plain', { spec }));
  await call(201, 'POST', pathOf(group), { metadata: { name: 'held', finalizers: ['example.com/hold'] }, spec });
  await using watch = await openWatch(cluster, `${pathOf(group)}?watch=true`);
  const deleted = await call(200, 'DELETE', `${CRDS}/crontabs.${group}`);
  assert.deepEqual(at(deleted, 'metadata.finalizers'), ['customresourcecleanup.apiextensions.k8s.io']);
  assert.equal(conditionOf(deleted, 'Terminating'), 'True');
  const refused = await call(405, 'POST', pathOf(group), named('late', { spec }));
  assert.equal(at(refused, 'message'), 'create not allowed while custom resource definition is terminating');
  const seen = await watch.until(frame => frame.type === 'DELETED');
  assert.equal(at(seen.at(-1)?.object, 'metadata.name'), 'plain');
  await call(200, 'PATCH', `${pathOf(group)}/held`, { metadata: { finalizers: null } }, MERGE);
  await untilDefinition(cluster, `crontabs.${group}`, body => body === undefined);
  await cluster.server.settled();
  await call(404, 'GET', pathOf(group));
  await call(404, 'GET', `/apis/${group}`);
  assert.equal((await watch.until(() => false)).at(-1)?.type, 'DELETED'); // and then it ends
});

test('a definition that changes: watches end, old objects get new defaults and lose what is unknown', async () => {
  const group = 'changing.example.com';
  const crd = definition(group, object({ spec: object({ a: { type: 'string' }, gone: { type: 'string' } }) }));
  await establish(cluster, crd);
  await call(201, 'POST', pathOf(group), named('old', { spec: { a: 'x', gone: 'y' } }));
  await using watch = await openWatch(cluster, `${pathOf(group)}?watch=true`);
  await watch.next();
  const schema = object({ spec: object({ a: { type: 'string' }, added: { type: 'integer', default: 7 } }) });
  await change(crd, [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }]);
  assert.equal(await watch.next(), undefined);
  assert.deepEqual(at(await call(200, 'GET', `${pathOf(group)}/old`), 'spec'), { a: 'x', added: 7 });
  assert.deepEqual(at(await call(200, 'GET', pathOf(group)), 'items.0.spec'), { a: 'x', added: 7 });
  const touched = await call(200, 'PATCH', `${pathOf(group)}/old`, { metadata: { labels: { a: 'b' } } }, MERGE);
  assert.deepEqual(at(touched, 'spec'), { a: 'x', added: 7 });
});

test('what became invalid is tolerated while it stays as it is', async () => {
  const group = 'ratchet.example.com';
  const crd = definition(group, object({ spec: object({ a: { type: 'integer' }, b: { type: 'integer' } }) }));
  await establish(cluster, crd);
  await call(201, 'POST', pathOf(group), named('old', { spec: { a: 1, b: 1 } }));
  const schema = object({ spec: object({ a: { type: 'integer', minimum: 5 }, b: { type: 'integer' } }) });
  await change(crd, [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }]);
  await call(200, 'PATCH', `${pathOf(group)}/old`, { spec: { b: 2 } }, MERGE);
  await call(422, 'PATCH', `${pathOf(group)}/old`, { spec: { a: 2 } }, MERGE);
  await call(422, 'POST', pathOf(group), named('new', { spec: { a: 1 } }));
});

test('several versions without conversion; the stored one changes', async () => {
  const group = 'versions.example.com';
  const schema = { openAPIV3Schema: object({ spec: object({ a: { type: 'string' } }) }) };
  const version = (name: string, storage: boolean, more: object = {}) => ({ name, served: true, storage, schema, ...more });
  const crd = definition(group, object({}));
  crd.spec.versions = [version('v1', true), version('v1beta1', false, { deprecated: true })];
  await establish(cluster, crd);
  await call(201, 'POST', pathOf(group), named('a', { spec: { a: 'x' } }));
  const old = await cluster.call('GET', `${pathOf(group, 'v1beta1')}/a`);
  assert.equal(at(old.body, 'apiVersion'), `${group}/v1beta1`);
  assert.equal(old.headers.warning, `299 - "${group}/v1beta1 CronTab is deprecated"`);
  await call(200, 'PATCH', `${pathOf(group, 'v1beta1')}/a`, { spec: { a: 'y' } }, MERGE);
  assert.equal(at(await call(200, 'GET', pathOf(group)), 'items.0.spec.a'), 'y');
  await change(crd, [version('v1', false), version('v2', true)]);
  const moved = await call(200, 'GET', `${pathOf(group, 'v2')}/a`);
  assert.deepEqual([at(moved, 'apiVersion'), at(moved, 'spec.a')], [`${group}/v2`, 'y']);
  await call(404, 'GET', `${pathOf(group, 'v1beta1')}/a`);
  const stored = await call(200, 'GET', `${CRDS}/${crd.metadata.name}`);
  assert.deepEqual(at(stored, 'status.storedVersions'), ['v1', 'v2']);
  const groups = await call(200, 'GET', `/apis/${group}`);
  assert.equal(at(groups, 'preferredVersion.version'), 'v2');
});

test('status, scale, selectable fields and columns', async () => {
  const group = 'sub.example.com';
  const schema = object({
    spec: object({ replicas: { type: 'integer' }, color: { type: 'string' } }),
    status: object({ replicas: { type: 'integer' }, selector: { type: 'string' } }),
  });
  const scale = { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas', labelSelectorPath: '.status.selector' };
  await establish(
    cluster,
    definition(group, schema, {
      subresources: { status: {}, scale },
      selectableFields: [{ jsonPath: '.spec.color' }],
      additionalPrinterColumns: [{ name: 'Color', type: 'string', jsonPath: '.spec.color' }],
    }),
  );
  const made = await call(201, 'POST', pathOf(group), named('a', { spec: { replicas: 1, color: 'red' }, status: { replicas: 9 } }));
  assert.equal(at(made, 'status'), undefined);
  await call(201, 'POST', pathOf(group), named('b', { spec: { replicas: 1, color: 'blue' } }));
  const path = `${pathOf(group)}/a`;
  const status = { replicas: 2, selector: 'app=a' };
  const patched = await call(200, 'PATCH', `${path}/status`, { spec: { replicas: 5 }, status }, MERGE);
  assert.deepEqual([at(patched, 'spec.replicas'), at(patched, 'status'), at(patched, 'metadata.generation')], [1, status, 1]);
  const shown = await call(200, 'GET', `${path}/scale`);
  assert.deepEqual([at(shown, 'spec.replicas'), at(shown, 'status')], [1, { replicas: 2, selector: 'app=a' }]);
  await call(200, 'PATCH', `${path}/scale`, { spec: { replicas: 4 } }, MERGE);
  const scaled = await call(200, 'GET', path);
  assert.deepEqual([at(scaled, 'spec.replicas'), at(scaled, 'metadata.generation')], [4, 2]);
  const selected = await call(200, 'GET', `${pathOf(group)}?fieldSelector=spec.color%3Dred`);
  assert.deepEqual((at(selected, 'items') as unknown[]).length, 1);
  await call(400, 'GET', `${pathOf(group)}?fieldSelector=spec.replicas%3D1`);
  const table = await call(200, 'GET', pathOf(group), undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' });
  assert.deepEqual(at(table, 'rows.0.cells'), ['a', 'red']);
  const listed = await call(200, 'GET', `/apis/${group}/v1`);
  const names = (at(listed, 'resources') as { name: string }[]).map(({ name }) => name);
  assert.deepEqual(names, ['crontabs', 'crontabs/status', 'crontabs/scale']);
});

test('strict clients hear of unknown fields, and of wrong definitions', async () => {
  const group = 'strict.example.com';
  await establish(cluster, crontabs(group));
  const body = named('a', { spec: { cronSpec: '* * * * */5', extra: 1 } });
  const refused = await call(400, 'POST', `${pathOf(group)}?fieldValidation=Strict`, body);
  assert.match(String(at(refused, 'message')), /strict decoding error: unknown field "spec.extra"$/);
  const wrong = await call(422, 'POST', CRDS, definition('a.example.com', { type: 'string' }));
  assert.equal(
    at(wrong, 'message'),
    'CustomResourceDefinition.apiextensions.k8s.io "crontabs.a.example.com" is invalid: spec.versions[0].schema.openAPIV3Schema.type: Invalid value: "string": must be object at the root',
  );
  const unnamed = await call(422, 'POST', CRDS, { ...crontabs('b.example.com'), metadata: { name: 'x.y.z' } });
  assert.match(String(at(unnamed, 'message')), /metadata.name: Invalid value: "x.y.z": must be spec.names.plural\+"."\+spec.group/);
});

test('a resource within a resource keeps its own fields, and they are checked', async () => {
  const group = 'embedded.example.com';
  const template: CrdSchema = { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { data: object({}) } };
  await establish(cluster, definition(group, object({ template })));
  const good = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', labels: { a: 'b' }, extra: 1 }, data: { a: 1 } };
  const made = await call(201, 'POST', pathOf(group), named('a', { template: good }));
  assert.deepEqual(at(made, 'template'), { ...good, metadata: { name: 'x', labels: { a: 'b' } }, data: {} });
  const strict = await call(400, 'POST', `${pathOf(group)}?fieldValidation=Strict`, named('b', { template: good }));
  assert.match(
    String(at(strict, 'message')),
    /strict decoding error: unknown field "template.metadata.extra", unknown field "template.data.a"$/,
  );
  await call(400, 'POST', pathOf(group), named('b', { template: { ...good, metadata: { labels: 'a' } } }));
  const wrong = await call(422, 'POST', pathOf(group), named('c', { template: { ...good, kind: '', metadata: { name: 'A_B' } } }));
  const fields = (at(wrong, 'details.causes') as { field: string }[]).map(({ field }) => field);
  assert.deepEqual(fields, ['template.kind', 'template.metadata.name']);
});

test('rules are judged through the API', async () => {
  const group = 'rules.example.com';
  const rules = [{ rule: 'self.spec.a <= self.spec.b', message: 'a must not be over b' }];
  const spec = object({
    a: { type: 'integer' },
    b: { type: 'integer' },
    fixed: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] },
  });
  await establish(cluster, definition(group, { ...object({ spec }), 'x-kubernetes-validations': rules }));
  await call(201, 'POST', pathOf(group), named('a', { spec: { a: 1, b: 2, fixed: 'x' } }));
  const wrong = await call(422, 'POST', pathOf(group), named('b', { spec: { a: 3, b: 2 } }));
  assert.equal(at(wrong, 'message'), `CronTab.${group} "b" is invalid: <nil>: Invalid value: a must not be over b`);
  const changed = await call(422, 'PATCH', `${pathOf(group)}/a`, { spec: { fixed: 'y' } }, MERGE);
  assert.match(String(at(changed, 'message')), /spec.fixed: Invalid value: "y": failed rule: self == oldSelf/);
});

test('after a restart custom resources are served at once', async () => {
  const group = 'restart.example.com';
  await establish(cluster, crontabs(group));
  await call(201, 'POST', pathOf(group), named('kept', { spec: { cronSpec: '* * * * */5' } }));
  const { store, pki } = cluster;
  await using second = await startApiServer({
    store,
    kinds: builtinKinds,
    security: createSecurity({ clock: systemClock, tokens: pki.tokens, authority: pki.authority.certificate }),
    tls: { key: pki.apiServer.key, cert: pki.apiServer.certificate },
    addresses: [],
  });
  const answer = await second.local(SYSTEM).request({ method: 'GET', path: `${pathOf(group)}/kept`, signal: AbortSignal.timeout(5000) });
  assert.equal(answer.status, 200);
});
