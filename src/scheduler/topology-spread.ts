import type { LabelRequirement } from '#base/label-selector.ts';
import { matchesLabels } from '#base/label-selector.ts';
import type { Node } from '#kinds/node.ts';
import { nodeMatchesPod } from '#kinds/node-affinity.ts';
import type { Pod } from '#kinds/pod.ts';
import { narrowed } from '#kinds/pod-affinity.ts';
import { findUntolerated } from '#kinds/tolerations.ts';
import type { TopologySpreadConstraint } from '#kinds/types.gen.ts';
import { sumByDomain } from './domains.ts';
import { type Check, type Filter, rejection, type Score } from './plugin.ts';
import type { World } from './world.ts';

const SKEWED = rejection("node(s) didn't match pod topology spread constraints");
const NO_LABEL = rejection("node(s) didn't match pod topology spread constraints (missing required label)", { isFinal: true });
const HOSTNAME = 'kubernetes.io/hostname';

/** One constraint of a pod, read. */
interface Constraint {
  topologyKey: string;
  maxSkew: number;
  minDomains: number;
  requirements: readonly LabelRequirement[];
  /** Nodes that take part. */
  takes: (node: Node) => boolean;
}

/** The selector of the Services and the controller that a pod belongs to; undefined when it belongs to none. */
export type OwnSelector = (pod: Pod) => readonly LabelRequirement[] | undefined;

/** What pods without constraints of their own are spread by, softly, where they belong to a Service or a controller. */
export const DEFAULT_CONSTRAINTS: readonly { topologyKey: string; maxSkew: number }[] = [
  { topologyKey: HOSTNAME, maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5 },
];

function readConstraints(pod: Pod, whenUnsatisfiable: string): Constraint[] {
  const own = (pod.spec.topologySpreadConstraints ?? []).filter(one => one.whenUnsatisfiable === whenUnsatisfiable);
  return own.map(one => ({
    topologyKey: one.topologyKey,
    maxSkew: one.maxSkew,
    minDomains: one.minDomains ?? 1,
    requirements: narrowed(one.labelSelector, pod.metadata.labels, one.matchLabelKeys),
    takes: takesPart(pod, one),
  }));
}

function takesPart({ spec }: Pod, { nodeAffinityPolicy, nodeTaintsPolicy }: TopologySpreadConstraint): (node: Node) => boolean {
  const asksAffinity = (nodeAffinityPolicy ?? 'Honor') === 'Honor';
  const asksTaints = nodeTaintsPolicy === 'Honor';
  return node => (!asksAffinity || nodeMatchesPod(spec, node)) && (!asksTaints || !findUntolerated(node.spec.taints, spec.tolerations));
}

/** Counts by row of the pods of the same namespace that a constraint means; those on their way out don't count. */
function countsOf(world: World, { metadata: { namespace } }: Pod, requirements: readonly LabelRequirement[]) {
  const means = meaning(namespace, requirements);
  return world.countsOf(`spread ${namespace} ${JSON.stringify(requirements)}`, means);
}

function meaning(namespace: string | undefined, requirements: readonly LabelRequirement[]): (pod: Pod) => boolean {
  return ({ metadata }) => metadata.namespace === namespace && !metadata.deletionTimestamp && matchesLabels(requirements, metadata.labels);
}

/** Keeps `DoNotSchedule` constraints. */
export const topologySpread: Filter = {
  name: 'PodTopologySpread',
  prepare({ pod }, world) {
    if (!pod.spec.topologySpreadConstraints) return undefined;
    const constraints = readConstraints(pod, 'DoNotSchedule');
    return constraints.length > 0 ? checkOf(pod, world, constraints) : undefined;
  },
  helps: {
    node: () => true,
    'pod-came': ({ placed }, { pod }) => isMeant(pod, placed.pod),
    'pod-gone': ({ placed }, { pod }) => isMeant(pod, placed.pod),
    'pod-relabeled': ({ placed, previous }, { pod }) => isMeant(pod, placed.pod) || isMeant(pod, previous),
  },
};

function isMeant(pod: Pod, other: Pod): boolean {
  return (
    pod.metadata.namespace === other.metadata.namespace &&
    readConstraints(pod, 'DoNotSchedule').some(({ requirements }) => matchesLabels(requirements, other.metadata.labels))
  );
}

function checkOf(pod: Pod, world: World, constraints: readonly Constraint[]): Check {
  const hasAll = ({ metadata }: Node) => constraints.every(({ topologyKey }) => metadata.labels?.[topologyKey] !== undefined);
  const spreads = constraints.map(constraint => {
    const takes = (node: Node) => hasAll(node) && constraint.takes(node);
    const byDomain = sumByDomain(world, countsOf(world, pod, constraint.requirements), constraint.topologyKey, takes);
    const self = matchesLabels(constraint.requirements, pod.metadata.labels) ? 1 : 0;
    return { ...constraint, takes, byDomain, self, least: leastOf(byDomain, constraint.minDomains) };
  });
  return {
    reject(_row, { metadata: { labels } }) {
      for (const { topologyKey, byDomain, self, least, maxSkew } of spreads) {
        const domain = labels?.[topologyKey];
        if (domain === undefined) return NO_LABEL;
        if ((byDomain.get(domain) ?? 0) + self - least > maxSkew) return SKEWED;
      }
      return undefined;
    },
    shift(row, other, sign) {
      const node = world.table.nodes[row];
      for (const spread of spreads) {
        const domain = node?.metadata.labels?.[spread.topologyKey];
        if (!node || domain === undefined || !spread.takes(node) || !meaning(pod.metadata.namespace, spread.requirements)(other.pod))
          continue;
        spread.byDomain.set(domain, (spread.byDomain.get(domain) ?? 0) + sign);
        spread.least = leastOf(spread.byDomain, spread.minDomains);
      }
    },
  };
}

function leastOf(byDomain: ReadonlyMap<string, number>, minDomains: number): number {
  if (byDomain.size === 0 || byDomain.size < minDomains) return 0;
  let least = Number.POSITIVE_INFINITY;
  for (const count of byDomain.values()) if (count < least) least = count;
  return least;
}

/** Prefers nodes by `ScheduleAnyway` constraints, or by the defaults for pods that have no constraints at all. */
export function topologySpreadScore(ownSelector: OwnSelector = () => undefined, defaults = DEFAULT_CONSTRAINTS): Score {
  return {
    name: 'PodTopologySpread',
    weight: 2,
    score({ pod }, world, rows) {
      const isOwn = (pod.spec.topologySpreadConstraints?.length ?? 0) > 0;
      const constraints = isOwn ? readConstraints(pod, 'ScheduleAnyway') : defaultsFor(pod, ownSelector(pod), defaults);
      return constraints.length > 0 ? scoreSpread(pod, world, rows, constraints, isOwn) : undefined;
    },
  };
}

function defaultsFor(pod: Pod, requirements: readonly LabelRequirement[] | undefined, defaults: typeof DEFAULT_CONSTRAINTS): Constraint[] {
  if (!requirements?.length) return [];
  return defaults.map(one => ({ ...one, minDomains: 1, requirements, takes: node => nodeMatchesPod(pod.spec, node) }));
}

function scoreSpread(
  pod: Pod,
  world: World,
  rows: readonly number[],
  constraints: readonly Constraint[],
  mustHaveAll: boolean,
): Float64Array | undefined {
  const { nodes } = world.table;
  const isIgnored = (node: Node) => mustHaveAll && constraints.some(({ topologyKey }) => node.metadata.labels?.[topologyKey] === undefined);
  const raw = new Float64Array(rows.length);
  for (const constraint of constraints) {
    const { topologyKey, maxSkew, requirements, takes } = constraint;
    const counts = countsOf(world, pod, requirements);
    const isHost = topologyKey === HOSTNAME;
    const byDomain = isHost ? undefined : sumByDomain(world, counts, topologyKey, node => !isIgnored(node) && takes(node));
    const domains = isHost ? rows.length : new Set(rows.map(row => nodes[row]?.metadata.labels?.[topologyKey])).size;
    const weight = Math.log(domains + 2);
    for (let index = 0; index < rows.length; index++) {
      const domain = nodes[rows[index]!]?.metadata.labels?.[topologyKey];
      if (domain === undefined) continue;
      const count = byDomain ? (byDomain.get(domain) ?? 0) : (counts[rows[index]!] ?? 0);
      raw[index]! += count * weight + (maxSkew - 1);
    }
  }
  return spreadEvenly(raw, rows, index => isIgnored(nodes[rows[index]!]!));
}

/** The fewer, the higher: from 0 to 100. */
function spreadEvenly(raw: Float64Array, rows: readonly number[], isIgnored: (index: number) => boolean): Float64Array | undefined {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let index = 0; index < rows.length; index++) {
    if (isIgnored(index)) continue;
    const value = Math.round(raw[index]!);
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  if (least === Number.POSITIVE_INFINITY) return undefined;
  return raw.map((value, index) => {
    if (isIgnored(index)) return 0;
    return most === 0 ? 100 : Math.floor((100 * (most + least - Math.round(value))) / most);
  });
}
