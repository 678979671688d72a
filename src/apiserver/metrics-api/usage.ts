import type { Usage } from '#kinds/metrics.ts';

/** A counter of processor time and a level of memory, at a moment. */
export interface Sample {
  atMs: number;
  cpuNanoseconds: number;
  memoryBytes: number;
}

export interface ContainerSample extends Sample {
  name: string;
  startedMs: number;
}

/** What a node measured at once: itself, and its pods' containers by the pod's uid. */
export interface Reading {
  node: Sample;
  pods: ReadonlyMap<string, readonly ContainerSample[]>;
}

/** The mean use between two readings. */
export interface MeanUsage {
  timestampMs: number;
  windowMs: number;
  usage: Usage;
}

/** A container that came between two readings is measured over its life, if it has lived so long. */
const SHORTEST_LIFE_MS = 500;

/** The kubelet's `stats/summary`, as far as it is looked at. */
export interface Summary {
  node?: Stats;
  pods?: { podRef?: { uid?: string }; containers?: (Stats & { name?: string; startTime?: string })[] }[];
}

interface Stats {
  cpu?: { time?: string; usageCoreNanoSeconds?: number };
  memory?: { workingSetBytes?: number };
}

/** Reads what a node says of itself. Containers that it has not measured are left out. Pure. */
export function readSummary({ node, pods = [] }: Summary): Reading | undefined {
  const own = node && toSample(node);
  if (!own) return undefined;
  const containers = pods.map(({ podRef, containers: all = [] }) => {
    const samples = all.flatMap(({ name = '', startTime = '', ...stats }) => {
      const sample = toSample(stats);
      return sample ? [{ ...sample, name, startedMs: Date.parse(startTime) || 0 }] : [];
    });
    return [podRef?.uid ?? '', samples] as const;
  });
  return { node: own, pods: new Map(containers) };
}

function toSample({ cpu, memory }: Stats): Sample | undefined {
  const atMs = Date.parse(cpu?.time ?? '');
  const { usageCoreNanoSeconds: cpuNanoseconds } = cpu ?? {};
  if (Number.isNaN(atMs) || cpuNanoseconds === undefined || memory?.workingSetBytes === undefined) return undefined;
  return { atMs, cpuNanoseconds, memoryBytes: memory.workingSetBytes };
}

/** The node's mean use between two readings. Pure. */
export function nodeUsage(before: Reading, after: Reading): MeanUsage | undefined {
  return meanOf(before.node, after.node);
}

/** The mean use of each of a pod's containers; undefined while one of them has not been measured for long enough. Pure. */
export function podUsage(
  before: Reading,
  after: Reading,
  uid: string,
): { timestampMs: number; windowMs: number; containers: { name: string; usage: Usage }[] } | undefined {
  const samples = after.pods.get(uid) ?? [];
  const means = samples.map(sample => ({ name: sample.name, mean: containerUsage(before.pods.get(uid), sample) }));
  const known = means.flatMap(({ name, mean }) => (mean ? [{ name, mean }] : []));
  const [first] = known;
  if (!first || known.length < means.length) return undefined;
  return {
    timestampMs: Math.min(...known.map(({ mean }) => mean.timestampMs)),
    windowMs: first.mean.windowMs,
    containers: known.map(({ name, mean: { usage } }) => ({ name, usage })),
  };
}

function containerUsage(before: readonly ContainerSample[] = [], after: ContainerSample): MeanUsage | undefined {
  const same = before.find(({ name, startedMs }) => name === after.name && startedMs === after.startedMs);
  if (same) return meanOf(same, after);
  if (after.atMs - after.startedMs < SHORTEST_LIFE_MS) return undefined;
  return meanOf({ atMs: after.startedMs, cpuNanoseconds: 0, memoryBytes: 0 }, after);
}

function meanOf(before: Sample, after: Sample): MeanUsage | undefined {
  const windowMs = after.atMs - before.atMs;
  if (windowMs <= 0 || after.cpuNanoseconds < before.cpuNanoseconds) return undefined;
  const nanocores = Math.round(((after.cpuNanoseconds - before.cpuNanoseconds) * 1_000) / windowMs);
  return {
    timestampMs: after.atMs,
    windowMs,
    usage: {
      cpu: nanocores === 0 ? '0' : `${nanocores}n`,
      memory: `${Math.ceil(after.memoryBytes / 1024)}Ki`,
    },
  };
}

/** `15s`, `1.04s`: a duration as Go writes it. Pure. */
export function windowText(windowMs: number): string {
  const minutes = Math.floor(windowMs / 60_000);
  const seconds = Number(((windowMs % 60_000) / 1_000).toFixed(3));
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
