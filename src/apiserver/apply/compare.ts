import { isObject } from '#base/json-object.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { type FieldSet, isEmpty } from './field-set.ts';
import { fieldElement, keyElement, valueElement } from './path-element.ts';
import { FREE, type List, type Shape, type Struct } from './shape.ts';

/** Which paths a change touched. */
export interface Difference {
  /** Added or given another value. */
  changed: FieldSet;
  removed: FieldSet;
}

type Json = Record<string, unknown>;
/** Undefined where nothing differs. */
type Found = { changed: FieldSet | undefined; removed: FieldSet | undefined } | undefined;

const NONE: FieldSet = Object.freeze({}) as FieldSet;
const NO_OBJECT: Json = Object.freeze({});
const NO_LIST: unknown[] = Object.freeze([]) as never;

/** What is different in `after`. Either object may be empty. */
export function compare(shape: Shape, before: object, after: object): Difference {
  const found = compareValues(shape, before, after);
  return { changed: found?.changed ?? NONE, removed: found?.removed ?? NONE };
}

function compareValues(shape: Shape, before: unknown, after: unknown): Found {
  if (before === after) return undefined;
  if (before === undefined) return { changed: wholeOf(shape, after), removed: undefined };
  if (after === undefined) return { changed: undefined, removed: wholeOf(shape, before) };
  switch (shape.is) {
    case 'struct':
      return isObject(before) && isObject(after) ? compareStructs(shape, before, after) : compareOdd(shape, before, after);
    case 'map':
      return isObject(before) && isObject(after) ? compareMaps(shape.values, before, after) : compareOdd(shape, before, after);
    case 'free':
      return compareFree(before, after);
    case 'list':
    case 'set': {
      const left = itemsOf(shape, before);
      const right = itemsOf(shape, after);
      if (!left || !right) return compareOdd(shape, before, after);
      return compareItems(shape.is === 'list' ? shape.items : FREE, left, right);
    }
    case 'leaf':
      return compareLeaves(before, after);
  }
}

function compareLeaves(before: unknown, after: unknown): Found {
  return jsonEqual(before, after) ? undefined : { changed: {}, removed: undefined };
}

function compareStructs(shape: Struct, before: Json, after: Json): Found {
  let found: Found;
  for (const name in before) {
    const now = Object.hasOwn(after, name) ? after[name] : undefined;
    const then = before[name];
    if (now === then) continue;
    const member = shape.field(name);
    if (member === null) continue;
    found = add(found, member?.element ?? fieldElement(name), compareValues(member?.shape ?? FREE, then, now));
  }
  for (const name in after) {
    if (Object.hasOwn(before, name)) continue;
    const member = shape.field(name);
    if (member === null) continue;
    const now = after[name];
    const instead = member?.isAlwaysThere ? emptyLike(now) : undefined;
    found = add(found, member?.element ?? fieldElement(name), compareValues(member?.shape ?? FREE, instead, now));
  }
  return found;
}

/** What stands in upstream's objects where a field that is always there has no value. */
function emptyLike(value: unknown): unknown {
  return Array.isArray(value) ? NO_LIST : isObject(value) ? NO_OBJECT : undefined;
}

function compareMaps(values: Shape, before: Json, after: Json): Found {
  let found: Found;
  for (const key in before) {
    const now = Object.hasOwn(after, key) ? after[key] : undefined;
    if (now !== before[key]) found = add(found, fieldElement(key), compareValues(values, before[key], now));
  }
  for (const key in after)
    if (!Object.hasOwn(before, key)) found = add(found, fieldElement(key), compareValues(values, undefined, after[key]));
  return found;
}

function compareFree(before: unknown, after: unknown): Found {
  return isObject(before) && isObject(after) ? compareMaps(FREE, before, after) : compareOdd(FREE, before, after);
}

/** Values of two kinds, or lists whose items can't be told apart: a change of the whole, with which goes or comes what is below. */
function compareOdd(shape: Shape, before: unknown, after: unknown): Found {
  if (jsonEqual(before, after)) return undefined;
  const { '.': _self, ...removed } = wholeOf(shape, before);
  return { changed: wholeOf(shape, after), removed: isEmpty(removed) ? undefined : removed };
}

function compareItems(items: Shape, before: Map<string, unknown>, after: Map<string, unknown>): Found {
  let found: Found;
  for (const [element, item] of before) found = add(found, element, compareValues(items, item, after.get(element)));
  for (const [element, item] of after) if (!before.has(element)) found = add(found, element, compareValues(items, undefined, item));
  return found;
}

function add(found: Found, element: string, below: Found): Found {
  if (below === undefined) return found;
  const both = found ?? { changed: undefined, removed: undefined };
  if (below.changed) {
    both.changed ??= {};
    both.changed[element] = below.changed;
  }
  if (below.removed) {
    both.removed ??= {};
    both.removed[element] = below.removed;
  }
  return both;
}

/** The node of a value that is new as a whole: it and everything in it. */
export function wholeOf(shape: Shape, value: unknown): FieldSet {
  const node: FieldSet = {};
  if (typeof value !== 'object' || value === null || shape.is === 'leaf') return node;
  let isFirst = true;
  const put = (element: string, below: FieldSet) => {
    if (isFirst) node['.'] = {};
    isFirst = false;
    node[element] = below;
  };
  if (shape.is === 'list' || shape.is === 'set') {
    const items = itemsOf(shape, value);
    if (items) for (const [element, item] of items) put(element, shape.is === 'list' ? wholeOf(shape.items, item) : {});
  } else if (!Array.isArray(value)) {
    for (const name in value) {
      const below = (value as Json)[name];
      if (shape.is === 'struct') {
        const member = shape.field(name);
        if (member !== null) put(member?.element ?? fieldElement(name), wholeOf(member?.shape ?? FREE, below));
      } else put(fieldElement(name), wholeOf(shape.is === 'map' ? shape.values : FREE, below));
    }
  }
  return node;
}

/** A list's items by their elements; undefined when it is none, or when two of them can't be told apart: then it counts as one piece. */
export function itemsOf(shape: List | { is: 'set' }, list: unknown): Map<string, unknown> | undefined {
  if (!Array.isArray(list)) return undefined;
  const items = new Map<string, unknown>();
  for (const item of list) {
    const element = shape.is === 'list' ? keyElement(item, shape.keys) : valueElement(item);
    if (element === undefined || items.has(element)) return undefined;
    items.set(element, item);
  }
  return items;
}
