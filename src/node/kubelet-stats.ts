import { readFileSync } from 'node:fs';
import type { DiskFigure, DiskFigures } from '#engine/disk-figures.ts';
import type { Container, ContainerStats, Engine } from '#engine/engine.ts';
import { mirroredContainerOf } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Pressure, PressureLine } from '#linux/cgroup-usage.ts';
import type { LinkCounters } from '#linux/netlink.ts';

/** A running container and what it uses. */
interface Measured {
  container: Container;
  stats: ContainerStats;
  /** What it wrote over its image. */
  disk?: DiskFigure;
}

/** A pod's running containers, measured. */
export interface PodMeasure {
  pod: Pod;
  containers: Measured[];
  /** Of its own network. */
  links?: LinkCounters[];
}

export interface Measure {
  pods: PodMeasure[];
  /** Containers that run and could not be measured. */
  failures: number;
  node: NodeUsage;
}

export interface NodeUsage {
  atMs: number;
  /** Of all processors since boot. */
  cpuSeconds: number;
  memoryTotalBytes: number;
  memoryAvailableBytes: number;
}

type Source = Pick<Engine, 'sandboxes' | 'containers' | 'container' | 'stats'>;

/** Measures all running containers of these pods now. One that ends meanwhile is left out. */
export async function measure(engine: Source, pods: readonly Pod[], nowMs: number): Promise<Measure> {
  let failures = 0;
  const one = async (container: Container): Promise<Measured[]> => {
    try {
      return [{ container, stats: await engine.stats(container.id) }];
    } catch {
      if (engine.container(container.id)?.state === 'running') failures += 1;
      return [];
    }
  };
  const measured = pods.map(async pod => {
    const running = containersOf(engine, pod).filter(({ state }) => state === 'running');
    return { pod, containers: (await Promise.all(running.map(one))).flat() };
  });
  return { pods: await Promise.all(measured), failures, node: nodeUsage(nowMs) };
}

type DiskSource = Pick<Engine, 'sandboxes' | 'containers' | 'writableDirectory' | 'networkStats'>;

/** Adds what the containers wrote and what went over the pods' links: more work, for those who ask for all. */
export async function measureMore(engine: DiskSource, disks: Pick<DiskFigures, 'of'>, measured: Measure): Promise<Measure> {
  const directories = new Map(engine.containers({ owner: 'node' }).map(({ id }) => [id, engine.writableDirectory(id)]));
  const directoryOf = ({ container }: Measured) => directories.get(container.id) ?? ''; // it may be gone
  const figures = await disks.of(measured.pods.flatMap(({ containers }) => containers.map(directoryOf)).filter(Boolean), [
    ...directories.values(),
  ]);
  const ready = engine.sandboxes({ owner: 'node' }).filter(({ state }) => state === 'ready');
  const withMore = measured.pods.map(async ({ pod, containers }) => {
    const sandbox = ready.find(({ config }) => config.metadata.uid === pod.metadata.uid);
    const links = sandbox && (await engine.networkStats(sandbox.id).catch(() => undefined)); // it may end meanwhile
    const disked = containers.map(each => {
      const disk = figures.get(directoryOf(each));
      return { ...each, ...(disk ? { disk } : {}) };
    });
    return { pod, containers: disked, ...(links?.length ? { links } : {}) };
  });
  return { ...measured, pods: await Promise.all(withMore) };
}

/** All containers of all the pod's sandboxes; of one that shows docker's, that one under the name that the Pod has for it. */
export function containersOf(engine: Pick<Engine, 'sandboxes' | 'containers' | 'container'>, pod: Pod): Container[] {
  const mirrored = mirroredContainerOf(pod);
  if (mirrored !== undefined) return containersOfMirror(engine.container(mirrored), pod);
  const own = engine.sandboxes({ owner: 'node' }).filter(({ config }) => config.metadata.uid === pod.metadata.uid);
  return own.flatMap(({ id }) => engine.containers({ sandboxId: id }));
}

function containersOfMirror(container: Container | undefined, { spec }: Pod): Container[] {
  const [shown] = spec.containers;
  if (container?.owner !== 'docker' || !shown) return [];
  return [{ ...container, config: { ...container.config, metadata: { name: shown.name, attempt: 0 } } }];
}

/** `Summary` of the kubelet's `stats/v1alpha1`, as far as it is measured. Pure. */
export function toSummary(nodeName: string, { pods, node }: Measure): object {
  const time = new Date(node.atMs).toISOString();
  return {
    node: {
      nodeName,
      cpu: { time, usageCoreNanoSeconds: Math.round(node.cpuSeconds * 1e9) },
      memory: { time, availableBytes: node.memoryAvailableBytes, workingSetBytes: node.memoryTotalBytes - node.memoryAvailableBytes },
    },
    pods: pods.map(({ pod: { metadata, status }, containers, links }) => ({
      podRef: { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid },
      startTime: status?.startTime,
      containers: containers.map(({ container, stats, disk }) => ({
        name: container.config.metadata.name,
        startTime: new Date(container.startedAtMs ?? container.createdAtMs).toISOString(),
        ...usage(new Date(stats.atMs).toISOString(), [stats]),
        ...(disk ? { rootfs: { time: new Date(disk.atMs).toISOString(), usedBytes: disk.usedBytes, inodesUsed: disk.inodesUsed } } : {}),
      })),
      ...usage(
        time,
        containers.map(({ stats }) => stats),
      ),
      ...(links ? { network: toNetwork(time, links) } : {}),
      process_stats: { process_count: sum(containers, ({ stats }) => stats.pids) },
    })),
  };
}

/** Of `stats/v1alpha1`; the first link is the pod's own. */
function toNetwork(time: string, links: readonly LinkCounters[]) {
  const interfaces = links.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => ({ name, rxBytes, rxErrors, txBytes, txErrors }));
  return { time, ...interfaces[0], interfaces };
}

/** Available memory and swap are those of one container: the sum of several says nothing. */
function usage(time: string, all: ContainerStats[]) {
  const [only] = all.length === 1 ? all : [];
  const swap = all.some(stats => stats.swap)
    ? {
        swap: {
          time,
          swapUsageBytes: sum(all, stats => stats.swap?.usageBytes ?? 0),
          ...optional('swapAvailableBytes', only?.swap?.availableBytes),
        },
      }
    : {};
  return {
    cpu: {
      time,
      usageCoreNanoSeconds: sum(all, ({ cpuUsageNs }) => cpuUsageNs),
      ...(only?.pressure ? { psi: toPsi(only.pressure.cpu) } : {}),
    },
    memory: {
      time,
      usageBytes: sum(all, ({ memoryUsageBytes }) => memoryUsageBytes),
      workingSetBytes: sum(all, ({ memoryWorkingSetBytes }) => memoryWorkingSetBytes),
      rssBytes: sum(all, ({ memory }) => memory.rssBytes),
      pageFaults: sum(all, ({ memory }) => memory.pageFaults),
      majorPageFaults: sum(all, ({ memory }) => memory.majorPageFaults),
      ...optional('availableBytes', only?.memory.availableBytes),
      ...(only?.pressure ? { psi: toPsi(only.pressure.memory) } : {}),
    },
    ...swap,
    ...(only?.pressure ? { io: { time, psi: toPsi(only.pressure.io) } } : {}),
  };
}

function optional<K extends string>(name: K, value: number | undefined): Partial<Record<K, number>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, number>);
}

/** Of `stats/v1alpha1`; its totals are nanoseconds. */
function toPsi({ some, full }: Pressure) {
  const line = ({ avg10, avg60, avg300, totalUs }: PressureLine) => ({ total: totalUs * 1000, avg10, avg60, avg300 });
  return { full: line(full), some: line(some) };
}

/** One metric with its samples, to be written in Prometheus' text format. */
export interface MetricFamily {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  samples: { labels?: Record<string, string>; value: number; atMs?: number }[];
}

/** What metrics-server asks for, by the kubelet's names. Pure. */
export function toResourceMetrics({ pods, node, failures }: Measure): MetricFamily[] {
  const containers = pods.flatMap(({ pod: { metadata }, containers: all }) =>
    all.map(({ container, stats }) => ({
      stats,
      startedAtMs: container.startedAtMs ?? container.createdAtMs,
      labels: { container: container.config.metadata.name, namespace: metadata.namespace ?? '', pod: metadata.name },
    })),
  );
  const living = pods.filter(pod => pod.containers.length > 0);
  const ofContainers = (value: (stats: ContainerStats) => number) =>
    containers.map(({ labels, stats }) => ({ labels, value: value(stats), atMs: stats.atMs }));
  const ofPods = (value: (stats: ContainerStats) => number) =>
    living.map(({ pod: { metadata }, containers: all }) => ({
      labels: { namespace: metadata.namespace ?? '', pod: metadata.name },
      value: sum(all, ({ stats }) => value(stats)),
      atMs: node.atMs,
    }));
  const cpu = ({ cpuUsageNs }: ContainerStats) => cpuUsageNs / 1e9;
  const memory = ({ memoryWorkingSetBytes }: ContainerStats) => memoryWorkingSetBytes;
  const started = containers.map(({ labels, startedAtMs }) => ({ labels, value: startedAtMs / 1000 }));
  const swapping = containers.flatMap(({ labels, stats: { atMs, swap } }) => (swap ? [{ labels, atMs, swap }] : []));
  const swaps = swapping.map(({ labels, atMs, swap }) => ({ labels, atMs, value: swap.usageBytes }));
  const swapLimits = swapping.flatMap(({ labels, atMs, swap: { availableBytes, usageBytes } }) =>
    availableBytes === undefined ? [] : [{ labels, atMs, value: availableBytes + usageBytes }],
  );
  const { atMs } = node;
  const nodeMemory = node.memoryTotalBytes - node.memoryAvailableBytes;
  const counter = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({
    name,
    help,
    type: 'counter',
    samples,
  });
  const gauge = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({ name, help, type: 'gauge', samples });
  return [
    counter('container_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the container in core-seconds', ofContainers(cpu)),
    gauge('container_memory_working_set_bytes', 'Current working set of the container in bytes', ofContainers(memory)),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds', started),
    gauge('container_swap_limit_bytes', 'Current amount of the container swap limit in bytes', swapLimits),
    gauge('container_swap_usage_bytes', 'Current amount of the container swap usage in bytes', swaps),
    counter('node_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the node in core-seconds', [{ value: node.cpuSeconds, atMs }]),
    gauge('node_memory_working_set_bytes', 'Current working set of the node in bytes', [{ value: nodeMemory, atMs }]),
    counter('pod_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the pod in core-seconds', ofPods(cpu)),
    gauge('pod_memory_working_set_bytes', 'Current working set of the pod in bytes', ofPods(memory)),
    gauge('resource_scrape_error', '1 if there was an error while getting container metrics, 0 otherwise', [{ value: failures ? 1 : 0 }]),
  ];
}

/** How the agent itself is, and how many pods and containers it runs. */
export function toAgentMetrics(containers: readonly Container[], runningPods: number): MetricFamily[] {
  const { user, system } = process.cpuUsage();
  const states = Map.groupBy(containers, ({ state }) => state);
  const gauge = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({ name, help, type: 'gauge', samples });
  return [
    gauge('kubelet_running_pods', 'Number of pods that have a running container', [{ value: runningPods }]),
    gauge(
      'kubelet_running_containers',
      'Number of containers by state',
      [...states].map(([state, all]) => ({ labels: { container_state: state }, value: all.length })),
    ),
    {
      name: 'process_cpu_seconds_total',
      help: 'Total user and system CPU time spent in seconds.',
      type: 'counter',
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', [{ value: process.memoryUsage.rss() }]),
    gauge('process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', [
      { value: performance.timeOrigin / 1000 },
    ]),
  ];
}

/** Prometheus' text format, version 0.0.4. Families without samples are left out. Pure. */
export function renderMetrics(families: readonly MetricFamily[]): string {
  const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, help, type, samples }) => {
      const lines = samples.map(({ labels = {}, value, atMs }) => {
        const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
        return `${name}${pairs.length ? `{${pairs.join(',')}}` : ''} ${value}${atMs === undefined ? '' : ` ${Math.round(atMs)}`}\n`;
      });
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
    })
    .join('');
}

/** USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

function nodeUsage(nowMs: number): NodeUsage {
  const [, ...ticks] = (/^cpu .*/m.exec(readFileSync('/proc/stat', 'utf8'))?.[0] ?? '').split(/\s+/).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  const memory = readFileSync('/proc/meminfo', 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(memory)?.[1] ?? 0) * 1024;
  return {
    atMs: nowMs,
    cpuSeconds: (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND,
    memoryTotalBytes: bytes('MemTotal'),
    memoryAvailableBytes: bytes('MemAvailable'),
  };
}

function sum<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((total, one) => total + value(one), 0);
}
