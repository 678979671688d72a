import type { NodeTable } from './node-table.ts';
import type { Candidate, Plugins } from './plugins.ts';

/** Feasible nodes that are compared, at most: more would make the choice hardly better and much slower. */
const ENOUGH = 100;

export type Placement =
  | { row: number; node: string }
  /** How many nodes each reason keeps out. */
  | { row?: undefined; reasons: ReadonlyMap<string, number> };

/** Where the next search begins, so that all nodes get their turn. */
export interface Cursor {
  next: number;
}

/** Chooses the best of the first feasible nodes, or counts what keeps each node out. */
export function place(candidate: Candidate, table: NodeTable, { filters, scores }: Plugins, cursor: Cursor): Placement {
  const reasons = new Map<string, number>();
  const { length } = table;
  let best = -1;
  let bestScore = Number.NEGATIVE_INFINITY;
  let found = 0;
  let row = length > 0 ? cursor.next % length : 0;
  for (let seen = 0; seen < length && found < ENOUGH; seen++, row = row + 1 === length ? 0 : row + 1) {
    const node = table.nodes[row];
    if (!node) continue;
    let reason: string | readonly string[] | undefined;
    for (const filter of filters) {
      reason = filter.reject(candidate, table, row, node);
      if (reason !== undefined) break;
    }
    if (reason !== undefined) {
      for (const each of typeof reason === 'string' ? [reason] : reason) reasons.set(each, (reasons.get(each) ?? 0) + 1);
      continue;
    }
    found += 1;
    let score = 0;
    for (const each of scores) score += each.weight * each.score(candidate, table, row, node);
    if (score > bestScore) {
      bestScore = score;
      best = row;
    }
  }
  cursor.next = row;
  return best < 0 ? { reasons } : { row: best, node: table.nodes[best]?.metadata.name ?? '' };
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` */
export function explain(reasons: ReadonlyMap<string, number>, nodes: number): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const counted = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${counted.join(', ')}.`;
}
