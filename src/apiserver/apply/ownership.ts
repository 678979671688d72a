/**
 * Who owns which field of an object: `metadata.managedFields`, kept at every write. An update owns what it changed and takes it from everybody
 * else; an apply (`apply.ts`) owns what its configuration names. Paths are compared as the schema shapes the object (`shape.ts`), in the
 * version in which the entry's manager wrote. Done on what the client sent, defaulted, before admission: what the server itself fills in
 * is nobody's.
 */
import { jsonEqual } from '#kinds/json-equal.ts';
import { apiVersionOf, type Kind, type KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import type { ManagedFieldsEntry } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { compare, type Difference } from './compare.ts';
import { isEmpty, union } from './field-set.ts';
import { capUpdaters, disown, type Entry, isReset, isSame, readEntries, readSentEntries, writeEntries } from './managed-fields.ts';
import { rootShapeOf } from './shape.ts';

/** Who writes, as entries of `managedFields` name it. */
export interface Writing {
  served: Stored;
  manager: string;
  subresource: string;
  /** The time of entries that change. */
  now: string;
}

/** The `managedFields` after a write that is no apply. Both objects are in the served version; `after` bears what the client sent for them. */
export function trackUpdate(writing: Writing, before: KubeObject | undefined, after: KubeObject): ManagedFieldsEntry[] | undefined {
  const { served, manager, subresource, now } = writing;
  const live = before?.metadata.managedFields;
  const sent = subresource ? undefined : sentEntries(after.metadata.managedFields, live);
  // Not tracked until now: an update does not begin it.
  if (before && (sent ?? live ?? []).length === 0) return undefined;
  const differences = new Differences(served, subresource, before ?? {}, after);
  const { changed, removed } = differences.at(served.apiVersion);
  if (isEmpty(changed) && isEmpty(removed)) return sent ? writeEntries(sent) : live;
  let entries = disown(sent ?? readEntries(live), ({ apiVersion }) => differences.touchedAt(apiVersion));
  if (!isEmpty(changed)) {
    const own: Entry = { manager, operation: 'Update', apiVersion: served.apiVersion, subresource, time: now, fields: changed };
    const before = entries.find(entry => isSame(entry, own));
    if (before) own.fields = union(before.fields, changed);
    entries = [...entries.filter(entry => entry !== before), own];
  }
  return writeEntries(capUpdaters(entries));
}

/** What the client says of ownership itself; undefined when it leaves it as it is, or says nothing that can be understood. */
function sentEntries(sent: ManagedFieldsEntry[] | undefined, live: ManagedFieldsEntry[] | undefined): Entry[] | undefined {
  if (sent === undefined || sent === live) return undefined;
  if (isReset(sent)) return [];
  if (live && jsonEqual(sent, live)) return undefined;
  const entries = readSentEntries(sent);
  return entries?.length ? entries : undefined;
}

/** What a write changed, in each version that somebody owns fields in; made when asked for. */
export class Differences {
  readonly #served: Stored;
  readonly #subresource: string;
  readonly #before: object;
  readonly #after: object;
  readonly #known = new Map<string, Difference & { touched?: Difference['changed'] }>();

  constructor(served: Stored, subresource: string, before: object, after: object) {
    this.#served = served;
    this.#subresource = subresource;
    this.#before = before;
    this.#after = after;
  }

  at(apiVersion: string): Difference & { touched?: Difference['changed'] } {
    let known = this.#known.get(apiVersion);
    if (!known) {
      const { kind, of } = formIn(this.#served, apiVersion);
      const formOf = (object: object) => ('metadata' in object ? of(object as KubeObject) : object);
      known = compare(rootShapeOf(kind, this.#subresource), formOf(this.#before), formOf(this.#after));
      this.#known.set(apiVersion, known);
    }
    return known;
  }

  /** Everything that was added, changed or removed. */
  touchedAt(apiVersion: string): Difference['changed'] {
    const known = this.at(apiVersion);
    known.touched ??= union(known.changed, known.removed);
    return known.touched;
  }
}

/** A version of a kind, and the ways there and back; no way back where it is the same. */
export interface Form {
  kind: Kind;
  of(object: KubeObject): KubeObject;
  back?(object: KubeObject): KubeObject;
}

/** How an object of the served version looks in another. Versions that are not known here are taken for the served one: their fields have the same names. */
export function formIn({ kind, apiVersion: own, storedKind, conversion }: Stored, apiVersion: string): Form {
  const toStored = (object: KubeObject) => (conversion ? conversion.toStored(object) : object);
  if (apiVersion === own) return { kind, of: object => object };
  if (conversion && apiVersion === apiVersionOf(storedKind.resource))
    return { kind: storedKind, of: toStored, back: conversion.fromStored };
  const sibling = builtinKinds.find(({ storage, resource }) => storage?.kind === storedKind && apiVersionOf(resource) === apiVersion);
  if (!sibling?.storage) return { kind, of: object => object };
  const there = sibling.storage;
  const shown = (stored: KubeObject) => (conversion ? conversion.fromStored(stored) : stored);
  return { kind: sibling, of: object => there.fromStored(toStored(object)), back: object => shown(there.toStored(object)) };
}
