import type { DiskFigure } from '#engine/disk-figures.ts';
import type { Container, ContainerStats as EngineStats, Sandbox } from '#engine/engine.ts';
import type { Pressure, PressureLine } from '#linux/cgroup-usage.ts';
import type { LinkCounters } from '#linux/netlink.ts';
import { toNanoseconds } from './forms.ts';
import type {
  ContainerStats,
  CpuUsage,
  FilesystemUsage,
  IoUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStats,
  PsiData,
  PsiStats,
  UInt64Value,
} from './types.gen.ts';

/** A running container as it was measured. */
export interface MeasuredContainer {
  container: Container;
  stats: EngineStats;
  nanoCores: number | undefined;
  disk: (DiskFigure & { mountpoint: string }) | undefined;
}

/** A sandbox with its running containers. */
export interface MeasuredSandbox {
  sandbox: Sandbox;
  stats: EngineStats;
  nanoCores: number | undefined;
  links: LinkCounters[];
  containers: MeasuredContainer[];
}

const wrap = (value: number): UInt64Value => ({ value });
const wrapIf = (value: number | undefined) => (value === undefined ? undefined : wrap(value));

/** Pure. */
export function toContainerStats({ container, stats, nanoCores, disk }: MeasuredContainer): ContainerStats {
  const { id, config } = container;
  const timestamp = toNanoseconds(stats.atMs);
  const { swap } = stats;
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    cpu: toCpu(stats, nanoCores),
    memory: toMemory(stats),
    writableLayer: disk && toFilesystem(disk.mountpoint, disk),
    swap: swap && { timestamp, swapUsageBytes: wrap(swap.usageBytes), swapAvailableBytes: wrapIf(swap.availableBytes) },
    io: toIo(stats),
  };
}

/** Pure. */
export function toSandboxStats({ sandbox, stats, nanoCores, links, containers }: MeasuredSandbox): PodSandboxStats {
  const { id, config } = sandbox;
  const timestamp = toNanoseconds(stats.atMs);
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    linux: {
      cpu: toCpu(stats, nanoCores),
      memory: toMemory(stats),
      network: toNetwork(timestamp, links),
      process: { timestamp, processCount: wrap(stats.pids) },
      containers: containers.map(toContainerStats),
      io: toIo(stats),
    },
  };
}

function toCpu({ atMs, cpuUsageNs, pressure }: EngineStats, nanoCores: number | undefined): CpuUsage {
  return {
    timestamp: toNanoseconds(atMs),
    usageCoreNanoSeconds: wrap(cpuUsageNs),
    usageNanoCores: wrapIf(nanoCores),
    psi: toPsi(pressure?.cpu),
  };
}

function toMemory({ atMs, memoryUsageBytes, memoryWorkingSetBytes, memory, pressure }: EngineStats): MemoryUsage {
  return {
    timestamp: toNanoseconds(atMs),
    workingSetBytes: wrap(memoryWorkingSetBytes),
    availableBytes: wrapIf(memory.availableBytes),
    usageBytes: wrap(memoryUsageBytes),
    rssBytes: wrap(memory.rssBytes),
    pageFaults: wrap(memory.pageFaults),
    majorPageFaults: wrap(memory.majorPageFaults),
    psi: toPsi(pressure?.memory),
  };
}

function toIo({ atMs, pressure }: EngineStats): IoUsage {
  return { timestamp: toNanoseconds(atMs), psi: toPsi(pressure?.io) };
}

function toPsi(pressure: Pressure | undefined): PsiStats | undefined {
  return pressure && { Full: toPsiData(pressure.full), Some: toPsiData(pressure.some) };
}

function toPsiData({ totalUs, avg10, avg60, avg300 }: PressureLine): PsiData {
  return { Total: totalUs, Avg10: avg10, Avg60: avg60, Avg300: avg300 };
}

/** `eth0`, as everybody calls a pod's own link; without one the first. */
function toNetwork(timestamp: number, links: readonly LinkCounters[]): NetworkUsage {
  const main = links.find(({ name }) => name === 'eth0') ?? links[0];
  return {
    timestamp,
    defaultInterface: main && toInterface(main),
    interfaces: links.filter(link => link !== main).map(toInterface),
  };
}

function toInterface({ name, rxBytes, rxErrors, txBytes, txErrors }: LinkCounters): NetworkInterfaceUsage {
  return { name, rxBytes: wrap(rxBytes), rxErrors: wrap(rxErrors), txBytes: wrap(txBytes), txErrors: wrap(txErrors) };
}

/** Pure. */
export function toFilesystem(mountpoint: string, { atMs, usedBytes, inodesUsed }: DiskFigure): FilesystemUsage {
  return { timestamp: toNanoseconds(atMs), fsId: { mountpoint }, usedBytes: wrap(usedBytes), inodesUsed: wrap(inodesUsed) };
}
