import type { Node } from '#kinds/node.ts';
import { nodeMatchesPod, preferredNodeWeight } from '#kinds/node-affinity.ts';
import type { Pod } from '#kinds/pod.ts';
import { findUntolerated, tolerates } from '#kinds/tolerations.ts';
import type { NodeTable, Request } from './node-table.ts';

/** A pod on its way to a node, with what the filters need of it worked out once. */
export interface Candidate {
  pod: Pod;
  request: Request;
}

/** Says why the node in `row` can't take the pod, or nothing if it can. Filters run in order; the first that objects is heard. */
export interface Filter {
  name: string;
  reject(candidate: Candidate, table: NodeTable, row: number, node: Node): string | readonly string[] | undefined;
}

/** Prefers nodes: 0 to 100, times its weight. */
export interface Score {
  name: string;
  weight: number;
  score(candidate: Candidate, table: NodeTable, row: number, node: Node): number;
}

/** The seam where further plugins (affinity between pods, spreading, volumes, …) go: into these two lists. */
export interface Plugins {
  filters: readonly Filter[];
  scores: readonly Score[];
}

const UNSCHEDULABLE = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const filters: readonly Filter[] = [
  {
    name: 'NodeUnschedulable',
    reject: ({ pod }, _table, _row, node) =>
      node.spec.unschedulable && !(pod.spec.tolerations ?? []).some(toleration => tolerates(toleration, UNSCHEDULABLE))
        ? 'node(s) were unschedulable'
        : undefined,
  },
  {
    name: 'NodeName',
    reject: ({ pod }, _table, _row, node) =>
      pod.spec.nodeName && pod.spec.nodeName !== node.metadata.name ? "node(s) didn't match the requested node name" : undefined,
  },
  {
    name: 'TaintToleration',
    reject: ({ pod }, _table, _row, node) => {
      const taint = findUntolerated(node.spec.taints ?? [], pod.spec.tolerations ?? [], ['NoSchedule', 'NoExecute']);
      return taint ? `node(s) had untolerated taint(s) {${taint.key}: ${taint.value ?? ''}}` : undefined;
    },
  },
  {
    name: 'NodeAffinity',
    reject: ({ pod }, _table, _row, node) =>
      nodeMatchesPod(pod.spec, node) ? undefined : "node(s) didn't match Pod's node affinity/selector",
  },
  {
    name: 'NodePorts',
    reject: ({ request }, table, row) =>
      request.hostPorts.some(port => takes(table.hostPorts[row]!, port))
        ? "node(s) didn't have free ports for the requested pod ports"
        : undefined,
  },
  {
    name: 'NodeResourcesFit',
    reject: ({ request }, table, row) => {
      const short: string[] = [];
      const lacks = (asked: number, used: number, capacity: number) => asked > 0 && used + asked > capacity;
      if (lacks(1, table.podsUsed[row]!, table.podCapacity[row]!)) short.push('Too many pods');
      if (lacks(request.cpuMilli, table.cpuUsed[row]!, table.cpuCapacity[row]!)) short.push('Insufficient cpu');
      if (lacks(request.memoryBytes, table.memoryUsed[row]!, table.memoryCapacity[row]!)) short.push('Insufficient memory');
      if (lacks(request.ephemeralBytes, table.ephemeralUsed[row]!, table.ephemeralCapacity[row]!))
        short.push('Insufficient ephemeral-storage');
      for (const [name, amount] of request.extended)
        if (amount > 0 && table.extendedFree(row, name) < amount) short.push(`Insufficient ${name}`);
      return short.length > 0 ? short : undefined;
    },
  },
];

export const scores: readonly Score[] = [
  {
    name: 'NodeResourcesFit',
    weight: 1,
    score: ({ request }, table, row) => {
      const free = (used: number, asked: number, capacity: number) =>
        capacity > 0 ? Math.max(0, (capacity - used - asked) / capacity) : 0;
      const cpu = free(table.cpuUsed[row]!, Math.max(request.cpuMilli, 100), table.cpuCapacity[row]!);
      const memory = free(table.memoryUsed[row]!, Math.max(request.memoryBytes, 200 * 2 ** 20), table.memoryCapacity[row]!);
      return 50 * (cpu + memory);
    },
  },
  {
    name: 'NodeResourcesBalancedAllocation',
    weight: 1,
    score: ({ request }, table, row) => {
      const used = (was: number, asked: number, capacity: number) => (capacity > 0 ? Math.min(1, (was + asked) / capacity) : 1);
      const cpu = used(table.cpuUsed[row]!, Math.max(request.cpuMilli, 100), table.cpuCapacity[row]!);
      const memory = used(table.memoryUsed[row]!, Math.max(request.memoryBytes, 200 * 2 ** 20), table.memoryCapacity[row]!);
      return 100 * (1 - Math.abs(cpu - memory));
    },
  },
  {
    name: 'NodeAffinity',
    weight: 2,
    score: ({ pod }, _table, _row, node) => {
      const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
      const total = terms.reduce((sum, { weight }) => sum + weight, 0);
      return total > 0 ? (100 * preferredNodeWeight(pod.spec, node)) / total : 0;
    },
  },
  {
    name: 'TaintToleration',
    weight: 3,
    score: ({ pod }, _table, _row, node) => {
      const disliked = (node.spec.taints ?? []).filter(taint => findUntolerated([taint], pod.spec.tolerations ?? [], ['PreferNoSchedule']));
      return 100 / (1 + disliked.length);
    },
  },
  {
    name: 'ImageLocality',
    weight: 1,
    score: ({ pod }, table, row) => {
      const present = pod.spec.containers.filter(({ image }) => image && table.images[row]?.has(image));
      return (100 * present.length) / Math.max(1, pod.spec.containers.length);
    },
  },
];

/** A port of one address collides with the same port of that address or of all. */
function takes(used: ReadonlyMap<string, number>, port: string): boolean {
  const [address, ...rest] = port.split('/');
  const suffix = `/${rest.join('/')}`;
  if (used.has(port) || used.has(`0.0.0.0${suffix}`)) return true;
  if (address !== '0.0.0.0') return false;
  for (const each of used.keys()) if (each.endsWith(suffix)) return true;
  return false;
}
