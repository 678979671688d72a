import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { criSchema, RUNTIME_SERVICE } from '#cri/schema.ts';
import type { RuntimeService } from '#cri/types.gen.ts';
import { GrpcClient } from '#wire/grpc/client.ts';
import { buildPackage } from '../tools/build.ts';
import { TestCluster, until } from './cluster.ts';

const root = resolve(import.meta.dirname, '..');
// Native packages are found beside it.
const dist = join(root, '.cache', `bundle-${process.pid}`);

const DEFINITION = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: boats.umiak.test }
spec:
  group: umiak.test
  scope: Namespaced
  names: { plural: boats, singular: boat, kind: Boat }
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: { type: object, properties: { oars: { type: integer } }, x-kubernetes-validations: [{ rule: 'self.oars % 2 == 0', message: oars come in pairs }] }
`;
const boat = (oars: number) => `{ apiVersion: umiak.test/v1, kind: Boat, metadata: { name: b${oars} }, spec: { oars: ${oars} } }`;
const POD = `
apiVersion: v1
kind: Pod
metadata: { name: one }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: main, image: 'busybox:test', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo here; sleep 100000'] }]
`;

describe('the published bundle does what the sources do', () => {
  let cluster: TestCluster;

  before(async () => {
    mkdirSync(join(root, '.cache'), { recursive: true });
    await buildPackage(root, dist);
    cluster = await TestCluster.open();
    cluster.program = [join(root, '.bin/node'), '--disable-warning=ExperimentalWarning', join(dist, 'umiak.js')];
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
    rmSync(dist, { recursive: true, force: true });
  });

  test('what is loaded only when it is needed is there', async () => {
    const config = join(cluster.directory, 'config.yaml');
    writeFileSync(config, 'logLevel: debug\n');
    const audit = join(cluster.directory, 'audit.yaml');
    writeFileSync(audit, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{ level: Metadata }]\n');
    await cluster.must('--config', config, '--audit-policy', audit, 'up');
    await cluster.loadBusybox();
    assert.match(await cluster.must('image', 'ls'), /busybox/);
    await cluster.apply(DEFINITION);
    await cluster.kubectl('wait', '--for=condition=Established', 'crd/boats.umiak.test', '--timeout=30s');
    await cluster.apply(boat(2));
    assert.match((await cluster.tryKubectlWith(boat(3), 'apply', '-f', '-')).stderr, /oars come in pairs/);
    await cluster.apply(POD);
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/one', '--timeout=60s');
    assert.match(await cluster.must('status'), /pods +1: 1 ready/);
    assert.match(await cluster.must('ps'), /one +1\/1 +Running/);
    assert.equal(await cluster.must('logs', 'one'), 'here\n');
    assert.match(await cluster.must('exec', 'one', '--', 'hostname'), /^one/);
    assert.match(await cluster.must('why', 'pod/one'), /runs/);
    assert.match(await cluster.must('kubeconfig'), /apiVersion: v1/);
    assert.match(await cluster.kubectl('explain', 'pod.spec.containers'), /FIELDS/);
    assert.match(await cluster.kubectl('get', 'pod', 'one', '-o', 'yaml'), /name: one/);
    await until('figures', async () => (await cluster.tryKubectl('top', 'pod', 'one')).code === 0);
    using cri = new GrpcClient<RuntimeService>({
      schema: criSchema,
      service: RUNTIME_SERVICE,
      socketPath: join(cluster.runDir, 'cri.sock'),
    });
    const { containers = [] } = await cri.call('ListContainers', { filter: { labelSelector: { 'io.kubernetes.pod.name': 'one' } } });
    assert.equal(containers[0]?.metadata?.name, 'main');
    await cluster.must('store', 'rotate-keys');
    await cluster.must('down', '--containers');
  });
});
