import { quantityValue } from '#base/index.ts';
import type { NodeTable } from './node-table.ts';
import { type Filter, passesNow, type Rejection, type Score } from './plugin.ts';

/** How the room that is left counts. */
export type FitStrategy =
  | { type: 'LeastAllocated' | 'MostAllocated' }
  /** Points of a curve over utilization (0 to 100), rising in it; scores 0 to 10. */
  | { type: 'RequestedToCapacityRatio'; shape: readonly { utilization: number; score: number }[] };

/** Keeps pods from nodes where what they ask for is not left; nobody's going helps where it never was there. */
export const resourcesFit: Filter = {
  name: 'NodeResourcesFit',
  prepare: ({ request }, { table }) => ({
    reject(row): Rejection | undefined {
      let reasons: string[] | undefined;
      let isFinal = false;
      const look = (asked: number, used: number, capacity: number, reason: string) => {
        if (asked <= 0 || used + asked <= capacity) return;
        reasons ??= [];
        reasons.push(reason);
        if (asked > capacity) isFinal = true;
      };
      look(1, table.podsUsed[row]!, table.podCapacity[row]!, 'Too many pods');
      look(request.cpuMilli, table.cpuUsed[row]!, table.cpuCapacity[row]!, 'Insufficient cpu');
      look(request.memoryBytes, table.memoryUsed[row]!, table.memoryCapacity[row]!, 'Insufficient memory');
      look(request.ephemeralBytes, table.ephemeralUsed[row]!, table.ephemeralCapacity[row]!, 'Insufficient ephemeral-storage');
      for (const [name, amount] of request.extended) {
        const capacity = quantityValue(table.nodes[row]?.status?.allocatable?.[name] ?? '0');
        look(amount, table.extendedUsed[row]?.get(name) ?? 0, capacity, `Insufficient ${name}`);
      }
      return reasons && { reasons, isFinal };
    },
  }),
  helps: { node: passesNow(() => resourcesFit), 'pod-gone': passesNow(() => resourcesFit) },
};

/** Prefers nodes by how much of their CPU and memory would be taken; default: the emptier the better. */
export function resourcesFitScore(strategy: FitStrategy = { type: 'LeastAllocated' }): Score {
  const rate = ratingOf(strategy);
  return {
    name: 'NodeResourcesFit',
    weight: 1,
    score: ({ request }, { table }, rows) =>
      Float64Array.from(rows, row => {
        const cpu = share(table.scoreCpuUsed[row]! + request.scoreCpuMilli, table.cpuCapacity[row]!);
        const memory = share(table.scoreMemoryUsed[row]! + request.scoreMemoryBytes, table.memoryCapacity[row]!);
        return Math.floor((rate(cpu) + rate(memory)) / 2);
      }),
  };
}

/** Prefers nodes whose CPU and memory would be taken in equal shares; the same to pods that ask for neither. */
export const balancedAllocation: Score = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  score: ({ request }, { table }, rows) =>
    request.cpuMilli + request.memoryBytes === 0 ? undefined : Float64Array.from(rows, row => balance(table, row, request)),
};

function balance(table: NodeTable, row: number, { cpuMilli, memoryBytes }: { cpuMilli: number; memoryBytes: number }): number {
  const cpu = Math.min(1, share(table.cpuUsed[row]! + cpuMilli, table.cpuCapacity[row]!));
  const memory = Math.min(1, share(table.memoryUsed[row]! + memoryBytes, table.memoryCapacity[row]!));
  return Math.floor(100 * (1 - Math.abs(cpu - memory) / 2));
}

function share(used: number, capacity: number): number {
  return capacity > 0 ? used / capacity : 1;
}

/** From a utilization of 0 to 1 to a score of 0 to 100. */
function ratingOf(strategy: FitStrategy): (utilization: number) => number {
  switch (strategy.type) {
    case 'LeastAllocated':
      return utilization => 100 * Math.max(0, 1 - utilization);
    case 'MostAllocated':
      return utilization => 100 * Math.min(1, utilization);
    case 'RequestedToCapacityRatio':
      return utilization => 10 * onCurve(strategy.shape, 100 * Math.min(1, utilization));
  }
}

function onCurve(shape: readonly { utilization: number; score: number }[], at: number): number {
  let before = shape[0];
  if (!before || at <= before.utilization) return before?.score ?? 0;
  for (const point of shape) {
    if (at <= point.utilization && point.utilization > before.utilization) {
      const way = (at - before.utilization) / (point.utilization - before.utilization);
      return before.score + way * (point.score - before.score);
    }
    before = point;
  }
  return before.score;
}
