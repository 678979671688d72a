import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import { DiskFigures } from '#engine/disk-figures.ts';
import type { Container, ContainerStats, Sandbox } from '#engine/engine.ts';
import { noUsage } from '#linux/cgroup-usage.ts';
import { CpuRates } from './cpu-rates.ts';
import { METRIC_DESCRIPTORS, toSandboxMetrics } from './metrics.ts';
import { criSchema } from './schema.ts';
import { type MeasuredSandbox, toContainerStats, toSandboxStats } from './stats-forms.ts';

const line = { avg10: 1.5, avg60: 2, avg300: 3, totalUs: 4_000_000 };
const pressure = { some: line, full: line };
const STATS: ContainerStats = {
  ...noUsage(),
  atMs: 1_000,
  cpuUsageNs: 5_500_000_000,
  memoryUsageBytes: 3_000,
  memoryWorkingSetBytes: 2_000,
  memory: { rssBytes: 1_500, pageFaults: 7, majorPageFaults: 1, limitBytes: 10_000, availableBytes: 8_000 },
  swap: { usageBytes: 9 },
  pids: 4,
  pressure: { cpu: pressure, memory: pressure, io: pressure },
};
const link = (name: string, rxBytes: number) => ({
  name,
  rxBytes,
  txBytes: 2,
  rxPackets: 3,
  txPackets: 4,
  rxErrors: 0,
  txErrors: 0,
  rxDropped: 1,
  txDropped: 0,
});
const metadata = { name: 'main', attempt: 1 };
const MEASURED: MeasuredSandbox = {
  sandbox: {
    id: 's',
    config: { metadata: { name: 'web', namespace: 'shop', uid: 'u', attempt: 0 }, labels: { a: 'b' } },
  } as unknown as Sandbox,
  stats: STATS,
  nanoCores: 250_000_000,
  links: [link('net1', 10), link('eth0', 20)],
  containers: [
    {
      container: {
        id: 'c',
        imageRef: 'docker.io/library/x:1',
        config: { metadata, resources: { cpuQuotaUs: -1 } },
        createdAtMs: 1,
        startedAtMs: 2_000,
      } as unknown as Container,
      stats: STATS,
      nanoCores: undefined,
      disk: { atMs: 900, usedBytes: 50, inodesUsed: 3, mountpoint: '/data/c/upper' },
    },
  ],
};

test('what is measured, in the messages of CRI', () => {
  const stats = toSandboxStats(MEASURED);
  const bytes = criSchema.encode('PodSandboxStats', stats);
  const told = criSchema.decode<typeof stats>('PodSandboxStats', bytes);
  assert.equal(told.linux?.cpu?.usageNanoCores?.value, 250_000_000);
  assert.equal(told.linux?.network?.defaultInterface?.name, 'eth0');
  assert.equal(told.linux?.network?.defaultInterface?.rxBytes?.value, 20);
  assert.deepEqual(
    told.linux?.network?.interfaces?.map(({ name }) => name),
    ['net1'],
  );
  assert.equal(told.linux?.process?.processCount?.value, 4);
  assert.equal(told.linux?.cpu?.psi?.Some?.Total, 4_000_000);
  const [container] = told.linux?.containers ?? [];
  assert.equal(container?.attributes?.metadata?.name, 'main');
  assert.equal(container?.memory?.availableBytes?.value, 8_000);
  assert.equal(container?.swap?.swapUsageBytes?.value, 9);
  assert.equal(container?.writableLayer?.fsId?.mountpoint, '/data/c/upper');
  assert.equal(container?.writableLayer?.inodesUsed?.value, 3);
});

test('what is not known is absent: rates the first time, disks that were not counted, swap', () => {
  const [measured] = MEASURED.containers;
  assert.ok(measured);
  const { swap: _swap, pressure: _pressure, ...plain } = STATS;
  const stats = toContainerStats({ ...measured, stats: plain, disk: undefined });
  assert.deepEqual(
    [stats.cpu?.usageNanoCores, stats.writableLayer, stats.swap, stats.cpu?.psi],
    [undefined, undefined, undefined, undefined],
  );
});

test('every sample has a descriptor, and as many values as that has keys', () => {
  const keys = new Map(METRIC_DESCRIPTORS.map(({ name, labelKeys }) => [name, labelKeys]));
  assert.equal(keys.size, METRIC_DESCRIPTORS.length, 'no name twice');
  const { metrics = [], containerMetrics = [] } = toSandboxMetrics(MEASURED);
  const all = [...metrics, ...containerMetrics.flatMap(({ metrics: own = [] }) => own)];
  for (const { name = '', labelValues } of all) assert.equal(labelValues?.length, keys.get(name)?.length, name);
  const told = all.map(({ name, labelValues, value }) => `${name}{${labelValues?.join(',')}} ${value?.value}`);
  for (const sample of [
    'container_cpu_usage_seconds_total{main,c,docker.io/library/x:1,c,shop,web} 5',
    'container_memory_failures_total{main,c,docker.io/library/x:1,c,shop,web,pgmajfault,hierarchy} 1',
    'container_network_receive_bytes_total{,s,,s,shop,web,eth0} 20',
    'container_pressure_io_stalled_seconds_total{,s,,s,shop,web} 4',
    'container_fs_usage_bytes{main,c,docker.io/library/x:1,c,shop,web} 50',
    'container_start_time_seconds{main,c,docker.io/library/x:1,c,shop,web} 2',
  ])
    assert.ok(told.includes(sample), sample);
  assert.ok(!told.some(sample => sample.startsWith('container_spec_cpu_quota')), 'no quota, no sample');
});

test('rates are of the time since the last look; looks that come too soon get the last rate', () => {
  const rates = new CpuRates();
  const at = (atMs: number, cpuMs: number) => rates.next('c', { atMs, cpuUsageNs: cpuMs * 1e6 });
  assert.equal(at(0, 0), undefined);
  assert.equal(at(1_000, 500), 500_000_000);
  assert.equal(at(1_100, 600), 500_000_000);
  assert.equal(at(3_000, 1_500), 500_000_000);
  assert.equal(at(4_000, 0), undefined, 'started anew');
  rates.keep(() => false);
  assert.equal(at(5_000, 1_000), undefined);
});

test('disks are counted when asked for, at most every ten seconds, and only the first waits', async () => {
  const clock = new ManualClock(0);
  let counts = 0;
  let gate = Promise.resolve();
  const measure = async (directories: readonly string[], counted = 'bytes') => {
    counts += 1;
    await gate;
    return new Map(directories.filter(directory => directory !== '/gone').map(directory => [directory, counted === 'bytes' ? 100 : 2]));
  };
  const disk = new DiskFigures({ clock, measure });
  assert.deepEqual((await disk.of(['/a', '/gone'])).get('/a'), { atMs: 0, usedBytes: 100, inodesUsed: 2 });
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  clock.advance(9_999);
  await disk.of(['/a']);
  assert.equal(counts, 2);
  clock.advance(1);
  assert.equal((await disk.of(['/a'])).get('/a')?.atMs, 0, 'the old figure, at once');
  assert.equal(counts, 4);
  await disk.of(['/a']);
  assert.equal(counts, 4, 'one count at a time');
  resolve();
  await promise;
  await new Promise(setImmediate);
  assert.equal((await disk.of(['/a'])).get('/a')?.atMs, 10_000);
});
