import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject as Json } from '#base/json-object.ts';
import { fieldOf, type MergeInfo, mergeInfo, typeOfField } from '#kinds/schema.ts';
import type { Random } from '../malformed/random.ts';

/** For tests: the merge patch (RFC 7386) that makes `to` of `from`, neither of which holds a null in an object. */
export function toMergePatch(from: unknown, to: unknown): unknown {
  if (!isObject(from) || !isObject(to)) return to;
  return fromPairs([
    ...Object.keys(from).flatMap((key): [string, unknown][] => (Object.hasOwn(to, key) ? [] : [[key, null]])),
    ...Object.entries(to).flatMap(([key, value]): [string, unknown][] => {
      if (!Object.hasOwn(from, key)) return [[key, value]];
      return isDeepStrictEqual(from[key], value) ? [] : [[key, toMergePatch(from[key], value)]];
    }),
  ]);
}

/** For tests: a JSON patch (RFC 6902) that makes `to` of `from`, by any of its operations. */
export function toJsonPatch(random: Random, from: unknown, to: unknown, path = ''): Json[] {
  if (isDeepStrictEqual(from, to)) return random.chance(0.1) ? [{ op: 'test', path, value: from }] : [];
  if (Array.isArray(from) && Array.isArray(to)) return ofArrays(random, from, to, path);
  if (!isObject(from) || !isObject(to)) return [{ op: 'replace', path, value: to }];
  const added = new Map<string, string>();
  const operations = Object.keys(to).flatMap(key => {
    const at = `${path}/${escaped(key)}`;
    if (Object.hasOwn(from, key)) return toJsonPatch(random, from[key], to[key], at);
    const twin = [...added].find(([other]) => isDeepStrictEqual(to[other], to[key]));
    added.set(key, at);
    return [twin ? { op: 'copy', from: twin[1], path: at } : { op: 'add', path: at, value: to[key] }];
  });
  // What goes may go to where it is wanted.
  for (const key of Object.keys(from).filter(one => !Object.hasOwn(to, one))) {
    const at = `${path}/${escaped(key)}`;
    const wanted = operations.findIndex(one => one.op === 'add' && isDeepStrictEqual(one.value, from[key]));
    if (wanted < 0) operations.push({ op: 'remove', path: at });
    else operations[wanted] = { op: 'move', from: at, path: operations[wanted]!.path };
  }
  return operations;
}

function ofArrays(random: Random, from: unknown[], to: unknown[], path: string): Json[] {
  const operations: Json[] = [];
  const list = [...from];
  for (const [i, value] of to.entries()) {
    const at = list.findIndex((item, place) => place >= i && isDeepStrictEqual(item, value));
    if (at === i) continue;
    if (at > i) {
      list.splice(i, 0, list.splice(at, 1)[0]);
      operations.push({ op: 'move', from: `${path}/${at}`, path: `${path}/${i}` });
    } else if (i < list.length && random.chance(0.5)) {
      operations.push(...toJsonPatch(random, list[i], value, `${path}/${i}`));
      list[i] = value;
    } else {
      operations.push({ op: 'add', path: `${path}/${i === list.length ? '-' : i}`, value });
      list.splice(i, 0, value);
    }
  }
  for (let i = list.length - 1; i >= to.length; i--) operations.push({ op: 'remove', path: `${path}/${i}` });
  return operations;
}

/**
 * For tests: the strategic merge patch that kubectl sends. Of three objects it removes what `modified` no longer has of `original`, and
 * brings what `modified` has and `current` has not; of two, `current` is the original.
 */
export function toStrategicPatch(type: string | undefined, original: Json, modified: Json, current: Json, retainKeys = false): Json {
  const patch: [string, unknown][] = Object.keys(original)
    .filter(key => !Object.hasOwn(modified, key))
    .map(key => [key, null]);
  for (const [key, value] of Object.entries(modified)) {
    const [before, live] = [own(original, key), own(current, key)];
    const { strategy, mergeKey, retainKeys: retains } = howToMerge(type, key, value);
    const inner = innerTypeOf(type, key);
    if (isObject(value) && strategy === 'merge' && (isObject(live) || isObject(before))) {
      const change = toStrategicPatch(inner, objectOr(before), value, objectOr(live), retains);
      if (Object.keys(change).length > 0 || !isObject(live)) patch.push([key, change]);
    } else if (Array.isArray(value) && strategy === 'merge') {
      const lists = [before, value, live].map(list => (Array.isArray(list) ? list : [])) as [unknown[], unknown[], unknown[]];
      patch.push(...(mergeKey ? ofLists(key, mergeKey, inner, retains, lists) : ofSets(key, lists)));
    } else if (!isDeepStrictEqual(value, live)) patch.push([key, value]);
  }
  const isMore = Object.keys(current).some(key => !Object.hasOwn(modified, key));
  if (retainKeys && Object.keys(modified).length > 0 && (patch.length > 0 || isMore))
    patch.push(['$retainKeys', Object.keys(modified).sort()]);
  return fromPairs(patch);
}

type Lists = [original: unknown[], modified: unknown[], current: unknown[]];

function ofLists(key: string, mergeKey: string, type: string | undefined, retainKeys: boolean, lists: Lists): [string, unknown][] {
  const [original, modified, current] = lists as [Json[], Json[], Json[]];
  const find = (list: Json[], item: Json) => list.find(other => other[mergeKey] === item[mergeKey]);
  const patch = modified.flatMap(item => {
    const live = find(current, item);
    if (!live) return [item];
    const change = toStrategicPatch(type, find(original, item) ?? {}, item, live, retainKeys);
    return Object.keys(change).length > 0 ? [{ ...change, [mergeKey]: item[mergeKey] }] : [];
  });
  const removed = original.filter(item => !find(modified, item)).map(item => ({ [mergeKey]: item[mergeKey], $patch: 'delete' }));
  const keys = modified.map(item => ({ [mergeKey]: item[mergeKey] }));
  if (current.length === 0 && removed.length === 0) return [[key, modified]];
  const isOrdered = current.length === modified.length && modified.every((item, i) => item[mergeKey] === current[i]?.[mergeKey]);
  if (patch.length + removed.length === 0 && isOrdered) return [];
  return [
    [`$setElementOrder/${key}`, keys],
    ...(patch.length + removed.length > 0 ? [[key, [...patch, ...removed]] as [string, unknown]] : []),
  ];
}

function ofSets(key: string, [original, modified, current]: Lists): [string, unknown][] {
  const added = modified.filter(item => !current.includes(item));
  const removed = original.filter(item => !modified.includes(item));
  if (current.length === 0 && removed.length === 0) return [[key, modified]];
  if (removed.length === 0 && isDeepStrictEqual(modified, current)) return [];
  return [
    [`$setElementOrder/${key}`, modified],
    ...(added.length > 0 ? [[key, added] as [string, unknown]] : []),
    ...(removed.length > 0 ? [[`$deleteFromPrimitiveList/${key}`, removed] as [string, unknown]] : []),
  ];
}

/** How a field's value is merged by the schema. Of what no type knows, objects are merged and lists replaced. */
export function howToMerge(type: string | undefined, key: string, value: unknown): MergeInfo {
  if (type !== undefined && fieldOf(type, key)) return mergeInfo(type, key);
  return { strategy: Array.isArray(value) ? 'replace' : 'merge', retainKeys: false };
}

/** The type of what a field's object, or a list's elements, have. */
export function innerTypeOf(type: string | undefined, key: string): string | undefined {
  const field = type === undefined ? undefined : fieldOf(type, key);
  return field && field.type !== 'map' ? typeOfField(field) : undefined;
}

function objectOr(value: unknown): Json {
  return isObject(value) ? value : {};
}

/** Nobody inherits a field. */
export function own(object: Json, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function fromPairs(pairs: readonly [string, unknown][]): Json {
  return Object.fromEntries(pairs);
}

function escaped(word: string): string {
  return word.replaceAll('~', '~0').replaceAll('/', '~1');
}
