import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import { mirroredContainerOf } from '#kinds/mirror-pod.ts';
import { podCondition } from '#kinds/pod-template.ts';
import type { PodDisruptionBudget } from '#kinds/policy.ts';
import type { Checks, Misfit } from './place.ts';
import { countReasons } from './place.ts';
import type { Candidate, Placed, World } from './world.ts';

/** A tenth of the nodes, but at least a hundred, are tried. */
const LEAST_TRIED = 100;
const NOT_HELPFUL = 'Preemption is not helpful for scheduling';
const NO_VICTIMS = 'No preemption victims found for incoming pod';

/** Who would have to go for a pod to fit on a node. */
export interface Sacrifice {
  node: string;
  /** The most important first. */
  victims: readonly Placed[];
  /** Victims whose disruption budget does not allow it. */
  violations: number;
}

export type Preemption = { sacrifice: Sacrifice } | { sacrifice?: undefined; message: string };

export interface PreemptionOptions {
  candidate: Candidate;
  world: World;
  misfit: Misfit;
  budgets: readonly PodDisruptionBudget[];
  nowMs: number;
  /** Where among the nodes the search begins, so that they get their turn. */
  startAt?: number;
}

/** Finds the node where the least harm makes room for the pod, or says why nothing does. */
export function planPreemption({ candidate, world, misfit, budgets, nowMs, startAt = 0 }: PreemptionOptions): Preemption {
  const ineligible = whyNotEligible(candidate, world, misfit);
  if (ineligible) return { message: ineligible };
  const { table } = world;
  const { checks } = misfit;
  const tried = [...misfit.rejections].filter(([, { isFinal }]) => !isFinal).map(([row]) => row);
  const reasons: string[] = Array.from({ length: table.size - tried.length }, () => NOT_HELPFUL);
  const most = Math.max(LEAST_TRIED, Math.floor(table.size / 10));
  const found: Sacrifice[] = [];
  if (!world.hasBelow(candidate.priority)) reasons.push(...tried.splice(0).map(() => NO_VICTIMS));
  for (let index = 0; checks && index < tried.length && found.length < most; index++) {
    const row = tried[(index + startAt) % tried.length]!;
    const result = planNode(row, { candidate, world, checks, budgets, nowMs });
    if ('node' in result) found.push(result);
    else reasons.push(...result.reasons);
  }
  const sacrifice = planChoice(found, nowMs);
  return sacrifice ? { sacrifice } : { message: `0/${table.size} nodes are available: ${countReasons(reasons)}.` };
}

function whyNotEligible({ key, pod, priority }: Candidate, world: World, { rejections }: Misfit): string | undefined {
  if (pod.spec.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
  const name = world.nominatedNodeOf(key);
  const row = name === undefined ? undefined : world.table.rowOf(name);
  if (row === undefined || rejections.get(row)?.isFinal) return undefined;
  for (const victim of world.podsByRow[row]?.values() ?? [])
    if (victim.priority < priority && isBeingPreempted(victim)) return 'not eligible due to a terminating pod on the nominated node.';
  return undefined;
}

function isBeingPreempted({ pod }: Placed): boolean {
  if (!pod.metadata.deletionTimestamp) return false;
  const condition = podCondition(pod, 'DisruptionTarget');
  return condition?.status === 'True' && condition.reason === 'PreemptionByScheduler';
}

interface Trial extends Pick<PreemptionOptions, 'candidate' | 'world' | 'budgets' | 'nowMs'> {
  checks: Checks;
}

/** Takes all less important pods away, then gives back as many as fit, first those that a budget protects, the important before the others. */
function planNode(row: number, { candidate, world, checks, budgets, nowMs }: Trial): Sacrifice | { reasons: readonly string[] } {
  const node = world.table.nodes[row]!;
  const lower = [...(world.podsByRow[row]?.values() ?? [])].filter(
    ({ pod, priority }) => priority < candidate.priority && mirroredContainerOf(pod) === undefined,
  );
  if (lower.length === 0) return { reasons: [NO_VICTIMS] };
  lower.sort((a, b) => byImportance(a, b, nowMs));
  for (const pod of lower) checks.shift(row, pod, -1);
  const rejected = checks.rejectAt(row, node);
  if (rejected) {
    for (const pod of lower) checks.shift(row, pod, 1);
    return rejected;
  }
  const { violating, others } = planBudgets(lower, budgets);
  const victims: Placed[] = [];
  let violations = 0;
  const isReprieved = (pod: Placed) => {
    checks.shift(row, pod, 1);
    if (checks.rejectAt(row, node) === undefined) return true;
    checks.shift(row, pod, -1);
    victims.push(pod);
    return false;
  };
  for (const pod of violating) if (!isReprieved(pod)) violations += 1;
  for (const pod of others) isReprieved(pod);
  for (const pod of victims) checks.shift(row, pod, 1);
  victims.sort((a, b) => byImportance(a, b, nowMs));
  return { node: node.metadata.name, victims, violations };
}

/** Parts pods, in their order, into those whose going a budget no longer allows and the others. */
export function planBudgets<T extends Pick<Placed, 'pod'>>(
  pods: readonly T[],
  budgets: readonly PodDisruptionBudget[],
): { violating: T[]; others: T[] } {
  const left = budgets.map(({ status }) => status?.disruptionsAllowed ?? 0);
  const selectors = budgets.map(({ spec }) => requirementsOf(spec.selector));
  const [violating, others]: [T[], T[]] = [[], []];
  for (const each of pods) {
    const { metadata } = each.pod;
    let isViolating = false;
    budgets.forEach((budget, index) => {
      const selector = selectors[index]!;
      if (budget.metadata.namespace !== metadata.namespace || selector.length === 0 || !matchesLabels(selector, metadata.labels)) return;
      // Its going is already counted.
      if (budget.status?.disruptedPods?.[metadata.name] !== undefined) return;
      left[index]! -= 1;
      if (left[index]! < 0) isViolating = true;
    });
    (isViolating ? violating : others).push(each);
  }
  return { violating, others };
}

/** The least harm: fewest violated budgets, least important victims, lowest sum, fewest victims, those that started last. */
export function planChoice(sacrifices: readonly Sacrifice[], nowMs: number): Sacrifice | undefined {
  const harm = ({ violations, victims }: Sacrifice): readonly number[] => [
    violations,
    victims[0]?.priority ?? Number.NEGATIVE_INFINITY,
    // Each counts from the lowest priority there is, so that many of a negative one are not less than few.
    victims.reduce((sum, { priority }) => sum + priority + 2 ** 31, 0),
    victims.length,
    -Math.min(...victims.filter(({ priority }) => priority === victims[0]?.priority).map(({ pod }) => startOf(pod, nowMs))),
  ];
  let best: { sacrifice: Sacrifice; harm: readonly number[] } | undefined;
  for (const sacrifice of sacrifices) {
    const own = harm(sacrifice);
    if (!best || isLess(own, best.harm)) best = { sacrifice, harm: own };
  }
  return best?.sacrifice;
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return a[index]! < b[index]!;
  return false;
}

/** The higher priority first, then the longer running. */
function byImportance(a: Placed, b: Placed, nowMs: number): number {
  return b.priority - a.priority || startOf(a.pod, nowMs) - startOf(b.pod, nowMs);
}

function startOf({ status }: Placed['pod'], nowMs: number): number {
  return status?.startTime ? Date.parse(status.startTime) : nowMs;
}
