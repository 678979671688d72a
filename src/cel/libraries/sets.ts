import { chargeDeep, isEqual } from '../operators.ts';
import { define, type Overload, type OverloadSizes, walkProduct } from '../overload.ts';
import type { CelList, CelValue } from '../values.ts';

const PRODUCT: OverloadSizes = { cost: walkProduct };

function has(list: CelList, wanted: CelValue): boolean {
  chargeDeep(list, wanted);
  for (const item of list) if (isEqual(item, wanted)) return true;
  return false;
}

const containsAll = (list: CelList, other: CelList) => [...other].every(item => has(list, item));

/** The sets extension: lists taken as sets. */
export const sets: readonly Overload[] = [
  define('sets.contains(list<A>, list<A>): bool', containsAll, PRODUCT),
  define('sets.equivalent(list<A>, list<A>): bool', (a: CelList, b: CelList) => containsAll(a, b) && containsAll(b, a), PRODUCT),
  define('sets.intersects(list<A>, list<A>): bool', (a: CelList, b: CelList) => [...b].some(item => has(a, item)), PRODUCT),
];
