import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import type { NodeConnector } from '../node-connector.ts';
import { startTestCluster } from '../test-cluster.ts';
import { NodeReadings } from './node-readings.ts';
import { nodeUsage, podUsage, readSummary, windowText } from './usage.ts';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const stats = (second: number, cpuSeconds: number, mebibytes: number) => ({
  cpu: { time: at(second), usageCoreNanoSeconds: cpuSeconds * 1e9 },
  memory: { workingSetBytes: mebibytes * 2 ** 20 },
});
const reading = (second: number, containers: { name: string; startTime: string; cpu: number }[], nodeCpu = second) =>
  readSummary({
    node: stats(second, nodeCpu, 512),
    pods: [{ podRef: { uid: 'u' }, containers: containers.map(({ cpu, ...rest }) => ({ ...rest, ...stats(second, cpu, 8) })) }],
  })!;

describe('usage between two readings', () => {
  const web = { name: 'web', startTime: at(0) };

  test('the mean rate of the processors, the memory of now', () => {
    const mean = nodeUsage(reading(10, [], 4), reading(20, [], 9));
    assert.deepEqual(mean, { timestampMs: Date.parse(at(20)), windowMs: 10_000, usage: { cpu: '500000000n', memory: '524288Ki' } });
    const pod = podUsage(reading(10, [{ ...web, cpu: 1 }]), reading(20, [{ ...web, cpu: 3 }]), 'u');
    assert.deepEqual(pod?.containers, [{ name: 'web', usage: { cpu: '200000000n', memory: '8192Ki' } }]);
  });

  test('a container that is new, or was started again, is measured over its life', () => {
    const later = reading(20, [{ name: 'web', startTime: at(16), cpu: 2 }]);
    assert.equal(podUsage(reading(10, [{ ...web, cpu: 9 }]), later, 'u')?.containers[0]?.usage.cpu, '500000000n');
    assert.equal(podUsage(reading(10, []), later, 'u')?.windowMs, 4_000);
  });

  test('nothing is said of a pod while one of its containers has not been measured', () => {
    const after = reading(20, [
      { ...web, cpu: 3 },
      { name: 'young', startTime: at(20), cpu: 0 },
    ]);
    assert.equal(podUsage(reading(10, [{ ...web, cpu: 1 }]), after, 'u'), undefined);
    assert.equal(podUsage(after, after, 'other'), undefined);
    assert.equal(readSummary({}), undefined);
  });

  test('durations as Go writes them', () => {
    assert.deepEqual([15_000, 1_040, 75_500].map(windowText), ['15s', '1.04s', '1m15.5s']);
  });
});

/** A node whose processors are half busy; every question takes it one second further. */
function halfBusyNode(uids: string[] = []): NodeConnector & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async request(node, { path }) {
      asked.push(`${node} ${path}`);
      const second = asked.length;
      const containers = [{ name: 'c', startTime: at(0), ...stats(second, second / 4, 16) }];
      const body = { node: stats(second, second / 2, 1024), pods: uids.map(uid => ({ podRef: { uid }, containers })) };
      return { status: 200, headers: {}, body: Readable.from([Buffer.from(JSON.stringify(body))]) };
    },
    upgrade: () => Promise.reject(new Error('not asked for')),
    async [Symbol.asyncDispose]() {},
  };
}

test('a node is read twice at first, then once a window, however many ask; never unasked', async () => {
  const connector = halfBusyNode();
  const clock = new ManualClock();
  const readings = new NodeReadings({ connector, clock });
  const first = Promise.all([readings.of('n'), readings.of('n')]);
  while (connector.asked.length < 1) await Promise.resolve();
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve));
  clock.advance(1_000);
  const [one, other] = await first;
  assert.equal(one, other);
  assert.equal(connector.asked.length, 2);
  clock.advance(14_000);
  await readings.of('n');
  assert.equal(connector.asked.length, 2, 'still fresh');
  clock.advance(1_000);
  const next = await readings.of('n');
  assert.equal(connector.asked.length, 3, 'the last reading begins the next window');
  assert.equal(next?.before, one?.after);
  readings.keepOnly(() => false);
});

test('a node that can not be asked has no measures', async () => {
  const connector = { ...halfBusyNode(), request: () => Promise.reject(new Error('away')) };
  assert.equal(await new NodeReadings({ connector, clock: new ManualClock() }).of('n'), undefined);
});

test('metrics.k8s.io and kubectl top', { timeout: 60_000 }, async t => {
  const uids: string[] = [];
  const connector = halfBusyNode(uids);
  await using cluster = await startTestCluster({ nodeConnector: connector });
  const { client } = cluster;
  await client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'default' } });
  const node = await client.create(Node, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels: { zone: 'a' } }, spec: {} });
  const allocatable = { cpu: '2', memory: '4Gi' };
  await client.updateStatus(Node, { ...node, status: { allocatable, capacity: allocatable } });
  for (const [name, app] of [
    ['web', 'web'],
    ['db', 'db'],
  ] as const) {
    const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] };
    const metadata = { name, namespace: 'default', labels: { app } };
    uids.push((await client.create(Pod, { apiVersion: 'v1', kind: 'Pod', metadata, spec })).metadata.uid);
  }

  await t.test('nothing is asked of nodes until somebody asks', () => assert.deepEqual(connector.asked, []));

  await t.test('kubectl top node and pod', async () => {
    const top = (await cluster.kubectl('top', 'node')).stdout;
    assert.match(top, /n1\s+500m\s+25%\s+1024Mi\s+25%/);
    const pods = (await cluster.kubectl('top', 'pod', '--containers', '--sum')).stdout;
    assert.match(pods, /web\s+c\s+250m\s+16Mi/);
    assert.match(pods, /500m\s+32Mi/);
    assert.doesNotMatch((await cluster.kubectl('top', 'pod', '-l', 'app=web', '-A')).stdout, /db/);
    assert.match((await cluster.kubectl('top', 'pod', 'db')).stdout, /db\s+250m/);
  });

  await t.test('get, list, tables, discovery, refusals', async () => {
    const { status, body } = await cluster.call('GET', '/apis/metrics.k8s.io/v1beta1/nodes/n1');
    assert.equal(status, 200);
    const { timestamp, window, usage, metadata, kind } = body as Record<string, object>;
    assert.deepEqual(
      [kind, usage, (metadata as { labels: object }).labels],
      ['NodeMetrics', { cpu: '500000000n', memory: '1048576Ki' }, { zone: 'a' }],
    );
    assert.equal(String(window), '1s');
    assert.ok(Date.parse(String(timestamp)));
    const missing = await cluster.call('GET', '/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none');
    assert.equal(missing.status, 404);
    assert.match(missing.text, /podmetrics\.metrics\.k8s\.io \\"default\/none\\" not found/);
    assert.match((await cluster.kubectl('get', 'pods.metrics.k8s.io')).stdout, /web\s+250m\s+16Mi\s+1s/);
    assert.match(
      (await cluster.kubectl('api-resources', '--api-group=metrics.k8s.io')).stdout,
      /nodes\s+metrics\.k8s\.io\/v1beta1\s+false\s+NodeMetrics/,
    );
    assert.match((await cluster.kubectl('explain', 'pods', '--api-version=metrics.k8s.io/v1beta1')).stdout, /window/);
    assert.equal((await cluster.call('DELETE', '/apis/metrics.k8s.io/v1beta1/nodes/n1')).status, 405);
    assert.equal((await cluster.call('GET', '/openapi/v2')).status, 200);
  });

  assert.ok(connector.asked.length <= 3, `asked ${connector.asked.length} times`);
});
