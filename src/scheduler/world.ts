import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { type AffinityTerms, affinityTermsOf, type NamespaceLabels } from '#kinds/pod-affinity.ts';
import { NodeTable, type Request } from './node-table.ts';
import { PodGroups } from './pod-groups.ts';
import { requestOf } from './request.ts';

/** A pod on its way to a node, with what the plugins need of it worked out once. */
export interface Candidate {
  key: string;
  pod: Pod;
  request: Request;
  priority: number;
  terms: AffinityTerms | undefined;
}

/** A pod that counts on a node. */
export interface Placed extends Candidate {
  node: string;
}

export function candidateOf(key: string, pod: Pod): Candidate {
  return { key, pod, request: requestOf(pod), priority: pod.spec.priority ?? 0, terms: affinityTermsOf(pod) };
}

export interface WorldOptions {
  namespaceLabels?: NamespaceLabels;
}

/** All that placing looks at: nodes, the pods on them, and pods for which room is being made. */
export class World {
  readonly table = new NodeTable();
  readonly pods = new Map<string, Placed>();
  readonly groups = new PodGroups();
  /** Placed pods that say something of pods beside them. */
  readonly withTerms = new Set<Placed>();
  readonly namespaceLabels: NamespaceLabels;
  /** How many placed pods have a priority: there are few different ones. */
  readonly #priorities = new Map<number, number>();
  readonly #byRow: (Map<string, Placed> | undefined)[] = [];
  readonly #nominated = new Map<string, Map<string, Candidate>>();
  readonly #nominatedNode = new Map<string, string>();

  constructor({ namespaceLabels = () => undefined }: WorldOptions = {}) {
    this.namespaceLabels = namespaceLabels;
  }

  /** The pods of each row. */
  get podsByRow(): readonly (ReadonlyMap<string, Placed> | undefined)[] {
    return this.#byRow;
  }

  /** Takes in a node's state; true when it is new. */
  putNode(node: Node): boolean {
    const { name } = node.metadata;
    const isNew = this.table.rowOf(name) === undefined;
    const row = this.table.put(node);
    if (!isNew) return false;
    this.#byRow[row] = new Map();
    for (const placed of this.pods.values()) if (placed.node === name) this.#count(row, placed, 1);
    return true;
  }

  removeNode(name: string): void {
    const row = this.table.rowOf(name);
    if (row === undefined) return;
    this.table.remove(name);
    this.groups.clearRow(row);
    this.#byRow[row] = undefined;
  }

  /** Counts a pod on a node, whether the node is known yet or not. */
  place(candidate: Candidate, node: string): Placed {
    const placed = { ...candidate, node };
    this.pods.set(placed.key, placed);
    this.#priorities.set(placed.priority, (this.#priorities.get(placed.priority) ?? 0) + 1);
    if (placed.terms) this.withTerms.add(placed);
    const row = this.table.rowOf(node);
    if (row !== undefined) this.#count(row, placed, 1);
    this.nominate(placed.key, undefined);
    return placed;
  }

  unplace(placed: Placed): void {
    if (this.pods.get(placed.key) !== placed) return;
    this.pods.delete(placed.key);
    this.withTerms.delete(placed);
    const others = this.#priorities.get(placed.priority)! - 1;
    if (others === 0) this.#priorities.delete(placed.priority);
    else this.#priorities.set(placed.priority, others);
    const row = this.table.rowOf(placed.node);
    if (row !== undefined) this.#count(row, placed, -1);
  }

  /** True when some placed pod matters less. */
  hasBelow(priority: number): boolean {
    for (const other of this.#priorities.keys()) if (other < priority) return true;
    return false;
  }

  /** A placed pod's labels, conditions or deletion changed, but not what it takes of the node. */
  refresh(placed: Placed, pod: Pod, touchesGroups: boolean): void {
    const row = touchesGroups ? this.table.rowOf(placed.node) : undefined;
    if (row !== undefined) this.groups.count(row, placed.pod, -1);
    placed.pod = pod;
    if (row !== undefined) this.groups.count(row, pod, 1);
  }

  /** How many pods that `matches` takes stand in each row. */
  countsOf(id: string, matches: (pod: Pod) => boolean): readonly (number | undefined)[] {
    return this.groups.countsOf(id, matches, this.#byRow);
  }

  /** Room is being made for the pod on `node`; without a node no longer. */
  nominate(candidate: Candidate | string, node: string | undefined): void {
    const key = typeof candidate === 'string' ? candidate : candidate.key;
    const before = this.#nominatedNode.get(key);
    if (before !== undefined) {
      const there = this.#nominated.get(before);
      there?.delete(key);
      if (there?.size === 0) this.#nominated.delete(before);
      this.#nominatedNode.delete(key);
    }
    if (!node || typeof candidate === 'string') return;
    this.#nominatedNode.set(key, node);
    const there = this.#nominated.get(node) ?? new Map<string, Candidate>();
    this.#nominated.set(node, there.set(key, candidate));
  }

  nominatedNodeOf(key: string): string | undefined {
    return this.#nominatedNode.get(key);
  }

  /** Pods for which room is being made on the node. */
  nominatedTo(node: string): Iterable<Candidate> {
    return this.#nominated.get(node)?.values() ?? [];
  }

  get hasNominated(): boolean {
    return this.#nominated.size > 0;
  }

  #count(row: number, placed: Placed, sign: 1 | -1): void {
    this.table.use(row, placed.request, sign);
    if (sign === 1) this.#byRow[row]?.set(placed.key, placed);
    else this.#byRow[row]?.delete(placed.key);
    this.groups.count(row, placed.pod, sign);
  }
}
