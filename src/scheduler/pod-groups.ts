import type { Pod } from '#kinds/pod.ts';
import type { Placed } from './world.ts';

/** Groups that are kept counted, at most: the least recently asked for goes first. */
const MOST_GROUPS = 64;

interface Group {
  matches: (pod: Pod) => boolean;
  /** Pods of the group by row; holes are zero. */
  counts: number[];
}

/**
 * How many pods of some kind ("those with this label in that namespace") stand on each node. Counted once when first asked for, and
 * from then on kept as pods come and go, so that scheduling a thousandth replica does not look at the other 999.
 */
export class PodGroups {
  readonly #groups = new Map<string, Group>();

  /** Counts by row of the pods that `matches` takes; `id` is the same for the same question. Don't change what it gives. */
  countsOf(
    id: string,
    matches: (pod: Pod) => boolean,
    present: readonly (ReadonlyMap<string, Placed> | undefined)[],
  ): readonly (number | undefined)[] {
    let group = this.#groups.get(id);
    if (group) this.#groups.delete(id);
    else {
      group = { matches, counts: [] };
      for (let row = 0; row < present.length; row++)
        for (const { pod } of present[row]?.values() ?? []) if (matches(pod)) group.counts[row] = (group.counts[row] ?? 0) + 1;
    }
    this.#groups.set(id, group);
    if (this.#groups.size > MOST_GROUPS) for (const oldest of this.#groups.keys()) if (this.#groups.delete(oldest)) break;
    return group.counts;
  }

  /** A pod came to a row (1) or left it (-1). */
  count(row: number, pod: Pod, sign: 1 | -1): void {
    for (const { matches, counts } of this.#groups.values()) if (matches(pod)) counts[row] = (counts[row] ?? 0) + sign;
  }

  clearRow(row: number): void {
    for (const { counts } of this.#groups.values()) counts[row] = 0;
  }

  /** Forgets all, after what the questions rest on changed. */
  clear(): void {
    this.#groups.clear();
  }
}
