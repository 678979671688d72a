import { availableParallelism, totalmem } from 'node:os';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { ContainerStats } from '#engine/index.ts';
import type { LinkCounters } from '#linux/netlink.ts';
import { type DockerRequest, flagOf, sendJson } from '../request.ts';
import type { DockerContainer } from '../rooms.ts';
import type { Containers } from './containers.ts';
import { toTimestamp } from './inspect-form.ts';

const PERIOD_MS = 1000;
/** Between the two looks of one that does not stream: figures are nanoseconds, so a short span tells as much as a long one. */
const SPAN_MS = 250;
const NEVER = '0001-01-01T00:00:00Z';

/** One look at a container: what its control group and its links say, and the machine's processor time. */
export interface Sample {
  stats: ContainerStats;
  links: readonly LinkCounters[];
  systemCpuNs: number;
}

/** What `docker stats` shows: a look a second, or one; the first has an empty one before it unless `one-shot` asks for a single look. */
export async function streamStats(
  containers: Containers,
  { name, query, response, signal, context: { clock } }: DockerRequest,
): Promise<void> {
  const { id } = containers.find(name);
  const streams = flagOf(query, 'stream', true);
  const isOneShot = flagOf(query, 'one-shot');
  if (streams && isOneShot) throw new UmiakError('BadRequest', 'cannot have stream=true and one-shot=true');
  let before = await look(containers, id);
  if (!streams) {
    if (isOneShot || !before) return sendJson(response, 200, toStats(containers.find(id), before, undefined));
    await passed(clock, SPAN_MS, signal);
    const now = await look(containers, id);
    return sendJson(response, 200, toStats(containers.find(id), now, before));
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write(`${JSON.stringify(toStats(containers.find(id), before, undefined))}\n`);
  while (!signal.aborted) {
    await passed(clock, PERIOD_MS, signal);
    if (signal.aborted || !containers.engine.container(id)) break;
    const container = containers.find(id);
    const now = await look(containers, id);
    const line = `${JSON.stringify(toStats(container, now, before))}\n`;
    // Who reads slowly misses looks, and gets no heap of old ones.
    if (response.writableLength === 0) response.write(line);
    before = now;
  }
  response.end();
}

/** Undefined of one that does not run. */
async function look({ engine }: Containers, id: string): Promise<Sample | undefined> {
  const container = engine.container(id);
  if (container?.state !== 'running') return undefined;
  try {
    const [stats, links] = await Promise.all([engine.stats(id), engine.networkStats(container.config.sandboxId)]);
    return { stats, links, systemCpuNs: systemCpuNs() };
  } catch {
    return undefined; // it has ended meanwhile
  }
}

/**
 * The machine's processor time, idle or not, of all processors: what docker adds up from `/proc/stat`, in nanoseconds instead of hundredths
 * of seconds.
 */
function systemCpuNs(): number {
  return Number(process.hrtime.bigint()) * availableParallelism();
}

function passed(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}

/** Docker's form of two looks, one after the other. Pure but for the machine's size. */
export function toStats(
  { id, name }: Pick<DockerContainer, 'id' | 'name'>,
  now: Sample | undefined,
  before: Sample | undefined,
): Record<string, unknown> {
  const { stats, links = [] } = now ?? {};
  return {
    name: `/${name}`,
    id,
    read: now ? toTimestamp(now.stats.atMs) : NEVER,
    preread: before ? toTimestamp(before.stats.atMs) : NEVER,
    num_procs: 0,
    pids_stats: stats ? { current: stats.pids, ...(stats.pidsLimit === undefined ? {} : { limit: stats.pidsLimit }) } : {},
    cpu_stats: toCpu(now),
    precpu_stats: toCpu(before),
    memory_stats: stats ? toMemory(stats) : {},
    blkio_stats: toBlkio(stats),
    storage_stats: {},
    ...(links.length > 0 ? { networks: Object.fromEntries(links.map(link => [link.name, toLink(link)])) } : {}),
  };
}

function toCpu(sample: Sample | undefined): Record<string, unknown> {
  const { cpuUsageNs = 0, cpu } = sample?.stats ?? {};
  return {
    cpu_usage: { total_usage: cpuUsageNs, usage_in_kernelmode: cpu?.systemNs ?? 0, usage_in_usermode: cpu?.userNs ?? 0 },
    ...(sample ? { system_cpu_usage: sample.systemCpuNs, online_cpus: availableParallelism() } : {}),
    throttling_data: {
      periods: cpu?.periods ?? 0,
      throttled_periods: cpu?.throttledPeriods ?? 0,
      throttled_time: cpu?.throttledNs ?? 0,
    },
  };
}

/** The inactive file cache is told in both kernels' words, so that every client takes off the right one. */
function toMemory({ memoryUsageBytes, memoryWorkingSetBytes, memory }: ContainerStats): Record<string, unknown> {
  const inactive = memoryUsageBytes - memoryWorkingSetBytes;
  return {
    usage: memoryUsageBytes,
    limit: memory.limitBytes ?? totalmem(),
    stats: {
      anon: memory.rssBytes,
      rss: memory.rssBytes,
      inactive_file: inactive,
      total_inactive_file: inactive,
      pgfault: memory.pageFaults,
      pgmajfault: memory.majorPageFaults,
    },
  };
}

function toBlkio(stats: ContainerStats | undefined): Record<string, unknown> {
  const { io } = stats ?? {};
  const list = (read: number, write: number) =>
    read + write > 0
      ? [
          { major: 0, minor: 0, op: 'read', value: read },
          { major: 0, minor: 0, op: 'write', value: write },
        ]
      : null;
  return {
    io_service_bytes_recursive: io ? list(io.readBytes, io.writeBytes) : null,
    io_serviced_recursive: io ? list(io.reads, io.writes) : null,
    io_queue_recursive: null,
    io_service_time_recursive: null,
    io_wait_time_recursive: null,
    io_merged_recursive: null,
    io_time_recursive: null,
    sectors_recursive: null,
  };
}

function toLink(link: LinkCounters): Record<string, number> {
  return {
    rx_bytes: link.rxBytes,
    rx_packets: link.rxPackets,
    rx_errors: link.rxErrors,
    rx_dropped: link.rxDropped,
    tx_bytes: link.txBytes,
    tx_packets: link.txPackets,
    tx_errors: link.txErrors,
    tx_dropped: link.txDropped,
  };
}
