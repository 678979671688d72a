import type { KubeObject } from '#kinds/kind.ts';
import { compare } from './compare.ts';
import { applyConflict } from './conflicts.ts';
import { difference, type FieldSet, intersection, isEmpty, isEqual, isSubset, union } from './field-set.ts';
import { fieldsOfLastApplied } from './last-applied.ts';
import { leavesOf, withStructs } from './leaves.ts';
import { disown, type Entry, isSame, readEntries, setManagedFields, writeEntries } from './managed-fields.ts';
import { merge, removeItems } from './merge.ts';
import { Differences, formIn, type Writing } from './ownership.ts';
import { rootShapeOf, type Shape } from './shape.ts';

export interface Application extends Writing {
  /** What the manager wants; in the served version. */
  config: KubeObject;
  /** Takes what others own, instead of a conflict. */
  force: boolean;
  /** Makes a whole object of what was merged: checked, in canonical form, defaulted. */
  complete(merged: object): KubeObject;
}

/** Owns what was there before ownership was tracked. */
const BEFORE = 'before-first-apply';
/** Holds what nobody owns: the name. */
const ALWAYS_THERE: FieldSet = { 'f:metadata': {} };

/**
 * The object that an apply makes of the live one, with its `managedFields`: the configuration merged over it, and without what the
 * manager applied the last time, does not any more, and nobody else owns. Applying the same again changes nothing.
 * @throws `Conflict` with a cause for each field that somebody else owns with another value
 */
export function planApply(application: Application, live: KubeObject | undefined): KubeObject {
  const { served, manager, subresource, now, config, complete } = application;
  const shape = rootShapeOf(served.kind, subresource);
  const own: Entry = {
    manager,
    operation: 'Apply',
    apiVersion: served.apiVersion,
    subresource,
    time: now,
    fields: leavesOf(shape, config),
  };
  if (!live) {
    const object = complete(config);
    setManagedFields(object, writeEntries([own]));
    return object;
  }
  const entries = entriesOf(live, shape, application);
  const last = entries.find(entry => isSame(entry, own));
  const others = entries.filter(entry => entry !== last);
  const bare = { ...live, metadata: { ...live.metadata } };
  delete bare.metadata.managedFields;
  const merged = merge(shape, bare, config) as object;
  const object = complete(last ? pruneIn(application, merged, last, own, others) : merged);
  const differences = new Differences(served, subresource, live, object);
  const { changed, removed } = differences.at(served.apiVersion);
  refuseConflicts(application, shape, live, others, differences);
  const left = disown(others, ({ apiVersion }) => differences.touchedAt(apiVersion));
  // The time says when the manager last made a difference.
  if (last && isEmpty(changed) && isEmpty(removed) && isEqual(last.fields, own.fields)) own.time = last.time;
  setManagedFields(object, writeEntries([...left, own]));
  return object;
}

function entriesOf(live: KubeObject, shape: Shape, { served, now }: Application): Entry[] {
  const entries = readEntries(live.metadata.managedFields);
  if (entries.length > 0) return entries;
  const { changed: fields } = compare(shape, {}, live);
  return [{ manager: BEFORE, operation: 'Update', apiVersion: served.apiVersion, subresource: '', time: now, fields }];
}

/** Pruned in the version that the manager applied the last time, which may be another than now. */
function pruneIn({ served, subresource, config }: Application, merged: object, last: Entry, own: Entry, others: readonly Entry[]): object {
  const shape = rootShapeOf(served.kind, subresource);
  const { kind, of, back } = formIn(served, last.apiVersion);
  if (!back) return prune(shape, merged, last.fields, [own, ...others]);
  const lastShape = rootShapeOf(kind, subresource);
  const ownThere = { ...own, fields: leavesOf(lastShape, of(withSpec(config))) };
  const left = back(withSpec(prune(lastShape, of(withSpec(merged)), last.fields, [ownThere, ...others])));
  const kept = union(union(leavesWithStructs(shape, left), withStructs(shape, own.fields)), ALWAYS_THERE);
  return (removeItems(shape, merged, difference(leavesWithStructs(shape, merged), kept)) as object | undefined) ?? {};
}

/** What conversions count on. */
function withSpec(object: object): KubeObject {
  return { spec: {}, ...object } as unknown as KubeObject;
}

/** `merged` without what was applied the last time and is not owned by any of the `entries` now. */
function prune(shape: Shape, merged: object, last: FieldSet, entries: readonly Entry[]): object {
  if (isSubset(last, entries[0]!.fields)) return merged;
  const lost = difference(withStructs(shape, last), ALWAYS_THERE);
  const owned = union(withStructs(shape, entries.map(({ fields }) => fields).reduce(union)), ALWAYS_THERE);
  const present = leavesWithStructs(shape, merged);
  const without = (items: FieldSet): object => (removeItems(shape, merged, items) as object | undefined) ?? {};
  // Removing an item takes all that is in it: what somebody owns there comes back, and then what nobody applied the last time.
  const ownedStays = without(difference(present, union(leavesWithStructs(shape, without(lost)), owned)));
  return without(intersection(difference(present, leavesWithStructs(shape, ownedStays)), lost));
}

function leavesWithStructs(shape: Shape, value: object): FieldSet {
  return withStructs(shape, leavesOf(shape, value));
}

function refuseConflicts(
  { force, manager, served }: Application,
  shape: Shape,
  live: KubeObject,
  others: readonly Entry[],
  differences: Differences,
): void {
  if (force) return;
  const conflicts: Entry[] = [];
  // What kubectl applied on the client's side before is its own, whoever stands there for it.
  const allowed = manager === 'kubectl' ? fieldsOfLastApplied(shape, live, served.apiVersion) : undefined;
  for (const entry of others) {
    let fields = intersection(entry.fields, differences.at(entry.apiVersion).changed);
    if (allowed) fields = difference(fields, allowed);
    if (!isEmpty(fields)) conflicts.push({ ...entry, fields });
  }
  if (conflicts.length > 0) throw applyConflict(conflicts);
}
