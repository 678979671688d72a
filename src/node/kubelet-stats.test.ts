import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, ContainerStats } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { noUsage } from '#linux/cgroup-usage.ts';
import { type Measure, measure, measureMore, renderMetrics, toAgentMetrics, toResourceMetrics, toSummary } from './kubelet-stats.ts';

const AT = Date.parse('2026-11-23T12:00:00Z');
const container = (name: string): Container =>
  ({
    id: name,
    config: { sandboxId: 's', metadata: { name, attempt: 0 } },
    state: 'running',
    createdAtMs: AT - 2000,
    startedAtMs: AT - 1500,
  }) as Container;
const stats = (cpuUsageNs: number, bytes: number): ContainerStats => ({
  ...noUsage(),
  atMs: AT + 5,
  cpuUsageNs,
  memoryUsageBytes: bytes * 2,
  memoryWorkingSetBytes: bytes,
  pids: 3,
});
const pod = (name: string) => ({ metadata: { name, namespace: 'shop', uid: `uid-${name}` }, spec: { containers: [] } }) as unknown as Pod;

const MEASURE: Measure = {
  pods: [
    {
      pod: pod('web'),
      containers: [
        { container: container('nginx'), stats: stats(1_500_000_000, 1000) },
        { container: container('side'), stats: stats(500_000_000, 24) },
      ],
    },
    { pod: pod('idle'), containers: [] },
  ],
  failures: 0,
  node: { atMs: AT, cpuSeconds: 12.5, memoryTotalBytes: 4096, memoryAvailableBytes: 1024 },
};

test('resource metrics in the text format, by the names that metrics-server reads', () => {
  const text = renderMetrics(toResourceMetrics(MEASURE));
  const samples = text.split('\n').filter(line => line && !line.startsWith('#'));
  assert.deepEqual(samples, [
    `container_cpu_usage_seconds_total{container="nginx",namespace="shop",pod="web"} 1.5 ${AT + 5}`,
    `container_cpu_usage_seconds_total{container="side",namespace="shop",pod="web"} 0.5 ${AT + 5}`,
    `container_memory_working_set_bytes{container="nginx",namespace="shop",pod="web"} 1000 ${AT + 5}`,
    `container_memory_working_set_bytes{container="side",namespace="shop",pod="web"} 24 ${AT + 5}`,
    `container_start_time_seconds{container="nginx",namespace="shop",pod="web"} ${AT / 1000 - 1.5}`,
    `container_start_time_seconds{container="side",namespace="shop",pod="web"} ${AT / 1000 - 1.5}`,
    `node_cpu_usage_seconds_total 12.5 ${AT}`,
    `node_memory_working_set_bytes 3072 ${AT}`,
    `pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 2 ${AT}`,
    `pod_memory_working_set_bytes{namespace="shop",pod="web"} 1024 ${AT}`,
    'resource_scrape_error 0',
  ]);
  assert.match(text, /^# HELP container_cpu_usage_seconds_total .+\n# TYPE container_cpu_usage_seconds_total counter\n/);
});

test('labels are escaped, families without samples left out', () => {
  const family = { help: 'h', type: 'gauge' as const };
  const text = renderMetrics([
    { ...family, name: 'none', samples: [] },
    { ...family, name: 'odd', samples: [{ labels: { a: 'x"y\\z\n' }, value: 1 }] },
  ]);
  assert.equal(text, '# HELP odd h\n# TYPE odd gauge\nodd{a="x\\"y\\\\z\\n"} 1\n');
});

test('the summary: containers, their sum, the node', () => {
  const summary = toSummary('here', MEASURE) as { node: object; pods: { podRef: object; memory: object; containers: object[] }[] };
  const time = '2026-11-23T12:00:00.000Z';
  assert.deepEqual(summary.node, {
    nodeName: 'here',
    cpu: { time, usageCoreNanoSeconds: 12_500_000_000 },
    memory: { time, availableBytes: 1024, workingSetBytes: 3072 },
  });
  const [web, idle] = summary.pods;
  assert.deepEqual(web?.podRef, { name: 'web', namespace: 'shop', uid: 'uid-web' });
  const none = { rssBytes: 0, pageFaults: 0, majorPageFaults: 0 };
  assert.deepEqual(web?.memory, { time, usageBytes: 2048, workingSetBytes: 1024, ...none });
  assert.equal(web?.containers.length, 2);
  assert.deepEqual(idle?.containers, []);
});

test('a single container tells what it has left, its swap and its pressure', () => {
  const line = { avg10: 1, avg60: 2, avg300: 3, totalUs: 4 };
  const pressure = { some: line, full: line };
  const one: ContainerStats = {
    ...stats(1, 10),
    memory: { rssBytes: 5, pageFaults: 6, majorPageFaults: 7, limitBytes: 30, availableBytes: 20 },
    swap: { usageBytes: 8, availableBytes: 9 },
    pressure: { cpu: pressure, memory: pressure, io: pressure },
  };
  const measured: Measure = { ...MEASURE, pods: [{ pod: pod('web'), containers: [{ container: container('nginx'), stats: one }] }] };
  const { pods } = toSummary('here', measured) as { pods: { memory: Record<string, unknown>; swap: object; io: object }[] };
  const time = '2026-11-23T12:00:00.000Z';
  const psi = { full: { total: 4000, avg10: 1, avg60: 2, avg300: 3 }, some: { total: 4000, avg10: 1, avg60: 2, avg300: 3 } };
  assert.deepEqual(pods[0]?.memory, {
    time,
    usageBytes: 20,
    workingSetBytes: 10,
    rssBytes: 5,
    pageFaults: 6,
    majorPageFaults: 7,
    availableBytes: 20,
    psi,
  });
  assert.deepEqual(
    [pods[0]?.swap, pods[0]?.io],
    [
      { time, swapUsageBytes: 8, swapAvailableBytes: 9 },
      { time, psi },
    ],
  );
  const text = renderMetrics(toResourceMetrics(measured));
  assert.match(text, /^container_swap_usage_bytes\{[^}]+\} 8 /m);
  assert.match(text, /^container_swap_limit_bytes\{[^}]+\} 17 /m);
});

test('a container that ends while it is measured is left out; one that runs and cannot be measured is an error', async () => {
  const living = new Set(['broken', 'well']);
  const engine = {
    sandboxes: () => [{ id: 's', config: { metadata: { uid: 'uid-web' } } }],
    containers: () => ['gone', 'broken', 'well'].map(container),
    container: (id: string) => (living.has(id) ? container(id) : undefined),
    stats: async (id: string) => (id === 'well' ? stats(1, 1) : Promise.reject(new Error('no such cgroup'))),
  };
  const found = await measure(engine as unknown as Parameters<typeof measure>[0], [pod('web')], AT);
  assert.deepEqual(
    found.pods[0]?.containers.map(each => each.container.id),
    ['well'],
  );
  assert.equal(found.failures, 1);
  assert.ok(found.node.cpuSeconds > 0 && found.node.memoryTotalBytes > found.node.memoryAvailableBytes, 'this very machine');
  assert.match(renderMetrics(toResourceMetrics(found)), /^resource_scrape_error 1$/m);
});

test('what containers wrote and what went over the links is added for the summary', async () => {
  const link = { name: 'eth0', rxPackets: 1, txPackets: 1, rxBytes: 20, txBytes: 30, rxErrors: 0, txErrors: 1, rxDropped: 0, txDropped: 0 };
  const engine = {
    sandboxes: () => [{ id: 's', state: 'ready', config: { metadata: { uid: 'uid-web' } } }],
    containers: () => [container('a')],
    writableDirectory: (id: string) => `/data/${id}`,
    networkStats: async () => [link],
  };
  const disks = { of: async () => new Map([['/data/a', { atMs: AT, usedBytes: 4096, inodesUsed: 2 }]]) };
  const measured: Parameters<typeof toSummary>[1] = {
    pods: [{ pod: pod('web'), containers: ['a', 'gone'].map(id => ({ container: container(id), stats: stats(1, 1) })) }],
    failures: 0,
    node: { atMs: AT, cpuSeconds: 1, memoryTotalBytes: 2, memoryAvailableBytes: 1 },
  };
  const whole = await measureMore(engine as unknown as Parameters<typeof measureMore>[0], disks, measured);
  const { pods } = toSummary('vm', whole) as { pods: { network: object; containers: { rootfs?: object }[] }[] };
  const time = new Date(AT).toISOString();
  assert.deepEqual(
    pods[0]?.containers.map(({ rootfs }) => rootfs),
    [{ time, usedBytes: 4096, inodesUsed: 2 }, undefined],
  );
  const seen = { name: 'eth0', rxBytes: 20, rxErrors: 0, txBytes: 30, txErrors: 1 };
  assert.deepEqual(pods[0]?.network, { time, ...seen, interfaces: [seen] });
});

test("the agent's own metrics", () => {
  const text = renderMetrics(toAgentMetrics([container('a'), { ...container('b'), state: 'exited' }], 1));
  assert.match(text, /^kubelet_running_pods 1$/m);
  assert.match(text, /^kubelet_running_containers\{container_state="exited"\} 1$/m);
  assert.match(text, /^process_resident_memory_bytes \d+$/m);
});
