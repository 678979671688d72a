import type { CacheRecord } from './cache.ts';

export interface PruneOptions {
  /** Also what images were made of, and so what the next build of these would use. */
  all?: boolean;
  /** Go on until no more than this is left. */
  maxBytes?: number;
  /** Only what was not used for so long. */
  unusedForMs?: number;
  /** Only these. */
  ids?: readonly string[];
}

interface Candidate {
  record: CacheRecord;
  usedAtMs: number;
  isHeld: boolean;
}

/** Records without files cost next to nothing; so many may stay. */
const MOST_RECORDS = 20_000;

/** What goes, children before what they are built on: what was used longest ago first, and nothing that a build works with. Pure. */
export function planPrune(
  candidates: readonly Candidate[],
  { all = false, maxBytes, unusedForMs, ids, nowMs }: PruneOptions & { nowMs: number },
): CacheRecord[] {
  const children = new Map<string, number>();
  for (const { record } of candidates) children.set(record.base, (children.get(record.base) ?? 0) + 1);
  const byId = new Map(candidates.map(candidate => [candidate.record.id, candidate]));
  let left = candidates.reduce((sum, { record }) => sum + (record.sizeBytes ?? 0), 0);
  let count = candidates.length;
  const going: CacheRecord[] = [];
  const gone = new Set<string>();
  const isEnough = () => maxBytes !== undefined && left <= maxBytes && count <= MOST_RECORDS;
  if (isEnough()) return [];
  const take = (candidate: Candidate | undefined): void => {
    for (let at = candidate; at; at = byId.get(at.record.base)) {
      const { record, usedAtMs, isHeld } = at;
      if (gone.has(record.id) || isEnough() || isHeld || (children.get(record.id) ?? 0) > 0) return;
      if (!all && record.isExported) return;
      if (unusedForMs !== undefined && nowMs - usedAtMs < unusedForMs) return;
      if (ids !== undefined && !ids.includes(record.id)) return;
      gone.add(record.id);
      going.push(record);
      left -= record.sizeBytes ?? 0;
      count -= 1;
      children.set(record.base, (children.get(record.base) ?? 1) - 1);
      // Its base is looked at in its own turn, unless that has passed.
      if ((byId.get(record.base)?.usedAtMs ?? Number.POSITIVE_INFINITY) > usedAtMs) return;
    }
  };
  for (let before = -1; before !== going.length; ) {
    before = going.length;
    for (const candidate of candidates.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) take(candidate);
  }
  return going;
}
