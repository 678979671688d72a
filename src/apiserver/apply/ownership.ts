/**
 * Who owns which field of an object: `metadata.managedFields`, kept at every write. An update owns what it changed and takes it from everybody
 * else; an apply (`apply.ts`) owns what its configuration names. Paths are compared as the schema shapes the object (`shape.ts`), in the
 * version in which the entry's manager wrote. Done on what the client sent, defaulted, before admission: what the server itself fills in
 * is nobody's.
 */
import { jsonEqual } from '#kinds/json-equal.ts';
import { apiVersionOf, type KubeObject } from '#kinds/kind.ts';
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

  /** Versions that are not known here are taken for the served one: their fields have the same names. */
  at(apiVersion: string): Difference & { touched?: Difference['changed'] } {
    const { kind, storedKind, conversion } = this.#served;
    const isStoredForm =
      conversion !== undefined && apiVersion === apiVersionOf(storedKind.resource) && apiVersion !== this.#served.apiVersion;
    const version = isStoredForm ? apiVersion : this.#served.apiVersion;
    let known = this.#known.get(version);
    if (!known) {
      const formOf = (object: object) => (isStoredForm && 'metadata' in object ? conversion.toStored(object as KubeObject) : object);
      known = compare(rootShapeOf(isStoredForm ? storedKind : kind, this.#subresource), formOf(this.#before), formOf(this.#after));
      this.#known.set(version, known);
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
