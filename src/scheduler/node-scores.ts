import { preferredNodeWeight } from '#kinds/node-affinity.ts';
import { findUntolerated } from '#kinds/tolerations.ts';
import { normalized, type Score } from './plugin.ts';

/** Prefers the nodes that the pod prefers. */
export const nodeAffinityScore: Score = {
  name: 'NodeAffinity',
  weight: 2,
  score: ({ pod: { spec } }, { table }, rows) =>
    spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.length
      ? normalized(Float64Array.from(rows, row => preferredNodeWeight(spec, table.nodes[row]!)))
      : undefined,
};

const SOFT = ['PreferNoSchedule'];

/** Avoids nodes with `PreferNoSchedule` taints that the pod does not tolerate. */
export const taintTolerationScore: Score = {
  name: 'TaintToleration',
  weight: 3,
  score({ pod: { spec } }, { table }, rows) {
    let counts: Float64Array | undefined;
    for (let index = 0; index < rows.length; index++) {
      const taints = table.nodes[rows[index]!]?.spec.taints;
      if (!taints) continue;
      const disliked = taints.filter(taint => findUntolerated([taint], spec.tolerations, SOFT)).length;
      if (disliked === 0) continue;
      counts ??= new Float64Array(rows.length);
      counts[index] = disliked;
    }
    return counts && normalized(counts, true);
  },
};

const LEAST_BYTES = 23 * 2 ** 20;
const MOST_BYTES_A_CONTAINER = 1000 * 2 ** 20;

/** Prefers nodes where the pod's images lie, the larger the better; an image that few nodes have counts for little, lest all pods crowd there. */
export const imageLocality: Score = {
  name: 'ImageLocality',
  weight: 1,
  score({ pod: { spec } }, { table }, rows) {
    if (table.imageNodes.size === 0) return undefined;
    const containers = [...(spec.initContainers ?? []), ...spec.containers];
    const images = containers.flatMap(({ image }) => (image && table.imageNodes.has(withTag(image)) ? [withTag(image)] : []));
    if (images.length === 0) return undefined;
    const most = MOST_BYTES_A_CONTAINER * containers.length;
    return Float64Array.from(rows, row => {
      let bytes = 0;
      for (const image of images) bytes += ((table.images[row]?.get(image) ?? 0) * table.imageNodes.get(image)!) / table.size;
      return Math.floor((100 * (Math.min(Math.max(bytes, LEAST_BYTES), most) - LEAST_BYTES)) / (most - LEAST_BYTES));
    });
  },
};

function withTag(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image;
}
