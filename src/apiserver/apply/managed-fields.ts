import { jsonEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { ManagedFieldsEntry } from '#kinds/types.gen.ts';
import { difference, type FieldSet, isEmpty, sorted, union } from './field-set.ts';
import { canonicalElement } from './path-element.ts';

/** What one manager owns by one operation: an entry of `metadata.managedFields`. */
export interface Entry {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  subresource: string;
  time: string | undefined;
  fields: FieldSet;
}

export type EntryId = Pick<Entry, 'manager' | 'operation' | 'apiVersion' | 'subresource'>;

/** Updaters that an object remembers by name. */
const MOST_UPDATERS = 10;
const ANCIENT = 'ancient-changes';
const MOST_DEPTH = 500;

/** Whether both stand for the same: an applier is the same in all versions. */
export function isSame(a: EntryId, b: EntryId): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    a.subresource === b.subresource &&
    (a.operation === 'Apply' || a.apiVersion === b.apiVersion)
  );
}

/** The entries as the object bears them. They are this server's own: trusted. */
export function readEntries(managedFields: readonly ManagedFieldsEntry[] | undefined): Entry[] {
  return (managedFields ?? []).map(({ manager = '', operation, apiVersion = '', subresource = '', time, fieldsV1 }) => ({
    manager,
    operation: operation as Entry['operation'],
    apiVersion,
    subresource,
    time,
    fields: (fieldsV1 ?? {}) as FieldSet,
  }));
}

/** The entries that a client sent; undefined when they are not in form. */
export function readSentEntries(managedFields: readonly ManagedFieldsEntry[]): Entry[] | undefined {
  const entries: Entry[] = [];
  for (const entry of managedFields) {
    const { operation, apiVersion, fieldsType, fieldsV1, manager = '', subresource = '', time } = entry;
    if ((operation !== 'Apply' && operation !== 'Update') || !apiVersion || fieldsType !== 'FieldsV1') return undefined;
    const fields = canonical(fieldsV1 ?? {}, 0);
    if (!fields) return undefined;
    const read: Entry = { manager, operation, apiVersion, subresource, time, fields };
    const twin = entries.findIndex(other => isSame(other, read));
    if (twin >= 0) entries[twin] = read;
    else entries.push(read);
  }
  return entries;
}

/** A set from outside as this house writes it: keys in one spelling, what is none left out. */
function canonical(value: unknown, depth: number): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > MOST_DEPTH) return undefined;
  const set: FieldSet = {};
  let isSelf = false;
  for (const [key, inner] of Object.entries(value)) {
    if (key === '.') {
      isSelf = true;
      continue;
    }
    const element = canonicalElement(key);
    const below = canonical(inner, depth + 1);
    if (below === undefined) return undefined;
    if (element !== undefined) set[element] = below;
  }
  return isSelf && !isEmpty(set) ? { '.': {}, ...set } : set;
}

/** True for `[]` and `[{}]`: the client wants to begin anew. */
export function isReset(managedFields: readonly ManagedFieldsEntry[]): boolean {
  return managedFields.length === 0 || (managedFields.length === 1 && Object.keys(managedFields[0]!).length === 0);
}

/** The entries in their wire form, in their order; undefined when there are none. */
export function writeEntries(entries: Entry[]): ManagedFieldsEntry[] | undefined {
  const owning = entries.filter(({ fields }) => !isEmpty(fields));
  if (owning.length === 0) return undefined;
  return owning.sort(compareEntries).map(({ manager, operation, apiVersion, time, fields, subresource }) => ({
    manager,
    operation,
    apiVersion,
    ...(time !== undefined && { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: sorted(fields),
    ...(subresource && { subresource }),
  }));
}

/** Lets the object bear the entries, or none. Changes `object`. */
export function setManagedFields({ metadata }: KubeObject, managedFields: ManagedFieldsEntry[] | undefined): void {
  if (managedFields) metadata.managedFields = managedFields;
  else delete metadata.managedFields;
}

function compareEntries(a: Entry, b: Entry): number {
  return (
    byText(a.operation, b.operation) ||
    byText(a.time ?? '', b.time ?? '') ||
    byText(a.manager, b.manager) ||
    byText(a.apiVersion, b.apiVersion) ||
    byText(a.subresource, b.subresource)
  );
}

function byText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Takes from every entry what `gone` holds; entries that own nothing any more go. */
export function disown(entries: Entry[], gone: (entry: Entry) => FieldSet): Entry[] {
  return entries.flatMap(entry => {
    const fields = difference(entry.fields, gone(entry));
    if (fields === entry.fields) return [entry];
    return isEmpty(fields) ? [] : [{ ...entry, fields }];
  });
}

/** The oldest updaters beyond the tenth, joined to one for each version. */
export function capUpdaters(entries: Entry[]): Entry[] {
  const updaters = entries.filter(({ operation }) => operation === 'Update');
  if (updaters.length <= MOST_UPDATERS) return entries;
  updaters.sort((a, b) => byText(a.time ?? '', b.time ?? '') || byText(a.manager, b.manager));
  let left = updaters.length;
  let kept = entries;
  const oldest = new Map<string, Entry>();
  for (const entry of updaters) {
    if (left <= MOST_UPDATERS) break;
    const first = oldest.get(entry.apiVersion);
    if (!first) {
      oldest.set(entry.apiVersion, entry);
      continue;
    }
    const joined: Entry = { ...entry, manager: ANCIENT, subresource: '', fields: union(entry.fields, first.fields) };
    kept = [...kept.filter(one => one !== first && one !== entry), joined];
    oldest.set(entry.apiVersion, joined);
    left--;
  }
  return kept;
}

/** After admission: what it made of `before` stands if it is in form, else `before` does. Changes `object`. Gives the warning that says so. */
export function keepInForm(object: KubeObject, before: ManagedFieldsEntry[] | undefined): string | undefined {
  const { managedFields } = object.metadata;
  if (managedFields === before || managedFields === undefined) return undefined;
  const isInForm = Array.isArray(managedFields) && managedFields.every(entry => typeof entry === 'object' && entry !== null);
  if (isInForm && readSentEntries(managedFields)) return undefined;
  setManagedFields(object, before);
  return (
    '.metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; ' +
    'please fix your requests'
  );
}

/** A write that changes nothing but entries' times keeps the times that were: it is none. Changes `object` when its entries are those of `old` otherwise. */
export function settleTimes(object: KubeObject, old: KubeObject): void {
  const [now, before] = [object.metadata.managedFields, old.metadata.managedFields];
  if (!now || !before || now === before || now.length !== before.length) return;
  if (now.every((entry, i) => entry.time === before[i]!.time)) return;
  const settled = now.map((entry, i) => withTime(entry, before[i]!.time));
  if (!jsonEqual(settled, before)) return;
  const { metadata, ...rest } = object;
  const { metadata: oldMetadata, ...oldRest } = old;
  if (!jsonEqual(rest, oldRest) || !jsonEqual({ ...metadata, managedFields: before }, oldMetadata)) return;
  metadata.managedFields = before;
}

function withTime({ time: _time, ...entry }: ManagedFieldsEntry, time: string | undefined): ManagedFieldsEntry {
  return time === undefined ? entry : { ...entry, time };
}
