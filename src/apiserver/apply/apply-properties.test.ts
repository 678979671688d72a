import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { isObject } from '#base/json-object.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { isStored, Resources, type Stored } from '../resources.ts';
import { planApply } from './apply.ts';
import { compare, itemsOf } from './compare.ts';
import { difference, eachPath, type FieldSet, intersection, isEqual, isSubset, sorted, union } from './field-set.ts';
import { leavesOf } from './leaves.ts';
import { readEntries, readSentEntries, setManagedFields } from './managed-fields.ts';
import { trackUpdate } from './ownership.ts';
import { pathText } from './path-element.ts';
import { RandomObjects } from './random-objects.ts';
import { FREE, rootShapeOf, type Shape } from './shape.ts';

const seed = Number(process.env.UMIAK_SEED ?? Date.now() % 1e9);
const ROUNDS = Number(process.env.UMIAK_ROUNDS ?? 10);
const random = new RandomObjects(seededRandom(seed));
const stored = new Resources(builtinKinds).all.filter(isStored).filter(({ conversion }) => !conversion);
const now = '2026-01-01T00:00:00Z';
const clone = <T>(value: T): T => JSON.parse(JSON.stringify(value));

const apply = (served: Stored, manager: string, config: KubeObject, live?: KubeObject, force = false) =>
  planApply({ served, manager, subresource: '', now, config, force, complete: merged => clone(merged) as KubeObject }, live && clone(live));
const ownedBy = (object: KubeObject): FieldSet =>
  readEntries(object.metadata.managedFields)
    .map(({ fields }) => fields)
    .reduce(union, {});
const texts = (set: FieldSet): Set<string> => {
  const all = new Set<string>();
  eachPath(set, path => all.add(path.join('\n')));
  return all;
};
const pathsOf = (set: FieldSet): string[] => {
  const paths: string[] = [];
  eachPath(set, path => paths.push(pathText(path)));
  return paths.sort();
};
const show = (set: FieldSet) => pathsOf(set).slice(0, 10).join(' ');
/** The fields that an apply was refused for. */
function conflictsOf(attempt: () => unknown): (string | undefined)[] {
  try {
    attempt();
    return [];
  } catch (error) {
    if (!isUmiakError(error, 'Conflict')) throw error;
    return (error.details?.causes ?? []).map(({ field }) => field).sort();
  }
}
function sameData(kind: Kind, a: KubeObject, b: KubeObject): void {
  const { changed, removed } = compare(rootShapeOf(kind, ''), a, b);
  assert.equal(`${show(changed)}|${show(removed)}`, '|');
}

/** Two configurations with nothing in common but names and what tells items apart, which together say all of it. */
function split(shape: Shape, value: unknown): [unknown, unknown] {
  if (isObject(value) && shape.is !== 'leaf') {
    const halves: Record<string, unknown>[] = [{}, {}];
    for (const [name, inner] of Object.entries(value)) {
      const member = shape.is === 'struct' ? shape.field(name) : undefined;
      if (member === null) {
        for (const half of halves) half[name] = inner;
        continue;
      }
      const parts = split(member?.shape ?? (shape.is === 'map' ? shape.values : FREE), inner);
      parts.forEach((part, i) => {
        if (part !== undefined) halves[i]![name] = part;
      });
    }
    return halves.map(half => (Object.keys(half).length > 0 ? half : undefined)) as [unknown, unknown];
  }
  if (Array.isArray(value) && (shape.is === 'list' || shape.is === 'set') && itemsOf(shape, value)) {
    const halves: unknown[][] = [[], []];
    for (const item of value) halves[random.below(2)]!.push(item);
    return halves.map(half => (half.length > 0 ? half : undefined)) as [unknown, unknown];
  }
  return random.chance(0.5) ? [value, undefined] : [undefined, value];
}

for (const served of stored) {
  const { kind } = served;
  const shape = rootShapeOf(kind, '');
  test(`ownership of ${kind.resource.kind}.${kind.resource.group} (UMIAK_SEED=${seed})`, () => {
    const head = { apiVersion: served.apiVersion, kind: kind.resource.kind, metadata: { name: 'x' } } as KubeObject;
    for (let round = 0; round < ROUNDS; round++) {
      const object = random.object(kind);

      // A creation owns every leaf; an update leaves none without owner, and nothing owned that is not there.
      setManagedFields(object, trackUpdate({ served, manager: 'maker', subresource: '', now }, undefined, object));
      assert.ok(isSubset(leavesOf(shape, object), ownedBy(object)), 'a leaf of the created object has no owner');
      const next = random.changed(clone(object));
      delete next.metadata.managedFields;
      setManagedFields(next, trackUpdate({ served, manager: 'changer', subresource: '', now }, object, next));
      assert.ok(isSubset(leavesOf(shape, next), ownedBy(next)), 'a leaf of the updated object has no owner');
      const gone = difference(ownedBy(next), compare(shape, {}, next).changed);
      assert.ok(isSubset(gone, union(leavesOf(shape, next), compare(shape, next, {}).removed)), `owned, but not there: ${show(gone)}`);

      // FieldsV1 comes back as it went.
      const read = readSentEntries(clone(next.metadata.managedFields ?? []));
      assert.deepEqual(read, readEntries(next.metadata.managedFields));

      // Applying again changes nothing.
      const config = random.object(kind);
      const once = apply(served, 'one', config);
      assert.deepEqual(apply(served, 'one', config, once), once);

      // What another wants otherwise is a conflict, no more and no less; taken by force it is the other's alone.
      const other = random.changed(clone(config));
      const wanted = leavesOf(shape, other);
      const contested = intersection(compare(shape, config, other).changed, leavesOf(shape, config));
      assert.deepEqual(
        conflictsOf(() => apply(served, 'two', other, once)),
        pathsOf(contested),
      );
      const forced = apply(served, 'two', other, once, true);
      assert.equal(show(intersection(compare(shape, forced, other).changed, wanted)), '', 'what was forced is not there');
      const [ofOne, ofTwo] = ['one', 'two'].map(
        name => readEntries(forced.metadata.managedFields).find(({ manager }) => manager === name)?.fields ?? {},
      );
      assert.ok(isSubset(wanted, ofTwo!), 'what was forced is not owned');
      assert.equal(show(intersection(ofOne!, contested)), '', 'what was taken is owned still');
      assert.ok(isSubset(difference(leavesOf(shape, config), contested), ofOne!), 'what was not taken is owned no more');

      // Those who have nothing in common may come in any order, and go as if they had never been.
      const halves = split(shape, config) as (KubeObject | undefined)[];
      const [left, right] = halves.map(half => ({ ...head, ...half, metadata: { ...head.metadata, ...half?.metadata } })) as [
        KubeObject,
        KubeObject,
      ];
      const both = apply(served, 'right', right, apply(served, 'left', left));
      const otherwise = apply(served, 'left', left, apply(served, 'right', right));
      sameData(kind, both, otherwise);
      sameData(kind, both, once);
      for (const entry of readEntries(both.metadata.managedFields)) {
        const twin = readEntries(otherwise.metadata.managedFields).find(({ manager }) => manager === entry.manager);
        assert.ok(twin && isEqual(entry.fields, twin.fields), `${entry.manager} owns something else in the other order`);
      }
      sameData(kind, apply(served, 'left', head, both), apply(served, 'right', right));
    }
  });
}

test(`the algebra of sets (UMIAK_SEED=${seed})`, () => {
  const randomSet = (depth = 0): FieldSet => {
    const set: FieldSet = {};
    for (const name of ['f:a', 'f:b', 'k:{"n":1}', 'v:"x"'])
      if (random.chance(0.6 - depth * 0.1)) set[name] = depth < 4 ? randomNode(depth + 1) : {};
    return set;
  };
  const randomNode = (depth: number): FieldSet => {
    const set = randomSet(depth);
    return random.chance(0.3) && Object.keys(set).length > 0 ? { '.': {}, ...set } : set;
  };
  for (let i = 0; i < 500; i++) {
    const [a, b] = [randomSet(), randomSet()];
    const before = JSON.stringify([a, b]);
    const [left, right] = [texts(a), texts(b)];
    assert.deepEqual(texts(union(a, b)), left.union(right));
    assert.deepEqual(texts(difference(a, b)), left.difference(right));
    assert.deepEqual(texts(intersection(a, b)), left.intersection(right));
    assert.equal(isSubset(a, b), left.isSubsetOf(right));
    assert.deepEqual(sorted(a), a);
    assert.equal(JSON.stringify(sorted(union(a, b))), JSON.stringify(sorted(union(b, a))));
    assert.equal(
      JSON.stringify(difference(union(a, b), difference(b, a))) === JSON.stringify(a),
      JSON.stringify(sorted(a)) === JSON.stringify(a),
    );
    assert.equal(JSON.stringify([a, b]), before, 'the sets given were changed');
  }
});
