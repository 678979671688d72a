import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { KUBECTL, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
  await cluster.kubectl('create', 'serviceaccount', 'default');
});
after(() => cluster?.[Symbol.asyncDispose]());

const out = async (...args: string[]) => (await cluster.kubectl(...args)).stdout.trim();
const file = async (name: string, text: string) => {
  const path = join(cluster.directory, name);
  await writeFile(path, text);
  return path;
};

const WEB = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, env: [{name: A, value: "1"}, {name: B, value: "2"}], ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {a: "1", b: "2"}
`;

test('apply creates, changes, does nothing twice, and takes away what the file no longer says', async () => {
  const path = await file('web.yaml', WEB);
  assert.match(await out('apply', '-f', path), /deployment.apps\/web created\nservice\/web created\nconfigmap\/web created/);
  assert.match(await out('apply', '-f', path), /deployment.apps\/web unchanged\nservice\/web unchanged\nconfigmap\/web unchanged/);
  await file('web.yaml', WEB.replace('replicas: 2', 'replicas: 5').replace(', {name: B, value: "2"}', '').replace(', b: "2"', ''));
  assert.match(await out('apply', '-f', path), /deployment.apps\/web configured\nservice\/web unchanged\nconfigmap\/web configured/);
  assert.equal(
    await out('get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].env[*].name}'),
    '5 A',
  );
  assert.equal(await out('get', 'configmap', 'web', '-o', 'jsonpath={.data}'), '{"a":"1"}');
  assert.match(await out('apply', '--dry-run=server', '-f', path), /deployment.apps\/web unchanged \(server dry run\)/);
  assert.match(await out('diff', '-f', path).catch(error => String(error.stdout)), /^$/);
});

test('apply refuses what is misspelt before it is stored', async () => {
  const path = await file('bad.yaml', WEB.replace('replicas: 2', 'replicaz: 2'));
  await assert.rejects(out('apply', '-f', path), /strict decoding error: unknown field "spec.replicaz"/);
});

test('get, describe, label, annotate, patch, set, scale, expose, edit what there is', async () => {
  assert.match(await out('get', 'deploy,svc,cm', '-o', 'wide'), /deployment.apps\/web +0\/5/);
  assert.match(await out('describe', 'deploy', 'web'), /Replicas: +5 desired/);
  assert.match(await out('label', 'deploy', 'web', 'tier=front'), /labeled/);
  assert.equal(await out('get', 'deploy', '-l', 'tier=front', '-o', 'name'), 'deployment.apps/web');
  assert.match(await out('annotate', 'deploy', 'web', 'a=b'), /annotated/);
  await out('patch', 'deploy', 'web', '-p', '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}}}');
  await out('patch', 'deploy', 'web', '--type=json', '-p', '[{"op":"replace","path":"/spec/replicas","value":1}]');
  await out('set', 'env', 'deploy/web', 'C=3');
  assert.equal(
    await out(
      'get',
      'deploy',
      'web',
      '-o',
      'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[*].name}',
    ),
    '1 nginx:2 A C',
  );
  assert.match(await out('scale', 'deploy', 'web', '--replicas=3'), /scaled/);
  assert.match(await out('get', '--raw', '/apis/apps/v1/namespaces/default/deployments/web/scale'), /"replicas":3/);
  assert.match(await out('create', 'token', 'default'), /^ey/);
  assert.match(await out('explain', 'deployment.spec.strategy'), /rollingUpdate/);
  assert.match(await out('api-resources', '--namespaced=false'), /namespaces +ns/);
  assert.match(await out('api-versions'), /apps\/v1/);
  assert.match(await out('auth', 'can-i', '--list'), /\*\.\*/);
  assert.match(await out('create', 'configmap', 'typed', '--from-literal=x=y'), /created/);
  assert.match(await out('create', 'secret', 'generic', 'typed', '--from-literal=x=y'), /created/);
  assert.match(await out('create', 'job', 'typed', '--image=busybox'), /created/);
  assert.match(await out('cordon', 'nowhere').catch(error => error.message), /nodes "nowhere" not found/);
});

test('a pod runs through kubectl: run, get -w, delete', async () => {
  const watch = spawn(KUBECTL, ['--kubeconfig', cluster.kubeconfig, 'get', 'pods', '-w', '--output-watch-events'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const lines = createInterface({ input: watch.stdout })[Symbol.asyncIterator]();
    const running = out('run', 'x', '--image=busybox').then(() => out('delete', 'pod', 'x'));
    const seen: string[] = [];
    while (!seen.at(-1)?.startsWith('DELETED')) {
      const { value, done } = await lines.next();
      if (done) break;
      seen.push(value);
    }
    await running;
    assert.deepEqual(
      seen.map(line => line.split(/ +/).slice(0, 2).join(' ')),
      ['EVENT NAME', 'ADDED x', 'DELETED x'],
    );
  } finally {
    watch.kill();
  }
});

test('wait sees conditions; delete waits for finalizers', async () => {
  const waiting = out('wait', '--for=jsonpath={.data.ready}=yes', 'configmap/web', '--timeout=10s');
  await out('patch', 'configmap', 'web', '-p', '{"data":{"ready":"yes"}}');
  assert.match(await waiting, /condition met/);
  await out('patch', 'configmap', 'web', '-p', '{"metadata":{"finalizers":["example.com/hold"]}}');
  const deleting = out('delete', 'configmap', 'web', '--timeout=10s');
  while (!(await out('get', 'configmap', 'web', '-o', 'jsonpath={.metadata.deletionTimestamp}')));
  await out('patch', 'configmap', 'web', '--type=json', '-p', '[{"op":"remove","path":"/metadata/finalizers"}]');
  assert.match(await deleting, /deleted/);
  await out('delete', 'deploy,svc', '--all');
});

test('a long list comes in pages', async () => {
  await Promise.all(
    Array.from({ length: 1100 }, (_, i) =>
      cluster.call('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: `many-${i}` } }),
    ),
  );
  assert.equal((await out('get', 'configmaps', '-o', 'name')).split('\n').filter(name => name.includes('many-')).length, 1100);
});
