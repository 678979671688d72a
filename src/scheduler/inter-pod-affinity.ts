import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { type AffinityTerm, termMeans } from '#kinds/pod-affinity.ts';
import { sumByDomain } from './domains.ts';
import { type Check, type Filter, rejection, type Score } from './plugin.ts';
import type { Candidate, World } from './world.ts';

const NO_MATCH = rejection("node(s) didn't match pod affinity rules", { isFinal: true });
const ANTI = rejection("node(s) didn't match pod anti-affinity rules");
const EXISTING_ANTI = rejection("node(s) didn't satisfy existing pods anti-affinity rules");
/** What a required affinity of a pod already there weighs when another is placed. */
const HARD_WEIGHT = 1;

/** Pods that one term means, counted by the value of its topology label. */
interface TermCount {
  topologyKey: string;
  byDomain: Map<string, number>;
  means: (pod: Pod) => boolean;
}

/** Keeps required affinity and anti-affinity between pods, in both directions. */
export const interPodAffinity: Filter = {
  name: 'InterPodAffinity',
  prepare(candidate, world) {
    const { required = [], requiredAnti = [] } = candidate.terms ?? {};
    const repelled = world.withTerms.size > 0 ? existingAnti(candidate, world) : undefined;
    if (required.length + requiredAnti.length === 0 && !repelled) return undefined;
    const meansAll = (pod: Pod) => required.every(term => termMeans(term, pod, world.namespaceLabels));
    const allId = `all ${required.map(({ id }) => id).join()}`;
    const affinity = required.map(term => countOf(term, allId, meansAll, world));
    const anti = requiredAnti.map(term => countOf(term, term.id, pod => termMeans(term, pod, world.namespaceLabels), world));
    return checkOf(candidate, world, affinity, anti, repelled ?? new Map<string, number>());
  },
  helps: {
    node: ({ isNew, hasNewLabels }) => isNew || hasNewLabels,
    namespaces: () => true,
    'pod-came': ({ placed }, { terms }, { namespaceLabels }) =>
      terms?.required.some(term => termMeans(term, placed.pod, namespaceLabels)) ?? false,
    'pod-relabeled': () => true,
    'pod-gone': ({ placed }, { pod, terms }, { namespaceLabels }) =>
      (placed.terms?.requiredAnti.some(term => termMeans(term, pod, namespaceLabels)) ?? false) ||
      (terms?.requiredAnti.some(term => termMeans(term, placed.pod, namespaceLabels)) ?? false),
  },
};

function checkOf(
  { pod }: Candidate,
  world: World,
  affinity: readonly TermCount[],
  anti: readonly TermCount[],
  repelled: Map<string, number>,
): Check {
  return {
    reject(_row, node) {
      const labels = node.metadata.labels ?? {};
      let isMet = true;
      for (const { topologyKey, byDomain } of affinity) {
        const domain = labels[topologyKey];
        if (domain === undefined) return NO_MATCH;
        if (!byDomain.get(domain)) isMet = false;
      }
      // The first of a group that wants to be together starts it.
      if (!isMet && !(affinity.every(({ byDomain }) => isEmpty(byDomain)) && affinity.every(({ means }) => means(pod)))) return NO_MATCH;
      for (const { topologyKey, byDomain } of anti) if (byDomain.get(labels[topologyKey] ?? '')) return ANTI;
      if (repelled.size > 0) for (const key in labels) if (repelled.get(`${key}\0${labels[key]}`)) return EXISTING_ANTI;
      return undefined;
    },
    shift(row, other, sign) {
      const labels = world.table.nodes[row]?.metadata.labels ?? {};
      for (const { topologyKey, byDomain, means } of [...affinity, ...anti])
        if (labels[topologyKey] !== undefined && means(other.pod)) add(byDomain, labels[topologyKey], sign);
      for (const term of other.terms?.requiredAnti ?? [])
        if (labels[term.topologyKey] !== undefined && termMeans(term, pod, world.namespaceLabels))
          add(repelled, `${term.topologyKey}\0${labels[term.topologyKey]}`, sign);
    },
  };
}

function countOf({ topologyKey }: AffinityTerm, id: string, means: (pod: Pod) => boolean, world: World): TermCount {
  return { topologyKey, byDomain: sumByDomain(world, world.countsOf(id, means), topologyKey), means };
}

/** Where required anti-affinity of pods already there keeps the candidate away: `label\0value`. */
function existingAnti({ pod }: Candidate, { withTerms, table, namespaceLabels }: World): Map<string, number> | undefined {
  let counts: Map<string, number> | undefined;
  for (const { terms, node } of withTerms)
    for (const term of terms?.requiredAnti ?? []) {
      if (!termMeans(term, pod, namespaceLabels)) continue;
      const domain = table.nodes[table.rowOf(node) ?? -1]?.metadata.labels?.[term.topologyKey];
      if (domain === undefined) continue;
      counts ??= new Map();
      add(counts, `${term.topologyKey}\0${domain}`, 1);
    }
  return counts;
}

/** Prefers nodes near pods that are preferred, or that prefer the candidate; avoids the others. */
export const interPodAffinityScore: Score = {
  name: 'InterPodAffinity',
  weight: 2,
  score(candidate, world, rows) {
    const preferred = candidate.terms?.preferred ?? [];
    if (preferred.length === 0 && world.withTerms.size === 0) return undefined;
    const weights = new Map<string, Map<string, number>>();
    for (const { weight, term } of preferred) {
      const counts = world.countsOf(term.id, pod => termMeans(term, pod, world.namespaceLabels));
      for (const [domain, count] of sumByDomain(world, counts, term.topologyKey))
        if (count > 0) weigh(weights, term.topologyKey, domain, weight * count);
    }
    weighExisting(weights, candidate, world);
    if (weights.size === 0) return undefined;
    const raw = Float64Array.from(rows, row => sumOf(weights, world.table.nodes[row]!));
    const [least, most] = [Math.min(...raw), Math.max(...raw)];
    return least === most ? undefined : raw.map(value => Math.floor((100 * (value - least)) / (most - least)));
  },
};

function weighExisting(weights: Map<string, Map<string, number>>, { pod }: Candidate, { withTerms, table, namespaceLabels }: World): void {
  for (const { terms, node } of withTerms) {
    const labels = table.nodes[table.rowOf(node) ?? -1]?.metadata.labels;
    if (!terms || !labels) continue;
    const hard = terms.required.map(term => ({ weight: HARD_WEIGHT, term }));
    for (const { weight, term } of [...terms.preferred, ...hard]) {
      const domain = labels[term.topologyKey];
      if (domain !== undefined && termMeans(term, pod, namespaceLabels)) weigh(weights, term.topologyKey, domain, weight);
    }
  }
}

function sumOf(weights: Map<string, Map<string, number>>, { metadata }: Node): number {
  let sum = 0;
  for (const [key, byDomain] of weights) sum += byDomain.get(metadata.labels?.[key] ?? '') ?? 0;
  return sum;
}

function weigh(weights: Map<string, Map<string, number>>, key: string, domain: string, weight: number): void {
  const byDomain = weights.get(key) ?? new Map<string, number>();
  weights.set(key, byDomain);
  add(byDomain, domain, weight);
}

function add(counts: Map<string, number>, key: string, amount: number): void {
  counts.set(key, (counts.get(key) ?? 0) + amount);
}

function isEmpty(counts: Map<string, number>): boolean {
  for (const count of counts.values()) if (count > 0) return false;
  return true;
}
