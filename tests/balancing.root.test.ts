import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { TestCluster, until } from './cluster.ts';
import { OutsideNetwork } from './inside.ts';

const run = promisify(execFile);
/** Says its name, and below `cgi-bin/who` the address of the one who asks. */
const SERVE = `mkdir -p /www/cgi-bin; cd /www; echo $(hostname) > index.html
printf '#!/bin/sh\\necho\\necho $REMOTE_ADDR' > cgi-bin/who; chmod +x cgi-bin/who; exec httpd -f -p 8080`;
const MAIN = `image: busybox:test, imagePullPolicy: IfNotPresent, command: [sh, -c, ${JSON.stringify(SERVE)}]`;

const MANIFESTS = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: main, ${MAIN} }] }
---
apiVersion: v1
kind: Pod
metadata: { name: busy }
spec: { terminationGracePeriodSeconds: 1, containers: [{ name: main, image: 'busybox:test', command: [sh, -c, 'while :; do :; done'] }] }
---
{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { type: LoadBalancer, selector: { app: web }, ports: [{ port: 8088, targetPort: 8080 }] } }
---
{ apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: { name: web }, spec: { minAvailable: 2, selector: { matchLabels: { app: web } } } }
`;

describe('load balancers, measures and budgets, with real pods', { timeout: 240_000 }, () => {
  let cluster: TestCluster;
  let outside: OutsideNetwork;

  before(async () => {
    cluster = await TestCluster.open();
    outside = await OutsideNetwork.open(`${cluster.name}out`, `198.18.${cluster.name.slice(2)}`);
    cluster.env.UMIAK_LOAD_BALANCER_POOL = outside.machineAddress;
    await cluster.must('up');
    await cluster.loadBusybox();
    await cluster.apply(MANIFESTS);
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/busy', '--timeout=60s');
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await outside[Symbol.asyncDispose]();
  });

  const curl = async (at: string, ...command: string[]) => {
    const [file = '', ...args] = [
      ...command,
      'curl',
      '-sS',
      '--max-time',
      '2',
      '-w',
      ' %{http_code}',
      `http://${outside.machineAddress}:${at}`,
    ];
    return (await run(file, args).catch(({ stderr }) => ({ stdout: `failed: ${stderr}` }))).stdout;
  };
  const fetched = (...command: string[]) => curl('8088/', ...command);
  const outsideCurl = (at: string) => curl(at, 'ip', 'netns', 'exec', outside.name);
  const fromOutside = () => outsideCurl('8088/');

  test('a LoadBalancer Service answers at its address: to others, to pods, to the machine', async () => {
    const { machineAddress } = outside;
    assert.equal(await cluster.kubectl('get', 'svc', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[*].ip}'), machineAddress);
    await until('an answer', async () => (await fromOutside()).startsWith('web-'));
    assert.match(await fetched(), /^web-/);
    const inPod = await cluster.kubectl('exec', 'busy', '--', 'sh', '-c', `timeout 5 wget -q -O- http://${machineAddress}:8088/ || true`);
    assert.match(inPod, /^web-/);
  });

  test('externalTrafficPolicy Local: pods see who comes, and load balancers hear where pods are', async () => {
    await cluster.kubectl('patch', 'svc', 'web', '-p', '{"spec":{"externalTrafficPolicy":"Local"}}');
    const port = await cluster.jsonPath('svc web', '{.spec.healthCheckNodePort}');
    const healthy = async () => JSON.parse((await outsideCurl(`${port}/healthz`)).replace(/^failed.*| \d+$/gs, '') || '{}');
    const service = { namespace: 'default', name: 'web' };
    await until('both pods', async () => (await healthy()).localEndpoints === 2);
    assert.match(await outsideCurl(`${port}/healthz`), / 200$/);
    assert.deepEqual(await healthy(), { service, localEndpoints: 2, serviceProxyHealthy: true });
    assert.match(await outsideCurl('8088/cgi-bin/who'), new RegExp(`^\\[::ffff:${outside.address.replaceAll('.', '\\.')}\\]\\n 200$`));
    await cluster.kubectl('scale', 'deployment/web', '--replicas=0');
    await until('no pod', async () => (await outsideCurl(`${port}/healthz`)).endsWith(' 503'));
    assert.deepEqual(await healthy(), { service, localEndpoints: 0, serviceProxyHealthy: true });
    await until('those that end to have ended', async () => (await fromOutside()).startsWith('failed'));
    await cluster.kubectl('scale', 'deployment/web', '--replicas=2');
    await until('pods again', async () => (await healthy()).localEndpoints === 2);
    await cluster.kubectl('patch', 'svc', 'web', '-p', '{"spec":{"externalTrafficPolicy":"Cluster"}}');
    await until('nobody to ask', async () => (await outsideCurl(`${port}/healthz`)).startsWith('failed'));
  });

  test('only those may come that loadBalancerSourceRanges name', async () => {
    const only = (...ranges: string[]) =>
      cluster.kubectl('patch', 'svc', 'web', '-p', JSON.stringify({ spec: { loadBalancerSourceRanges: ranges } }));
    await only('203.0.113.0/24');
    await until('shut', async () => (await fromOutside()).startsWith('failed'));
    await only('203.0.113.0/24', `${outside.address}/32`);
    await until('open', async () => (await fromOutside()).startsWith('web-'));
    await cluster.kubectl('patch', 'svc', 'web', '--type=merge', '-p', '{"spec":{"type":"ClusterIP","loadBalancerSourceRanges":null}}');
    await until('gone', async () => (await fromOutside()).startsWith('failed'));
  });

  test('kubectl top shows what pods and the node use', async () => {
    const [, busy] = await until(
      'a measure of the busy pod',
      async () => /busy +main +(\d+)m +\d+Mi/.exec(await cluster.kubectl('top', 'pod', '--containers')) ?? undefined,
    );
    assert.ok(Number(busy) > 50, `${busy} thousandths`);
    const [, cores] = /node-\S+ +(\d+)m +\d+% +\d+Mi +\d+%/.exec(await cluster.kubectl('top', 'node')) ?? [];
    assert.ok(Number(cores) >= Number(busy) / 2);
  });

  test('kubectl drain waits for the budget', async () => {
    const node = cluster.env.UMIAK_NODE_NAME ?? '';
    const drain = (timeout: string) =>
      cluster.tryKubectl('drain', node, '--force', '--ignore-daemonsets', `--timeout=${timeout}`, '--pod-selector=app=web');
    await until('counted', async () => (await cluster.kubectl('get', 'pdb', 'web', '-o', 'jsonpath={.status.currentHealthy}')) === '2');
    assert.match((await drain('3s')).stderr, /Cannot evict pod as it would violate the pod's disruption budget/);
    await cluster.kubectl('patch', 'pdb', 'web', '-p', '{"spec":{"minAvailable":0}}');
    await until('allowed', async () => (await cluster.kubectl('get', 'pdb', 'web', '-o', 'jsonpath={.status.disruptionsAllowed}')) === '2');
    const drained = await drain('60s');
    assert.equal(drained.code, 0, drained.stderr);
    await cluster.kubectl('uncordon', node);
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  });
});
