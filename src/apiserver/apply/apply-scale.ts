import { isObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Scale } from '#kinds/types.gen.ts';
import { brief } from '../brief.ts';
import { badRequest } from '../status.ts';
import { compare } from './compare.ts';
import { applyConflict } from './conflicts.ts';
import { type FieldSet, intersection, isEmpty } from './field-set.ts';
import { disown, type Entry, isSame, readEntries, setManagedFields, writeEntries } from './managed-fields.ts';
import type { Writing } from './ownership.ts';
import { rootShapeOf } from './shape.ts';

const SCALE = 'autoscaling/v1';

export interface ScaleApplication extends Writing {
  config: KubeObject;
  force: boolean;
}

/**
 * Applies a `Scale` to the object that it scales, which it changes: what it owns is the number of replicas, wherever the object has it, and
 * everybody's ownership of that counts, through whichever subresource they got it. @throws `BadRequest`, `Conflict`
 */
export function applyScale({ served, manager, now, config, force }: ScaleApplication, object: KubeObject, before: Scale): void {
  const scale = served.kind.scale!;
  const replicas = replicasOf(config);
  const fields = replicasFields(object);
  const own: Entry = { manager, operation: 'Apply', apiVersion: served.apiVersion, subresource: 'scale', time: now, fields };
  const entries = readEntries(object.metadata.managedFields);
  const last = entries.find(entry => isSame(entry, own));
  const others = entries.filter(entry => entry !== last);
  const isChanged = replicas !== undefined && replicas !== before.spec?.replicas;
  if (isChanged && !force) {
    const conflicts = others
      .map(entry => ({ ...entry, fields: intersection(entry.fields, fields) }))
      .filter(entry => !isEmpty(entry.fields))
      .map((entry): Entry => ({ ...entry, apiVersion: SCALE, fields: { 'f:spec': { 'f:replicas': {} } } }));
    if (conflicts.length > 0) throw applyConflict(conflicts);
  }
  if (isChanged) scale.setSpecReplicas(object, replicas);
  else if (last) own.time = last.time;
  const left = isChanged ? disown(others, () => fields) : others;
  setManagedFields(object, writeEntries(replicas === undefined ? left : [...left, own]));

  /** Where the object has its replicas, found by changing them. */
  function replicasFields(current: KubeObject): FieldSet {
    const other = structuredClone(current);
    scale.setSpecReplicas(other, scale.specReplicas(current) + 1);
    return compare(rootShapeOf(served.kind, 'scale'), current, other).changed;
  }
}

function replicasOf(config: KubeObject): number | undefined {
  const { apiVersion, kind, spec } = config as KubeObject & { spec?: unknown };
  if (kind !== 'Scale') throw badRequest(`the kind in the data (${brief(kind)}) does not match the expected kind (Scale)`);
  if (apiVersion !== SCALE)
    throw badRequest(`Incorrect version specified in apply patch. Specified patch version: ${brief(apiVersion)}, expected: ${SCALE}`);
  if (config.metadata.managedFields) throw badRequest('metadata.managedFields must be nil');
  if (spec === undefined || spec === null) return undefined;
  if (!isObject(spec)) throw badRequest('.spec: expected map');
  const { replicas } = spec;
  if (replicas === undefined || replicas === null) return undefined;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas)) throw badRequest('.spec.replicas: expected an integer');
  return replicas;
}
