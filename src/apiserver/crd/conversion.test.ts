import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubeObject } from '#kinds/kind.ts';
import { type Answer, at, openWatch, startTestCluster, type TestCluster } from '../test-cluster.ts';
import { startTestWebhook, type TestWebhook } from '../webhooks/test-webhook.ts';
import { fromReview, toReview } from './conversion-review.ts';
import { type CustomDefinition, definition } from './test-definitions.ts';
import { establish } from './testing.ts';

let cluster: TestCluster;
let webhook: TestWebhook;
before(async () => {
  cluster = await startTestCluster();
  webhook = await startTestWebhook();
  webhook.on('/convert', request => convert(request as unknown as Asked));
  webhook.on('/broken', () => ({ result: { status: 'Failure', message: 'no such way' } }));
});
after(async () => {
  await webhook[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

interface Asked {
  desiredAPIVersion: string;
  objects: Crontab[];
}

type Crontab = KubeObject & { hostPort?: string; host?: string; port?: string };

/** v1 has `hostPort`, v2 has `host` and `port`. */
function convert({ desiredAPIVersion, objects }: Asked): Record<string, unknown> {
  const convertedObjects = objects.map(({ hostPort = '', host, port, ...rest }) => {
    const [left, right] = hostPort.split(':');
    const parts = desiredAPIVersion.endsWith('/v2') ? { host: left, port: right } : { hostPort: `${host}:${port}` };
    return { ...rest, apiVersion: desiredAPIVersion, ...parts };
  });
  return { result: { status: 'Success' }, convertedObjects };
}

function crontab(group: string, storage: 'v1' | 'v2', path = '/convert'): CustomDefinition {
  const text = { type: 'string' };
  const version = (name: string, properties: object) => ({
    name,
    served: true,
    storage: name === storage,
    schema: { openAPIV3Schema: { type: 'object', properties } },
    selectableFields: Object.keys(properties).map(field => ({ jsonPath: `.${field}` })),
  });
  const crd = definition(group, { type: 'object' });
  crd.spec.versions = [version('v1', { hostPort: text }), version('v2', { host: text, port: text })];
  const clientConfig = { url: webhook.url(path), caBundle: webhook.caBundle };
  crd.spec.conversion = { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } };
  return crd;
}

async function call(status: number, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<unknown> {
  const answer: Answer = await cluster.call(method, path, body, headers);
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
  return answer.body;
}

const MERGE = { 'content-type': 'application/merge-patch+json' };
const pathOf = (group: string, version: string) => `/apis/${group}/${version}/namespaces/default/crontabs`;

test('a webhook converts what is read, written, listed and watched', async () => {
  const group = 'hooked.example.com';
  await establish(cluster, crontab(group, 'v1'));
  const made = await call(201, 'POST', pathOf(group, 'v2'), { metadata: { name: 'a' }, host: 'here', port: '80' });
  assert.deepEqual([at(made, 'apiVersion'), at(made, 'host')], [`${group}/v2`, 'here']);
  assert.equal(at(await call(200, 'GET', `${pathOf(group, 'v1')}/a`), 'hostPort'), 'here:80');
  await call(201, 'POST', pathOf(group, 'v1'), { metadata: { name: 'b' }, hostPort: 'there:90' });
  const before = webhook.requests.length;
  const list = await call(200, 'GET', pathOf(group, 'v2'));
  assert.deepEqual([at(list, 'items.0.port'), at(list, 'items.1.host'), at(list, 'apiVersion')], ['80', 'there', `${group}/v2`]);
  assert.equal(webhook.requests.length, before + 1);
  await call(200, 'GET', pathOf(group, 'v2'));
  assert.equal(webhook.requests.length, before + 1); // remembered
  await using watch = await openWatch(cluster, `${pathOf(group, 'v2')}?watch=true`);
  await watch.next();
  assert.equal(at((await watch.next())?.object, 'host'), 'there');
  const patched = await call(200, 'PATCH', `${pathOf(group, 'v2')}/a`, { port: '81' }, MERGE);
  assert.equal(at(patched, 'port'), '81');
  assert.equal(at((await watch.next())?.object, 'port'), '81');
  assert.equal(at(await call(200, 'GET', `${pathOf(group, 'v1')}/a`), 'hostPort'), 'here:81');
  await call(200, 'DELETE', `${pathOf(group, 'v2')}/a`);
  assert.equal((await watch.next())?.type, 'DELETED');
});

test('selectors see objects as they are shown', async () => {
  const group = 'selected.example.com';
  await establish(cluster, crontab(group, 'v1'));
  const path = pathOf(group, 'v2');
  await call(201, 'POST', path, { metadata: { name: 'a' }, host: 'here', port: '80' });
  await using watch = await openWatch(cluster, `${path}?watch=true&fieldSelector=host%3Dhere`);
  assert.equal(at((await watch.next())?.object, 'metadata.name'), 'a');
  await call(201, 'POST', path, { metadata: { name: 'b' }, host: 'there', port: '80' });
  await call(201, 'POST', path, { metadata: { name: 'c' }, host: 'here', port: '90' });
  assert.equal(at((await watch.next())?.object, 'metadata.name'), 'c');
  const names = async (version: string, selector: string) => {
    const list = await call(200, 'GET', `${pathOf(group, version)}?fieldSelector=${encodeURIComponent(selector)}`);
    return (at(list, 'items') as Crontab[]).map(({ metadata }) => metadata.name);
  };
  assert.deepEqual(await names('v2', 'host=here'), ['a', 'c']);
  assert.deepEqual(await names('v2', 'host=here,port=80'), ['a']);
  assert.deepEqual(await names('v1', 'hostPort=here:90'), ['c']);
  await call(200, 'PATCH', `${path}/c`, { host: 'there' }, MERGE);
  const gone = await watch.next();
  assert.deepEqual([gone?.type, at(gone?.object, 'metadata.name')], ['DELETED', 'c']);
  await call(200, 'DELETE', `${path}?fieldSelector=host%3Dthere`);
  assert.deepEqual(await names('v2', ''), ['a']);
});

test('objects stored in an earlier storage version are converted too', async () => {
  const group = 'moved.example.com';
  const crd = crontab(group, 'v1');
  await establish(cluster, crd);
  await call(201, 'POST', pathOf(group, 'v1'), { metadata: { name: 'old' }, hostPort: 'here:80' });
  const { versions } = crontab(group, 'v2').spec;
  await call(200, 'PATCH', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.${group}`, { spec: { versions } }, MERGE);
  await cluster.server.settled();
  assert.equal(at(await call(200, 'GET', `${pathOf(group, 'v1')}/old`), 'hostPort'), 'here:80');
  assert.equal(at(await call(200, 'GET', `${pathOf(group, 'v2')}/old`), 'host'), 'here');
  const migrated = await call(200, 'PATCH', `${pathOf(group, 'v2')}/old`, { metadata: { labels: { moved: 'yes' } } }, MERGE);
  assert.equal(at(migrated, 'port'), '80');
});

test('a failing webhook is named', async () => {
  const group = 'broken.example.com';
  await establish(cluster, crontab(group, 'v1', '/broken'));
  await call(201, 'POST', pathOf(group, 'v1'), { metadata: { name: 'a' }, hostPort: 'here:80' });
  const failed = await call(500, 'GET', `${pathOf(group, 'v2')}/a`);
  assert.equal(at(failed, 'message'), `conversion webhook for ${group}/v1, Kind=CronTab failed: no such way`);
});

test('answers that change what an object is are refused', () => {
  const sent: KubeObject = { apiVersion: 'a.b/v1', kind: 'X', metadata: { name: 'x', uid: 'u' } } as KubeObject;
  const review = toReview(['v1'], 'a.b/v2', [sent]);
  const answer = (object: object | undefined) => ({
    response: { uid: review.uid, result: { status: 'Success' }, convertedObjects: object ? [object] : [] },
  });
  const good = { apiVersion: 'a.b/v2', kind: 'X', metadata: { name: 'x', uid: 'u', labels: { a: 'b' } } };
  const [converted] = fromReview(answer(good), review, 'a.b/v2', [sent]);
  assert.deepEqual(converted?.metadata, { name: 'x', uid: 'u', labels: { a: 'b' } });
  const cases: [object | undefined, RegExp][] = [
    [undefined, /returned 0 objects, expected 1/],
    [{ ...good, apiVersion: 'a.b/v1' }, /invalid groupVersion \(expected a\.b\/v2, received a\.b\/v1\)/],
    [{ ...good, kind: 'Y' }, /invalid kind/],
    [{ ...good, metadata: { name: 'y', uid: 'u' } }, /must have the same name: y != x/],
    [{ ...good, metadata: { name: 'x', uid: 'u', labels: 'a' } }, /invalid metadata.labels/],
  ];
  for (const [object, expected] of cases) assert.throws(() => fromReview(answer(object), review, 'a.b/v2', [sent]), expected);
});
