import type { Pod } from '#kinds/pod.ts';
import { podCondition } from '#kinds/pod-template.ts';

/** What one pod uses of a resource, in thousandths, as the mean over a window. */
export interface PodUse {
  milli: number;
  timestampMs: number;
  windowMs: number;
}

/** How far from its target the use may be before something is done: shares of the target. */
export interface Tolerances {
  up: number;
  down: number;
}

/** A pod that starts needs more processor than it will later: measures of its first minutes count only once it is ready. */
const CPU_INITIALIZATION_MS = 300_000;
/** A pod that was not ready within this time of its start has never been ready. */
const INITIAL_READINESS_MS = 30_000;

export interface PodGroups {
  ready: number;
  unready: string[];
  missing: string[];
  ignored: string[];
}

/** Which pods' measures count. Pure. */
function groupPods(pods: readonly Pod[], uses: ReadonlyMap<string, PodUse>, resource: string, nowMs: number): PodGroups {
  const groups: PodGroups = { ready: 0, unready: [], missing: [], ignored: [] };
  for (const pod of pods) {
    const { name, deletionTimestamp } = pod.metadata;
    const use = uses.get(name);
    const phase = pod.status?.phase ?? 'Pending';
    if (deletionTimestamp || phase === 'Failed') groups.ignored.push(name);
    else if (phase === 'Pending') groups.unready.push(name);
    else if (!use) groups.missing.push(name);
    else if (resource === 'cpu' && isWarmingUp(pod, use, nowMs)) groups.unready.push(name);
    else groups.ready += 1;
  }
  return groups;
}

function isWarmingUp(pod: Pod, { timestampMs, windowMs }: PodUse, nowMs: number): boolean {
  const ready = podCondition(pod, 'Ready');
  const startMs = Date.parse(pod.status?.startTime ?? '');
  if (!ready || Number.isNaN(startMs)) return true;
  const sinceMs = Date.parse(ready.lastTransitionTime ?? '') || 0;
  if (startMs + CPU_INITIALIZATION_MS > nowMs) return ready.status === 'False' || timestampMs < sinceMs + windowMs;
  return ready.status === 'False' && startMs + INITIAL_READINESS_MS > sinceMs;
}

export interface UsageQuestion {
  currentReplicas: number;
  pods: readonly Pod[];
  uses: ReadonlyMap<string, PodUse>;
  resource: string;
  tolerances: Tolerances;
  nowMs: number;
  /** Percent of what the pods request, or thousandths for each pod. */
  target: { utilization: number; requests: ReadonlyMap<string, number> } | { averageMilli: number };
}

export interface UsageAnswer {
  replicas: number;
  /** Percent, where the target is one. */
  utilization?: number;
  averageMilli: number;
}

/**
 * How many pods the use calls for: the share of the target that is used now, times the pods that were measured. Pods without a measure
 * count as if they spoke against the change. Pure. @throws Error when it can't be told
 */
export function planByUsage({ currentReplicas, pods, uses, resource, tolerances, nowMs, target }: UsageQuestion): UsageAnswer {
  if (pods.length === 0) throw new Error('no pods returned by selector while calculating replica count');
  const { ready, unready, missing, ignored } = groupPods(pods, uses, resource, nowMs);
  const counted = new Map([...uses].map(([name, { milli }]) => [name, milli]));
  for (const name of [...ignored, ...unready]) counted.delete(name);
  if (counted.size === 0) throw new Error('did not receive metrics for targeted pods (pods might be unready)');

  const now = ratioOf(counted, target);
  const answer = (replicas: number): UsageAnswer => ({ replicas, averageMilli: now.averageMilli, ...pick(now) });
  const isWithin = (ratio: number) => 1 - tolerances.down <= ratio && ratio <= 1 + tolerances.up;
  const growsWithUnready = unready.length > 0 && now.ratio > 1;
  if (!growsWithUnready && missing.length === 0) return answer(isWithin(now.ratio) ? currentReplicas : Math.ceil(now.ratio * ready));

  for (const name of now.ratio === 1 ? [] : missing) counted.set(name, now.ratio > 1 ? 0 : atTarget(name, target));
  if (growsWithUnready) for (const name of unready) counted.set(name, 0);
  const { ratio } = ratioOf(counted, target);
  if (isWithin(ratio) || (now.ratio < 1 && ratio > 1) || (now.ratio > 1 && ratio < 1)) return answer(currentReplicas);
  const replicas = Math.ceil(ratio * counted.size);
  const isAgainst = (ratio < 1 && replicas > currentReplicas) || (ratio > 1 && replicas < currentReplicas);
  return answer(isAgainst ? currentReplicas : replicas);
}

function pick({ utilization }: { utilization?: number }): { utilization?: number } {
  return utilization === undefined ? {} : { utilization };
}

/** What a pod without a measure is taken to use when the others use less than they should. */
function atTarget(name: string, target: UsageQuestion['target']): number {
  return 'averageMilli' in target ? target.averageMilli : ((target.requests.get(name) ?? 0) * Math.max(100, target.utilization)) / 100;
}

function ratioOf(counted: ReadonlyMap<string, number>, target: UsageQuestion['target']) {
  if ('averageMilli' in target) {
    const average = Math.trunc(sum(counted.values()) / counted.size);
    return { ratio: average / target.averageMilli, averageMilli: average };
  }
  const known = [...counted].filter(([name]) => target.requests.has(name));
  const used = sum(known.map(([, milli]) => milli));
  const requested = sum(known.map(([name]) => target.requests.get(name) ?? 0));
  if (requested === 0) throw new Error('no metrics returned matched known pods');
  const utilization = Math.trunc((used * 100) / requested);
  return { ratio: utilization / target.utilization, averageMilli: Math.trunc(used / known.length), utilization };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
