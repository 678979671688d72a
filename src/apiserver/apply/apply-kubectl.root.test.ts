import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startTestCluster, type TestCluster } from '../test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(() => cluster?.[Symbol.asyncDispose]());

const out = async (...args: string[]) => (await cluster.kubectl(...args)).stdout.trim();
const failure = async (...args: string[]) =>
  await out(...args).then(
    text => assert.fail(`it went well: ${text}`),
    error => String(error.stderr || error.stdout),
  );
const file = async (name: string, text: string) => {
  const path = join(cluster.directory, name);
  await writeFile(path, text);
  return path;
};
const web = (name: string, { replicas = 2, env = '', label = 'web' } = {}) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, labels: {app: ${label}}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, env: [{name: A, value: "1"}${env}], ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}, {port: 53, protocol: UDP, name: dns}]}
`;
const managersOf = async (resource: string) =>
  (
    JSON.parse(await out('get', resource, '-o', 'json', '--show-managed-fields')) as {
      metadata: { managedFields?: { manager: string; operation: string; subresource?: string }[] };
    }
  ).metadata.managedFields?.map(({ manager, operation, subresource = '' }) => [manager, operation, subresource].join(' ').trim());

test('apply --server-side creates, changes, conflicts, forces; diff tells it before', async () => {
  const path = await file('served.yaml', web('served').replace('port: 80, targetPort', 'name: http, port: 80, targetPort'));
  assert.match(
    await out('apply', '--server-side', '-f', path),
    /deployment.apps\/served serverside-applied\nservice\/served serverside-applied/,
  );
  assert.deepEqual(await managersOf('deploy/served'), ['kubectl Apply']);
  const revision = await out('get', 'deploy/served', '-o', 'jsonpath={.metadata.resourceVersion}');
  await out('apply', '--server-side', '-f', path);
  assert.equal(await out('get', 'deploy/served', '-o', 'jsonpath={.metadata.resourceVersion}'), revision);

  await out('set', 'image', 'deploy/served', 'web=nginx:2');
  const refused = await failure('apply', '--server-side', '-f', path);
  assert.match(
    refused,
    /Apply failed with 1 conflict: conflict with "kubectl-set" using apps\/v1: .spec.template.spec.containers\[name="web"\].image/,
  );
  assert.match(refused, /--force-conflicts/);
  const diff = await out('diff', '--server-side', '--force-conflicts', '-f', path).catch(error => String(error.stdout));
  assert.match(diff, /-.*image: nginx:2\n\+.*image: nginx\n/);
  await out('apply', '--server-side', '--force-conflicts', '-f', path);
  assert.equal(await out('get', 'deploy/served', '-o', 'jsonpath={.spec.template.spec.containers[0].image}'), 'nginx');
  assert.match(await out('apply', '--server-side', '--dry-run=server', '-f', path), /served serverside-applied \(server dry run\)/);
});

test('who applied on the client side goes over to the server side and back', async () => {
  const path = await file('moved.yaml', web('moved', { env: ', {name: B, value: "2"}' }).split('---')[0]!);
  await out('apply', '-f', path);
  assert.deepEqual(await managersOf('deploy/moved'), ['kubectl-client-side-apply Update']);
  await file('moved.yaml', web('moved').split('---')[0]!);
  assert.match(await out('apply', '--server-side', '-f', path), /serverside-applied/);
  // kubectl gives the annotation that it keeps for going back to a manager of its own.
  assert.deepEqual((await managersOf('deploy/moved'))?.sort(), ['kubectl Apply', 'kubectl-last-applied Apply']);
  assert.equal(await out('get', 'deploy/moved', '-o', 'jsonpath={.spec.template.spec.containers[0].env[*].name}'), 'A');
  await file('moved.yaml', web('moved', { replicas: 3 }).split('---')[0]!);
  await out('apply', '--server-side', '-f', path);
  await file('moved.yaml', web('moved', { replicas: 4 }).split('---')[0]!);
  assert.match(await out('apply', '-f', path), /configured/);
  assert.equal(await out('get', 'deploy/moved', '-o', 'jsonpath={.spec.replicas}'), '4');
});

test('scale, edit, replace and label own what they change', async () => {
  const path = await file('owned.yaml', web('owned').split('---')[0]!);
  await out('apply', '--server-side', '-f', path);
  await out('scale', 'deploy/owned', '--replicas=5');
  await out('label', 'deploy/owned', 'tier=front');
  assert.deepEqual((await managersOf('deploy/owned'))?.sort(), ['kubectl Apply', 'kubectl Update scale', 'kubectl-label Update']);
  const editor = await file('editor.sh', '#!/bin/sh\nsed -i "s/image: nginx/image: nginx:3/" "$1"\n');
  process.env.KUBE_EDITOR = `sh ${editor}`;
  try {
    assert.match(await out('edit', 'deploy/owned'), /edited/);
  } finally {
    delete process.env.KUBE_EDITOR;
  }
  assert.ok((await managersOf('deploy/owned'))?.includes('kubectl-edit Update'));
  const whole = await file('whole.json', await out('get', 'deploy/owned', '-o', 'json'));
  assert.match(await out('replace', '-f', whole), /replaced/);
  assert.match(await out('replace', '--force', '-f', whole), /replaced/);
});

test('apply --prune takes away what is no longer applied: by allowlist and by apply set', async () => {
  const two = `${['a', 'b'].map(name => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: prune-${name}, labels: {set: prune}}\n`).join('---\n')}`;
  const path = await file('prune.yaml', two);
  await out('apply', '-f', path);
  await file('prune.yaml', two.split('---')[0]!);
  const pruned = await out('apply', '-f', path, '--prune', '-l', 'set=prune', '--prune-allowlist=core/v1/ConfigMap');
  assert.match(pruned, /configmap\/prune-b pruned/);

  process.env.KUBECTL_APPLYSET = 'true';
  try {
    const apply = ['apply', '--server-side', '-f', path, '--prune', '--applyset=inventory', '--namespace=default'];
    await file('prune.yaml', two.replaceAll('prune-', 'set-'));
    assert.match(await out(...apply), /configmap\/set-b serverside-applied/);
    assert.match(await out('get', 'secret', 'inventory', '-o', 'jsonpath={.metadata.labels}'), /applyset.kubernetes.io\/id/);
    await file('prune.yaml', two.split('---')[0]!.replaceAll('prune-', 'set-'));
    assert.match(await out(...apply), /configmap\/set-b pruned/);
  } finally {
    delete process.env.KUBECTL_APPLYSET;
  }
});

test('status and other subresources by --subresource', async () => {
  await out('apply', '--server-side', '-f', await file('status.yaml', web('status').split('---')[0]!));
  const path = await file(
    'status-only.yaml',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: status}\nstatus: {conditions: [{type: Checked, status: "True"}]}\n',
  );
  assert.match(await out('apply', '--server-side', '--subresource=status', '--field-manager=checker', '-f', path), /serverside-applied/);
  assert.equal(await out('get', 'deploy/status', '-o', 'jsonpath={.status.conditions[*].type}'), 'Checked');
  assert.deepEqual((await managersOf('deploy/status'))?.sort(), ['checker Apply status', 'kubectl Apply']);
});
