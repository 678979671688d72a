/**
 * The patch of a difference gives the target: for generated pairs of objects of every built-in kind and for any JSON, in all three kinds of
 * patches; strategic merge of three objects against its documented rules, said here a second time as what must come out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isObject, type JsonObject as Json } from '#base/json-object.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { RandomObjects } from '../apply/random-objects.ts';
import { Random } from '../malformed/random.ts';
import { anyValue, word } from '../malformed/values.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge.ts';
import { howToMerge, innerTypeOf, own, toJsonPatch, toMergePatch, toStrategicPatch } from './test-diff.ts';

const seed = Number(process.env.UMIAK_SEED ?? Date.now() % 1e9);
const ROUNDS = Number(process.env.UMIAK_ROUNDS ?? 20);
const random = new Random(seed);
const objects = new RandomObjects(random.next);
const clone = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const isEmpty = (value: unknown) => typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** An object of the type, its lists such that they can be merged: their elements bear keys, each once. */
function objectOf(type: string): Json {
  return keyed(type, objects.typed(type)) as Json;
}

function keyed(type: string | undefined, value: unknown): unknown {
  if (!isObject(value))
    return Array.isArray(value) ? value.filter(item => item !== undefined && !isEmpty(item)).map(item => keyed(type, item)) : value;
  const pairs = Object.entries(value).map(([name, inner]): [string, unknown] => {
    const { strategy, mergeKey } = howToMerge(type, name, inner);
    const tidy = keyed(innerTypeOf(type, name), inner);
    if (!Array.isArray(tidy) || strategy === 'replace') return [name, tidy];
    if (!mergeKey) return [name, [...new Set(tidy)]];
    return [name, tidy.map((item, i) => ({ ...item, [mergeKey]: typeof item[mergeKey] === 'number' ? i : `${mergeKey} ${i}` }))];
  });
  return Object.fromEntries(pairs);
}

/** Something of both, in an order of its own, without what is empty: whether that is there depends on the type in Go. */
function mixed(type: string | undefined, a: Json, b: Json): Json {
  const pairs = Object.keys({ ...a, ...b }).map((name): [string, unknown] => {
    const values = [own(a, name), own(b, name)];
    const [one, other] = random.chance(0.5) ? values : values.reverse();
    const { strategy, mergeKey } = howToMerge(type, name, one);
    const inner = innerTypeOf(type, name);
    if (random.chance(0.1)) return [name, undefined];
    if (isObject(one) && isObject(other)) return [name, mixed(inner, one, other)];
    if (!Array.isArray(one) || !Array.isArray(other) || strategy === 'replace') return [name, one];
    return [name, shuffled(mergeKey ? mixedLists(inner, mergeKey, one as Json[], other as Json[]) : [...new Set([...one, ...other])])];
  });
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined && !isEmpty(value)));
}

function mixedLists(type: string | undefined, mergeKey: string, a: Json[], b: Json[]): Json[] {
  const joined = new Map(a.map(item => [item[mergeKey], item]));
  for (const item of b) {
    const twin = joined.get(item[mergeKey]);
    joined.set(item[mergeKey], twin ? { ...mixed(type, twin, item), [mergeKey]: item[mergeKey] } : item);
  }
  return [...joined.values()];
}

/** Some of the list, mostly in its order. */
function shuffled<T>(list: T[]): T[] {
  const some = list.filter(() => random.chance(0.8));
  if (random.chance(0.5)) return some;
  return some
    .map(item => [random.next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** What must come out: what `modified` says, without what it said no longer, and what only the server has. */
function expected(type: string | undefined, original: Json, modified: Json, current: Json, retainKeys = false): Json {
  const kept = Object.entries(current).filter(([key]) => !retainKeys && !Object.hasOwn(modified, key) && !Object.hasOwn(original, key));
  const pairs = Object.entries(modified).map(([key, value]): [string, unknown] => {
    const [before, live] = [own(original, key), own(current, key)];
    const how = howToMerge(type, key, value);
    const inner = innerTypeOf(type, key);
    if (how.strategy === 'replace') return [key, value];
    if (isObject(value))
      return [key, isObject(live) ? expected(inner, isObject(before) ? before : {}, value, live, how.retainKeys) : value];
    if (!Array.isArray(value) || !Array.isArray(live)) return [key, value];
    const { mergeKey } = how;
    const has = (list: unknown, item: unknown) => Array.isArray(list) && find(list, item) !== undefined;
    const find = (list: unknown[], item: unknown) =>
      list.find(other => (mergeKey ? (other as Json)[mergeKey] === (item as Json)[mergeKey] : other === item));
    const merged = value.map(item => {
      const twin = find(live, item) as Json | undefined;
      const former = (Array.isArray(before) ? find(before, item) : undefined) as Json | undefined;
      return mergeKey && twin ? expected(inner, former ?? {}, item, twin, how.retainKeys) : item;
    });
    return [key, [...merged, ...live.filter(item => !has(value, item) && !has(before, item))]];
  });
  return Object.fromEntries([...kept, ...pairs]);
}

/** Lists that are merged in the order that can be said of them: what `modified` names in its order, the rest in the server's after it. */
function arranged(type: string | undefined, value: Json, modified: Json): Json {
  const pairs = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const { strategy, mergeKey } = howToMerge(type, key, inner);
    const wanted = own(modified, key);
    const below = innerTypeOf(type, key);
    if (isObject(inner) && isObject(wanted)) return [key, arranged(below, inner, wanted)];
    if (!Array.isArray(inner) || !Array.isArray(wanted) || strategy === 'replace') return [key, inner];
    const twinOf = (item: unknown) => wanted.find(one => (mergeKey ? one[mergeKey] === (item as Json)[mergeKey] : one === item));
    const [named, others] = [inner.filter(item => twinOf(item) !== undefined), inner.filter(item => twinOf(item) === undefined)];
    return [key, [...(mergeKey ? named.map(item => arranged(below, item, twinOf(item))) : named), ...others]];
  });
  return Object.fromEntries(pairs);
}

describe(`the patch of a difference gives the target (UMIAK_SEED=${seed})`, () => {
  for (const { type, resource } of builtinKinds) {
    test(`${resource.kind}.${resource.group}`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        const from = objectOf(type);
        const to = mixed(type, from, objectOf(type));

        assert.deepEqual(applyMergePatch(clone(from), clone(toMergePatch(from, to))), to);
        assert.deepEqual(applyJsonPatch(clone(from), clone(toJsonPatch(random, from, to))), to);

        const patch = toStrategicPatch(type, from, to, from);
        const result = applyStrategicMergePatch(type, clone(from), clone(patch));
        assert.deepEqual(result, to, JSON.stringify(patch));
        assert.deepEqual(applyStrategicMergePatch(type, clone(to), clone(patch)), to, `once more: ${JSON.stringify(patch)}`);
        assert.deepEqual(toStrategicPatch(type, to, to, to), {});

        // Meanwhile somebody else has written.
        const live = mixed(type, from, objectOf(type));
        const three = toStrategicPatch(type, from, to, live);
        const merged = applyStrategicMergePatch(type, clone(live), clone(three)) as Json;
        assert.deepEqual(arranged(type, merged, to), arranged(type, expected(type, from, to, live), to), JSON.stringify(three));
      }
    });
  }

  test('any JSON', () => {
    for (let round = 0; round < 200 * ROUNDS; round++) {
      const [from, to] = [anyObject(), anyObject()] as [Json, Json];
      const shared = clone({ ...to, [word(random)]: from, list: shuffled([...Object.values(from), ...Object.values(to)]) }) as Json;
      for (const [a, b] of [
        [from, to],
        [from, shared],
        [shared, to],
      ] as const) {
        assert.deepEqual(applyJsonPatch(clone(a), clone(toJsonPatch(random, a, b))), b);
        const [x, y] = [withoutNulls(a), withoutNulls(b)];
        assert.deepEqual(applyMergePatch(clone(x), clone(toMergePatch(x, y))), y);
      }
    }
  });
});

function anyObject(): Json {
  return clone(Object.fromEntries(random.list(5, () => [word(random), anyValue(random, 3)])));
}

/** A merge patch can set no null in an object; a list is replaced whole. */
function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => [key, withoutNulls(inner)]),
  );
}
