import { CelError } from '../errors.ts';
import { add, chargeDeep, compareValues, isEqual } from '../operators.ts';
import { define, type Overload, type OverloadSizes, same, walk, walkProduct } from '../overload.ts';
import { Duration } from '../time.ts';
import { CelList, type CelValue, Uint, ValueList } from '../values.ts';

const ORDERED = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'];
const WALKED: OverloadSizes = { cost: walk };
const COPIED: OverloadSizes = { cost: walk, resultSize: same };
const ZERO: Readonly<Record<string, CelValue>> = { int: 0n, uint: new Uint(0n), double: 0, duration: new Duration(0n) };

function order(a: CelValue, b: CelValue): number {
  const compared = compareValues(a, b);
  if (compared === undefined) throw new CelError('no such overload');
  return compared;
}

function isSorted(list: CelList): boolean {
  for (let at = 1; at < list.length; at++) if (order(list.at(at - 1), list.at(at)) > 0) return false;
  return true;
}

function extreme(list: CelList, sign: 1 | -1, name: string): CelValue {
  if (list.length === 0) throw new CelError(`${name} called on empty list`);
  let best = list.at(0);
  for (const item of list) if (order(item, best) * sign > 0) best = item;
  return best;
}

function sum(list: CelList, zero: CelValue): CelValue {
  let total = zero;
  for (const item of list) {
    const next = add(total, item);
    if (next === undefined) throw new CelError('no such overload');
    total = next;
  }
  return total;
}

function indexOf(list: CelList, wanted: CelValue): bigint {
  for (let at = 0; at < list.length; at++) if (isEqual(list.at(at), wanted)) return BigInt(at);
  return -1n;
}

function lastIndexOf(list: CelList, wanted: CelValue): bigint {
  for (let at = list.length - 1; at >= 0; at--) if (isEqual(list.at(at), wanted)) return BigInt(at);
  return -1n;
}

function flatten(list: CelList, depth: bigint): ValueList {
  if (depth < 0n) throw new CelError('level must be non-negative');
  const items: CelValue[] = [];
  for (const item of list) {
    if (item instanceof CelList && depth > 0n) items.push(...(depth > 1n ? flatten(item, depth - 1n) : item));
    else items.push(item);
  }
  return new ValueList(items);
}

function slice(list: CelList, from: bigint, to: bigint): ValueList {
  if (from < 0n || to < from || to > BigInt(list.length)) throw new CelError(`cannot slice(${from}, ${to}), list is length ${list.length}`);
  return new ValueList([...list].slice(Number(from), Number(to)));
}

function distinct(list: CelList): ValueList {
  const kept: CelValue[] = [];
  for (const item of list) {
    chargeDeep(list, item);
    if (!kept.some(other => isEqual(other, item))) kept.push(item);
  }
  return new ValueList(kept);
}

function range(size: bigint): ValueList {
  if (size > 100_000n) throw new CelError('lists.range size too large');
  return new ValueList(Array.from({ length: Math.max(0, Number(size)) }, (_, at) => BigInt(at)));
}

/** Kubernetes' list functions and the lists extension. */
export const lists: readonly Overload[] = [
  ...ORDERED.flatMap(type => [
    define(`list<${type}>.isSorted(): bool`, isSorted, WALKED),
    define(`list<${type}>.min(): ${type}`, (list: CelList) => extreme(list, -1, 'min'), WALKED),
    define(`list<${type}>.max(): ${type}`, (list: CelList) => extreme(list, 1, 'max'), WALKED),
    define(`list<${type}>.sort(): list<${type}>`, (list: CelList) => new ValueList([...list].sort(order)), COPIED),
  ]),
  ...Object.entries(ZERO).map(([type, zero]) => define(`list<${type}>.sum(): ${type}`, (list: CelList) => sum(list, zero), WALKED)),
  define('list<A>.indexOf(A): int', indexOf, WALKED),
  define('list<A>.lastIndexOf(A): int', lastIndexOf, WALKED),
  define('list<dyn>.flatten(): list<dyn>', (list: CelList) => flatten(list, 1n), COPIED),
  define('list<dyn>.flatten(int): list<dyn>', flatten, COPIED),
  define('list<A>.slice(int, int): list<A>', slice, COPIED),
  define('list<A>.distinct(): list<A>', distinct, { cost: size => walkProduct(size, size), resultSize: same }),
  define('list<A>.reverse(): list<A>', (list: CelList) => new ValueList([...list].reverse()), COPIED),
  define('lists.range(int): list<int>', range, { cost: () => 100, resultSize: () => 100_000 }),
];
