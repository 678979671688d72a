import type { Node } from '#kinds/node.ts';
import type { World } from './world.ts';

/** Adds up counts by row to counts by the value of a node label. Nodes without the label, or that `takes` leaves out, have no part in it. */
export function sumByDomain(
  { table }: World,
  counts: readonly (number | undefined)[],
  topologyKey: string,
  takes: (node: Node) => boolean = () => true,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (let row = 0; row < table.length; row++) {
    const node = table.nodes[row];
    const domain = node?.metadata.labels?.[topologyKey];
    if (node && domain !== undefined && takes(node)) sums.set(domain, (sums.get(domain) ?? 0) + (counts[row] ?? 0));
  }
  return sums;
}
