import type { ContainerStats } from '#engine/engine.ts';
import type { LinkCounters } from '#linux/netlink.ts';
import { toNanoseconds } from './forms.ts';
import type { MeasuredContainer, MeasuredSandbox } from './stats-forms.ts';
import type { Metric, MetricDescriptor, MetricType, PodSandboxMetrics } from './types.gen.ts';

/** What every metric says whose it is by, as cAdvisor does; a sandbox's own have no `container` and no `image`. */
const LABELS = ['container', 'id', 'image', 'name', 'namespace', 'pod'];

/** One sample; `labels` are the values of the definition's own keys. */
interface Sample {
  labels?: string[];
  value: number;
}

interface Definition<Of> {
  name: string;
  help: string;
  type: MetricType;
  /** Besides `LABELS`. */
  labels?: string[];
  samples: (of: Of) => Sample[];
}

const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ value }]);
/** CRI's values are whole numbers. */
const seconds = (ns: number) => Math.floor(ns / 1e9);

const counter = (name: string, help: string, value: (stats: ContainerStats) => number | undefined): Definition<ContainerStats> => ({
  name,
  help,
  type: 'COUNTER',
  samples: stats => one(value(stats)),
});
const gauge = (name: string, help: string, value: (stats: ContainerStats) => number | undefined): Definition<ContainerStats> => ({
  ...counter(name, help, value),
  type: 'GAUGE',
});

/** Of a control group: a container's, or a sandbox's. */
const OF_GROUPS: Definition<ContainerStats>[] = [
  counter('container_cpu_usage_seconds_total', 'Cumulative cpu time consumed in seconds.', ({ cpuUsageNs }) => seconds(cpuUsageNs)),
  counter('container_cpu_user_seconds_total', 'Cumulative user cpu time consumed in seconds.', ({ cpu }) => seconds(cpu.userNs)),
  counter('container_cpu_system_seconds_total', 'Cumulative system cpu time consumed in seconds.', ({ cpu }) => seconds(cpu.systemNs)),
  counter('container_cpu_cfs_periods_total', 'Number of elapsed enforcement period intervals.', ({ cpu }) => cpu.periods),
  counter('container_cpu_cfs_throttled_periods_total', 'Number of throttled period intervals.', ({ cpu }) => cpu.throttledPeriods),
  counter('container_cpu_cfs_throttled_seconds_total', 'Total time duration the container has been throttled.', ({ cpu }) =>
    seconds(cpu.throttledNs),
  ),
  gauge('container_memory_usage_bytes', 'Current memory usage in bytes, including all memory.', stats => stats.memoryUsageBytes),
  gauge('container_memory_working_set_bytes', 'Current working set in bytes.', stats => stats.memoryWorkingSetBytes),
  gauge('container_memory_rss', 'Size of RSS in bytes.', ({ memory }) => memory.rssBytes),
  gauge('container_memory_swap', 'Container swap usage in bytes.', ({ swap }) => swap?.usageBytes),
  {
    name: 'container_memory_failures_total',
    help: 'Cumulative count of memory allocation failures.',
    type: 'COUNTER',
    labels: ['failure_type', 'scope'],
    samples: ({ memory }) => [
      { labels: ['pgfault', 'hierarchy'], value: memory.pageFaults },
      { labels: ['pgmajfault', 'hierarchy'], value: memory.majorPageFaults },
    ],
  },
  {
    name: 'container_hugetlb_usage_bytes',
    help: 'Current hugepage usage in bytes.',
    type: 'GAUGE',
    labels: ['pagesize'],
    samples: ({ hugetlb }) => hugetlb.map(({ pageSize, usageBytes }) => ({ labels: [pageSize], value: usageBytes })),
  },
  counter('container_fs_reads_bytes_total', 'Cumulative count of bytes read.', ({ io }) => io.readBytes),
  counter('container_fs_writes_bytes_total', 'Cumulative count of bytes written.', ({ io }) => io.writeBytes),
  counter('container_fs_reads_total', 'Cumulative count of reads completed.', ({ io }) => io.reads),
  counter('container_fs_writes_total', 'Cumulative count of writes completed.', ({ io }) => io.writes),
  gauge('container_processes', 'Number of processes and threads in the control group.', ({ pids }) => pids),
  gauge(
    'container_threads_max',
    'Maximum number of threads allowed inside the container, absent without a limit.',
    ({ pidsLimit }) => pidsLimit,
  ),
  ...(['cpu', 'memory', 'io'] as const).flatMap(kind => [
    counter(
      `container_pressure_${kind}_waiting_seconds_total`,
      `Total time duration tasks have waited for ${kind}.`,
      ({ pressure }) => pressure && seconds(pressure[kind].some.totalUs * 1000),
    ),
    counter(
      `container_pressure_${kind}_stalled_seconds_total`,
      `Total time duration no tasks could go on for lack of ${kind}.`,
      ({ pressure }) => pressure && seconds(pressure[kind].full.totalUs * 1000),
    ),
  ]),
];

/** Of containers alone. */
const OF_CONTAINERS: Definition<MeasuredContainer>[] = [
  {
    name: 'container_start_time_seconds',
    help: 'Start time of the container since unix epoch in seconds.',
    type: 'GAUGE',
    samples: ({ container: { startedAtMs, createdAtMs } }) => one(Math.floor((startedAtMs ?? createdAtMs) / 1000)),
  },
  {
    name: 'container_last_seen',
    help: 'Last time a container was seen by the exporter.',
    type: 'GAUGE',
    samples: ({ stats }) => one(Math.floor(stats.atMs / 1000)),
  },
  {
    name: 'container_spec_memory_limit_bytes',
    help: 'Memory limit for the container, 0 without one.',
    type: 'GAUGE',
    samples: ({ stats }) => one(stats.memory.limitBytes ?? 0),
  },
  {
    name: 'container_spec_cpu_period',
    help: 'CPU period of the container.',
    type: 'GAUGE',
    samples: ({ container }) => one(container.config.resources?.cpuPeriodUs),
  },
  {
    name: 'container_spec_cpu_quota',
    help: 'CPU quota of the container.',
    type: 'GAUGE',
    samples: ({ container }) => one(positive(container.config.resources?.cpuQuotaUs)),
  },
  {
    name: 'container_spec_cpu_shares',
    help: 'CPU share of the container.',
    type: 'GAUGE',
    samples: ({ container }) => one(container.config.resources?.cpuShares),
  },
  {
    name: 'container_fs_usage_bytes',
    help: 'Number of bytes that the container has written over its image.',
    type: 'GAUGE',
    samples: ({ disk }) => one(disk?.usedBytes),
  },
];

const positive = (value: number | undefined) => (value !== undefined && value > 0 ? value : undefined);

const ofLinks = (direction: string, what: string, value: (link: LinkCounters) => number): Definition<LinkCounters[]> => ({
  name: `container_network_${direction}_${what}_total`,
  help: `Cumulative count of ${what.replaceAll('_', ' ')}, ${direction === 'receive' ? 'received' : 'transmitted'}.`,
  type: 'COUNTER',
  labels: ['interface'],
  samples: links => links.map(link => ({ labels: [link.name], value: value(link) })),
});

/** Of sandboxes alone, one sample a link. */
const OF_NETWORKS: Definition<LinkCounters[]>[] = [
  ofLinks('receive', 'bytes', ({ rxBytes }) => rxBytes),
  ofLinks('receive', 'packets', ({ rxPackets }) => rxPackets),
  ofLinks('receive', 'packets_dropped', ({ rxDropped }) => rxDropped),
  ofLinks('receive', 'errors', ({ rxErrors }) => rxErrors),
  ofLinks('transmit', 'bytes', ({ txBytes }) => txBytes),
  ofLinks('transmit', 'packets', ({ txPackets }) => txPackets),
  ofLinks('transmit', 'packets_dropped', ({ txDropped }) => txDropped),
  ofLinks('transmit', 'errors', ({ txErrors }) => txErrors),
];

/** What there is, by cAdvisor's names. */
export const METRIC_DESCRIPTORS: MetricDescriptor[] = [...OF_GROUPS, ...OF_CONTAINERS, ...OF_NETWORKS].map(
  ({ name, help, labels = [] }) => ({
    name,
    help,
    labelKeys: [...LABELS, ...labels],
  }),
);

/** A sandbox's samples and its containers'. Pure. */
export function toSandboxMetrics({ sandbox, stats, links, containers }: MeasuredSandbox): PodSandboxMetrics {
  const { namespace, name: pod } = sandbox.config.metadata;
  const timestamp = toNanoseconds(stats.atMs);
  const common = ['', sandbox.id, '', sandbox.id, namespace, pod];
  return {
    podSandboxId: sandbox.id,
    metrics: [...fill(OF_GROUPS, stats, common, timestamp), ...fill(OF_NETWORKS, links, common, timestamp)],
    containerMetrics: containers.map(measured => {
      const { id, config, imageRef } = measured.container;
      const labels = [config.metadata.name, id, imageRef, id, namespace, pod];
      const at = toNanoseconds(measured.stats.atMs);
      return { containerId: id, metrics: [...fill(OF_GROUPS, measured.stats, labels, at), ...fill(OF_CONTAINERS, measured, labels, at)] };
    }),
  };
}

function fill<Of>(definitions: readonly Definition<Of>[], of: Of, common: readonly string[], timestamp: number): Metric[] {
  return definitions.flatMap(({ name, type, samples }) =>
    samples(of).map(({ labels = [], value }) => ({
      name,
      timestamp,
      metricType: type,
      labelValues: [...common, ...labels],
      value: { value },
    })),
  );
}
