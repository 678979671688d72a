import type { Node } from '#kinds/node.ts';
import type { PersistentVolume, TopologySelectorTerm } from '#kinds/types.gen.ts';

/** Labels by which a volume says where it is, besides its node affinity. */
const PLACES = ['zone', 'region'].flatMap(place => [`topology.kubernetes.io/${place}`, `failure-domain.beta.kubernetes.io/${place}`]);

/** True when a StorageClass' `allowedTopologies` let volumes be made for the node; without terms they do. */
export function reaches(terms: readonly TopologySelectorTerm[] | undefined, { metadata: { labels = {} } }: Node): boolean {
  if (!terms?.length) return true;
  return terms.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => labels[key] !== undefined && values.includes(labels[key])),
  );
}

/** True when the node is in the zone and region that a volume's labels name (`a__b`: either); a node without such labels is in all. */
export function isInPlaceOf({ metadata: { labels = {} } }: Node, volume: PersistentVolume): boolean {
  const own = volume.metadata.labels;
  if (!own) return true;
  const isPlaced = PLACES.some(key => labels[key] !== undefined);
  return !isPlaced || PLACES.every(key => own[key] === undefined || own[key].split('__').includes(labels[key] ?? ''));
}
