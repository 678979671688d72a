import type { Node } from '#kinds/node.ts';
import type { TopologySelectorTerm } from '#kinds/types.gen.ts';

/** True when a StorageClass' `allowedTopologies` let volumes be made for the node; without terms they do. */
export function reaches(terms: readonly TopologySelectorTerm[] | undefined, { metadata: { labels = {} } }: Node): boolean {
  if (!terms?.length) return true;
  return terms.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => labels[key] !== undefined && values.includes(labels[key])),
  );
}
