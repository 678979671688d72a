import type { Node } from '#kinds/node.ts';
import type { Check, Filter, Plugins, Rejection } from './plugin.ts';
import type { Candidate, World } from './world.ts';

/** Feasible nodes that are compared, at most: more would make the choice hardly better and much slower. */
const ENOUGH = 100;

export type Placement = { node: string; row: number } | Misfit;

/** Why a pod has no place. */
export interface Misfit {
  row?: undefined;
  /** What keeps all nodes out at once. */
  refusal?: string;
  /** What keeps each node out, by row. */
  rejections: ReadonlyMap<number, Rejection>;
  /** The filters that said so: what happens to help the pod is asked of them. */
  by: ReadonlySet<string>;
  /** Absent after a refusal. */
  checks?: Checks;
}

/** Where the next search begins, so that all nodes get their turn. */
export interface Cursor {
  next: number;
}

/** All filters' questions about one pod. */
export class Checks {
  readonly #world: World;
  readonly #candidate: Candidate;
  readonly #checks: Check[] = [];
  readonly #names: string[] = [];
  #shifting: Check[] | undefined;
  /** The filter that rejected last. */
  rejecter = '';
  readonly refusal: string | undefined;

  constructor(candidate: Candidate, world: World, filters: readonly Filter[]) {
    this.#world = world;
    this.#candidate = candidate;
    for (const filter of filters) {
      const check = filter.prepare(candidate, world);
      if (!check) continue;
      if ('refuses' in check) {
        this.refusal = check.refuses;
        this.rejecter = filter.name;
        return;
      }
      this.#checks.push(check);
      this.#names.push(filter.name);
    }
  }

  /** Why the node can't take the pod, also when pods that matter as much get the room that is being made for them there. */
  rejectAt(row: number, node: Node): Rejection | undefined {
    if (!this.#world.hasNominated) return this.#reject(row, node);
    const expected: Candidate[] = [];
    for (const other of this.#world.nominatedTo(node.metadata.name))
      if (other.priority >= this.#candidate.priority && other.key !== this.#candidate.key) expected.push(other);
    if (expected.length === 0) return this.#reject(row, node);
    for (const other of expected) this.shift(row, other, 1);
    const rejected = this.#reject(row, node);
    for (const other of expected) this.shift(row, other, -1);
    return rejected ?? this.#reject(row, node);
  }

  /** Tries what a pod's going from a row (-1) or coming (1) would change; whoever tries takes it back. */
  shift(row: number, pod: Candidate, sign: 1 | -1): void {
    this.#world.table.use(row, pod.request, sign);
    this.#shifting ??= this.#checks.filter(({ shift }) => shift !== undefined);
    for (const check of this.#shifting) check.shift?.(row, pod, sign);
  }

  #reject(row: number, node: Node): Rejection | undefined {
    for (let index = 0; index < this.#checks.length; index++) {
      const rejected = this.#checks[index]!.reject(row, node);
      if (rejected === undefined) continue;
      this.rejecter = this.#names[index]!;
      return rejected;
    }
    return undefined;
  }
}

const NONE: ReadonlyMap<number, Rejection> = new Map();

/** Chooses the best of the first feasible nodes, or tells what keeps each node out. */
export function place(candidate: Candidate, world: World, { filters, scores }: Plugins, cursor: Cursor): Placement {
  const checks = new Checks(candidate, world, filters);
  if (checks.refusal !== undefined) return { refusal: checks.refusal, rejections: NONE, by: new Set([checks.rejecter]) };
  const { table } = world;
  const nominated = nominatedRow(candidate, world, checks);
  if (nominated !== undefined) return { row: nominated, node: table.nodes[nominated]!.metadata.name };
  const { length } = table;
  const rows: number[] = [];
  let rejections: Map<number, Rejection> | undefined;
  let by: Set<string> | undefined;
  let row = length > 0 ? cursor.next % length : 0;
  for (let seen = 0; seen < length && rows.length < ENOUGH; seen++, row = row + 1 === length ? 0 : row + 1) {
    const node = table.nodes[row];
    if (!node) continue;
    const rejected = checks.rejectAt(row, node);
    if (rejected === undefined) rows.push(row);
    else if (rows.length === 0) {
      rejections ??= new Map();
      by ??= new Set();
      rejections.set(row, rejected);
      by.add(checks.rejecter);
    }
  }
  cursor.next = row;
  if (rows.length === 0) return { rejections: rejections ?? NONE, by: by ?? new Set(), checks };
  const best = rows.length === 1 ? rows[0]! : bestOf(rows, candidate, world, scores);
  return { row: best, node: table.nodes[best]!.metadata.name };
}

/** The node where room was made for the pod, when it fits there now. */
function nominatedRow({ key }: Candidate, world: World, checks: Checks): number | undefined {
  const name = world.hasNominated ? world.nominatedNodeOf(key) : undefined;
  const row = name === undefined ? undefined : world.table.rowOf(name);
  const node = row === undefined ? undefined : world.table.nodes[row];
  return row !== undefined && node && checks.rejectAt(row, node) === undefined ? row : undefined;
}

function bestOf(rows: readonly number[], candidate: Candidate, world: World, scores: Plugins['scores']): number {
  const totals = new Float64Array(rows.length);
  for (const { weight, score } of scores) {
    const scored = score(candidate, world, rows);
    if (scored) for (let index = 0; index < rows.length; index++) totals[index]! += weight * scored[index]!;
  }
  let best = 0;
  for (let index = 1; index < rows.length; index++) if (totals[index]! > totals[best]!) best = index;
  return rows[best]!;
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`, with what preemption found after it. */
export function explain({ refusal, rejections }: Pick<Misfit, 'refusal' | 'rejections'>, nodes: number, preemption = ''): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const why = refusal ?? countReasons([...rejections.values()].flatMap(({ reasons }) => reasons));
  return `0/${nodes} nodes are available: ${why}.${preemption && ` preemption: ${preemption}`}`;
}

/** `1 this, 2 that`, sorted as text. */
export function countReasons(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(', ');
}
