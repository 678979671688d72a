/** Completion indexes in their compressed form: `1,3-5,7` is [[1,1],[3,5],[7,7]]; ascending and never touching. */
export type Indexes = readonly (readonly [first: number, last: number])[];

/** The indexes in `text` below `completions`; what can't be read is left out. */
export function parseIndexes(text: string | undefined, completions: number): Indexes {
  if (!text) return [];
  const intervals = text.split(',').flatMap(part => {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
    if (!match) return [];
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? match[1]), completions - 1);
    return first <= last ? [[first, last] as const] : [];
  });
  return joined(intervals);
}

/** `1,3-5,7`; two neighbours are written apart, as upstream writes them. */
export function formatIndexes(indexes: Indexes): string {
  return indexes
    .map(([first, last]) => (first === last ? String(first) : last === first + 1 ? `${first},${last}` : `${first}-${last}`))
    .join(',');
}

/** How many there are. */
export function countIndexes(indexes: Indexes): number {
  return indexes.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** Whether `index` is one of them. */
export function hasIndex(indexes: Indexes, index: number): boolean {
  let low = 0;
  let high = indexes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last] = indexes[middle] ?? [0, -1];
    if (index < first) high = middle - 1;
    else if (index > last) low = middle + 1;
    else return true;
  }
  return false;
}

/** These and more. */
export function addIndexes(indexes: Indexes, more: Iterable<number>): Indexes {
  return joined([...indexes, ...[...more].map(index => [index, index] as const)]);
}

/** How many indexes are in both. */
export function countCommon(a: Indexes, b: Indexes): number {
  let common = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [firstA, lastA] = a[i] ?? [0, -1];
    const [firstB, lastB] = b[j] ?? [0, -1];
    common += Math.max(0, Math.min(lastA, lastB) - Math.max(firstA, firstB) + 1);
    if (lastA <= lastB) i++;
    if (lastB <= lastA) j++;
  }
  return common;
}

/** The first `count` indexes below `completions` that are in none of these. */
export function freeIndexes(count: number, completions: number, taken: Indexes): number[] {
  const free: number[] = [];
  let next = 0;
  for (const [first, last] of [...taken, [completions, completions] as const]) {
    for (; next < Math.min(first, completions) && free.length < count; next++) free.push(next);
    next = Math.max(next, last + 1);
  }
  return free;
}

function joined(intervals: readonly (readonly [number, number])[]): Indexes {
  const sorted = [...intervals].sort(([a], [b]) => a - b);
  const result: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = result.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}
