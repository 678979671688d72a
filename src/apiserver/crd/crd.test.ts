import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { at, openWatch, startTestCluster, type TestCluster } from '../test-cluster.ts';
import { crontabs } from './test-definitions.ts';
import { establish } from './testing.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

test('a custom resource is served, changed, watched and deleted', async () => {
  const { call } = cluster;
  const crd = crontabs('first.example.com');
  await establish(cluster, crd);
  const path = '/apis/first.example.com/v1/namespaces/default/crontabs';
  const made = await call('POST', path, {
    apiVersion: 'first.example.com/v1',
    kind: 'CronTab',
    metadata: { name: 'a' },
    spec: { cronSpec: '* * * * */5', unknown: 1 },
  });
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(at(made.body, 'spec'), { cronSpec: '* * * * */5', replicas: 1 });
  assert.equal(at(made.body, 'metadata.generation'), 1);
  await using watch = await openWatch(cluster, `${path}?watch=true`);
  assert.equal((await watch.next())?.type, 'ADDED');
  const patched = await call('PATCH', `${path}/a`, { spec: { replicas: 3 } }, { 'content-type': 'application/merge-patch+json' });
  assert.equal(at(patched.body, 'spec.replicas'), 3, patched.text);
  assert.equal(at(patched.body, 'metadata.generation'), 2);
  assert.equal(at((await watch.next())?.object, 'spec.replicas'), 3);
  const strategic = await call('PATCH', `${path}/a`, {}, { 'content-type': 'application/strategic-merge-patch+json' });
  assert.equal(strategic.status, 415);
  const wrong = await call('PATCH', `${path}/a`, { spec: { replicas: 300 } }, { 'content-type': 'application/merge-patch+json' });
  assert.equal(wrong.status, 422);
  assert.equal(
    at(wrong.body, 'message'),
    'CronTab.first.example.com "a" is invalid: spec.replicas: Invalid value: 300: spec.replicas in body should be less than or equal to 10',
  );
  assert.equal((await call('DELETE', `${path}/a`)).status, 200);
  assert.equal((await watch.next())?.type, 'DELETED');
  assert.equal((await call('GET', `${path}/a`)).status, 404);
});

test('kubectl gets, explains and applies', async () => {
  const crd = crontabs('kubectl.example.com');
  await establish(cluster, crd);
  await cluster.call('POST', '/apis/kubectl.example.com/v1/namespaces/default/crontabs', {
    apiVersion: 'kubectl.example.com/v1',
    kind: 'CronTab',
    metadata: { name: 'mine' },
    spec: { cronSpec: '* * * * */5' },
  });
  const { stdout } = await cluster.kubectl('get', 'crontabs.kubectl.example.com');
  assert.match(stdout, /NAME +SPEC +REPLICAS\nmine +\* \* \* \* \*\/5 +1/);
  const manifest = join(cluster.directory, 'crontab.yaml');
  const text = (replicas: number) =>
    `apiVersion: kubectl.example.com/v1\nkind: CronTab\nmetadata: {name: applied}\nspec: {cronSpec: "* * * * */5", replicas: ${replicas}}\n`;
  for (const [replicas, ...way] of [[2, '--validate=strict'], [3]] as const) {
    await writeFile(manifest, text(replicas));
    await cluster.kubectl('apply', '-f', manifest, ...way);
  }
  await writeFile(manifest, text(4));
  await cluster.kubectl('apply', '--server-side', '--force-conflicts', '-f', manifest);
  const applied = await cluster.kubectl('get', 'ct.kubectl.example.com', 'applied', '-o', 'jsonpath={.spec.replicas}');
  assert.equal(applied.stdout, '4');
  const explained = await cluster.kubectl('explain', 'crontabs.kubectl.example.com.spec');
  assert.match(explained.stdout, /cronSpec\s+<string>/);
});
