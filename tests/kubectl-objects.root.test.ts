import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';

const workload = (kind: string, more = '') => `apiVersion: apps/v1
kind: ${kind}
metadata: { name: ${kind.toLowerCase()} }
spec:
  ${more}
  selector: { matchLabels: { app: ${kind} } }
  template:
    metadata: { labels: { app: ${kind} } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: main, image: "busybox:test", imagePullPolicy: IfNotPresent, command: [sleep, "100000"] }]
`;

describe('kubectl and the objects it makes, waits for and changes', () => {
  let cluster: TestCluster;
  const kubectl = (...args: string[]) => cluster.kubectl(...args);
  const jsonpath = (path: string, ...of: string[]) => kubectl('get', ...of, '-o', `jsonpath=${path}`);

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  for (const [kind, more] of [
    ['Deployment', 'replicas: 1'],
    ['DaemonSet', ''],
    ['StatefulSet', 'serviceName: none'],
  ] as const)
    test(`rollout of a ${kind}: status, history, undo, restart; set image, env, resources, serviceaccount`, async () => {
      const name = `${kind.toLowerCase()}/${kind.toLowerCase()}`;
      const settled = () => kubectl('rollout', 'status', name, '--timeout=60s');
      const inTemplate = (path: string) => jsonpath(`{.spec.template.spec${path}}`, name);
      await cluster.apply(workload(kind, more));
      await settled();
      await kubectl('set', 'env', name, 'A=1');
      await settled();
      await kubectl('set', 'resources', name, '--requests=cpu=10m', '--limits=memory=64Mi');
      assert.equal(await inTemplate('.containers[0].resources'), '{"limits":{"memory":"64Mi"},"requests":{"cpu":"10m"}}');
      await kubectl('rollout', 'undo', name);
      await settled();
      assert.equal(await inTemplate('.containers[0].resources'), '{}');
      const revisions = (await kubectl('rollout', 'history', name)).match(/^\d+/gm);
      assert.deepEqual(revisions, ['1', '3', '4'], 'the second came back as the fourth');
      await kubectl('rollout', 'undo', name, '--to-revision=1');
      await settled();
      assert.equal(await inTemplate('.containers[0].env'), '');
      const before = await jsonpath('{.items[*].metadata.uid}', 'pods', '-l', `app=${kind}`);
      await kubectl('rollout', 'restart', name);
      await settled();
      await until('another pod', async () => !(await jsonpath('{.items[*].metadata.uid}', 'pods', '-l', `app=${kind}`)).includes(before));
      await kubectl('set', 'serviceaccount', name, 'default');
      assert.equal(await inTemplate('.serviceAccountName'), 'default');
      await kubectl('delete', name, '--wait=false');
    });

  test('wait: for creation, conditions, values, deletion, several at once', async () => {
    const waiting = kubectl('wait', '--for=create', 'configmap/awaited', '--timeout=30s');
    await kubectl('create', 'configmap', 'awaited', '--from-literal=a=1');
    assert.equal(await waiting, 'configmap/awaited condition met\n');
    const valued = kubectl('wait', '--for=jsonpath={.data.a}=2', 'configmap/awaited', '--timeout=30s');
    await kubectl('patch', 'configmap', 'awaited', '-p', '{"data":{"a":"2"}}');
    assert.equal(await valued, 'configmap/awaited condition met\n');
    const gone = kubectl('wait', '--for=delete', 'configmap/awaited', '--timeout=30s');
    await kubectl('delete', 'configmap', 'awaited');
    await gone;
    assert.match(await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=10s'), /condition met/);
    assert.match((await cluster.tryKubectl('wait', '--for=condition=x', 'pod/none', '--timeout=1s')).stderr, /NotFound/);
  });

  test('create: roles, quotas, budgets, priorities, jobs of cron jobs, ingresses, autoscalers', async () => {
    for (const args of [
      ['role', 'r', '--verb=get,list', '--resource=pods,deployments.apps', '--resource-name=x'],
      ['clusterrole', 'umiak-test', '--verb=get', '--non-resource-url=/healthz'],
      ['clusterrolebinding', 'umiak-test', '--clusterrole=umiak-test', '--user=somebody', '--group=some'],
      ['quota', 'q', '--hard=configmaps=50'],
      ['poddisruptionbudget', 'b', '--selector=app=x', '--min-available=50%'],
      ['priorityclass', 'umiak-test', '--value=7', '--description=seven'],
      ['cronjob', 'c', '--image=busybox:test', '--schedule=0 0 1 1 *', '--', 'true'],
      ['ingress', 'i', '--rule=web.test/a*=web:80,tls=t'],
      ['service', 'externalname', 'e', '--external-name=web.test'],
      ['service', 'nodeport', 'n', '--tcp=80:8080'],
      ['job', 'j', '--from=cronjob/c'],
    ])
      assert.match(await kubectl('create', ...args), / created\n$/, args.join(' '));
    assert.match(await kubectl('describe', 'quota', 'q'), /configmaps +\d+ +50/);
    assert.match(await kubectl('describe', 'role', 'r'), /deployments\.apps +\[\] +\[x\] +\[get list\]/);
    assert.equal(await jsonpath('{.metadata.ownerReferences[0].kind}', 'job', 'j'), 'CronJob');
    await kubectl('create', 'deployment', 'scaled', '--image=busybox:test', '--replicas=0');
    await kubectl('autoscale', 'deployment', 'scaled', '--min=1', '--max=3', '--cpu=50%');
    assert.match(await kubectl('get', 'hpa', 'scaled'), /Deployment\/scaled +cpu: <unknown>\/50% +1 +3/);
    await kubectl('delete', 'clusterrole,clusterrolebinding,priorityclass', 'umiak-test');
    await kubectl('delete', 'hpa,deploy', 'scaled');
    await kubectl('delete', 'quota', 'q');
  });

  test('apply -k with generators and patches; apply of a folder; edit-last-applied, view-last-applied, set-last-applied', async () => {
    const directory = join(cluster.directory, 'kustomized');
    mkdirSync(directory);
    const config = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: base }\ndata: { a: "1" }\n';
    writeFileSync(join(directory, 'base.yaml'), config);
    const kustomization = `resources: [base.yaml]
namePrefix: k-
labels: [{ pairs: { made: kustomize } }]
configMapGenerator: [{ name: made, literals: [x=y] }]
patches: [{ target: { kind: ConfigMap, name: base }, patch: '[{ "op": "add", "path": "/data/b", "value": "2" }]' }]
`;
    writeFileSync(join(directory, 'kustomization.yaml'), kustomization);
    assert.match(await kubectl('apply', '-k', directory), /configmap\/k-base created\nconfigmap\/k-made-\w+ created/);
    assert.equal(await jsonpath('{.data}', 'cm', 'k-base'), '{"a":"1","b":"2"}');
    assert.equal((await cluster.tryKubectl('diff', '-k', directory)).code, 0);
    assert.match(await kubectl('apply', 'view-last-applied', 'cm/k-base'), /b: "2"/);
    await kubectl('delete', '-k', directory);
  });

  test('certificate approve and deny; the certificate is of our authority', async () => {
    const key = join(cluster.directory, 'somebody.key');
    const subject = ['-subj', '/O=some/CN=somebody', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
    const request = execFileSync('openssl', ['req', '-new', ...subject], { stdio: ['ignore', 'pipe', 'ignore'] });
    const csr = (name: string) => ({
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name },
      spec: { request: request.toString('base64'), signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'] },
    });
    for (const name of ['yes', 'no']) await cluster.apply(JSON.stringify(csr(name)));
    await kubectl('certificate', 'approve', 'yes');
    await kubectl('certificate', 'deny', 'no');
    const pem = await until('the certificate', async () => (await jsonpath('{.status.certificate}', 'csr', 'yes')) || undefined);
    writeFileSync(join(cluster.directory, 'somebody.crt'), Buffer.from(pem, 'base64'));
    const config = join(cluster.directory, 'somebody.kubeconfig');
    writeFileSync(config, readFileSync(cluster.kubeconfig));
    const as = (...args: string[]) => cluster.tryKubectl('--kubeconfig', config, ...args);
    const files = [`--client-certificate=${join(cluster.directory, 'somebody.crt')}`, `--client-key=${key}`];
    await as('config', 'set-credentials', 'somebody', ...files);
    await as('config', 'set-context', '--current', '--user=somebody');
    assert.match((await as('auth', 'whoami')).stdout, /Username +somebody\nGroups +\[some system:authenticated\]/);
    assert.match((await as('get', 'pods')).stderr, /User "somebody" cannot list resource "pods"/);
    assert.match(await kubectl('get', 'csr'), /no +\S+ +kubernetes\.io\/kube-apiserver-client +\S+ +<none> +Denied/);
  });

  test('long lists by chunks; many deleted at once; patches of subresources; cluster-info dump', async () => {
    const many = Array.from({ length: 120 }, (_, index) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `m-${index}`, labels: { many: '' } },
    }));
    await cluster.command(
      join(import.meta.dirname, '../.bin/kubectl'),
      ['create', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: many }),
    );
    assert.equal((await kubectl('get', 'cm', '-l', 'many', '--chunk-size=7', '-o', 'name')).trim().split('\n').length, 120);
    const limited = JSON.parse(await kubectl('get', '--raw', '/api/v1/namespaces/default/configmaps?limit=50&labelSelector=many'));
    assert.equal(limited.items.length, 50);
    // Waiting, kubectl looks at five objects a second at most.
    await kubectl('delete', 'cm', '-l', 'many', '--wait=false');
    assert.equal(await kubectl('get', 'cm', '-l', 'many', '-o', 'name'), '');
    const node = cluster.env.UMIAK_NODE_NAME ?? '';
    const patch = '{"status":{"conditions":[{"type":"umiak.test/Seen","status":"True","reason":"Test","message":"m"}]}}';
    await kubectl('patch', 'node', node, '--subresource=status', '-p', patch);
    assert.equal(await jsonpath('{.status.conditions[?(@.type=="umiak.test/Seen")].status}', 'node', node), 'True');
    assert.match(await kubectl('get', 'node', node, '--subresource=status'), /Ready/);
    assert.match(await kubectl('cluster-info', 'dump'), /"kind": "NodeList"[\s\S]*"kind": "PodList"/);
  });
});
