import type { FieldCause } from '#base/errors.ts';
import { duplicate, forbidden, invalid, notSupported, required, tooLong } from './field-errors.ts';
import { jsonEqual } from './json-equal.ts';
import { checkDnsLabel, checkDnsSubdomain, checkLabelValue, checkQualifiedName, type NameCheck } from './names.ts';
import type { LabelSelector, ObjectMeta } from './types.gen.ts';

export * from './field-errors.ts';
export { jsonEqual } from './json-equal.ts';
export * from './names.ts';

const MAX_ANNOTATIONS_BYTES = 256 * 1024;
const STANDARD_FINALIZERS = ['kubernetes', 'orphan', 'foregroundDeletion'];

/** The rules that all objects' metadata keep. */
export function validateObjectMeta(
  meta: Partial<ObjectMeta>,
  {
    namespaced,
    checkName = checkDnsSubdomain,
    path = 'metadata',
    isCustom = false,
  }: { namespaced: boolean; checkName?: NameCheck | undefined; path?: string; isCustom?: boolean },
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (meta.generateName) {
    const masked = meta.generateName.replace(/-$/, 'a');
    causes.push(...checkName(masked).map(why => invalid(`${path}.generateName`, meta.generateName, why)));
  }
  if (!meta.name) causes.push(required(`${path}.name`, 'name or generateName is required'));
  else causes.push(...checkName(meta.name).map(why => invalid(`${path}.name`, meta.name, why)));
  if (!namespaced) {
    if (meta.namespace) causes.push(forbidden(`${path}.namespace`, 'not allowed on this type'));
  } else if (!meta.namespace) causes.push(required(`${path}.namespace`));
  else causes.push(...checkDnsLabel(meta.namespace).map(why => invalid(`${path}.namespace`, meta.namespace, why)));
  if ((meta.generation ?? 0) < 0) causes.push(invalid(`${path}.generation`, meta.generation, 'must be greater than or equal to 0'));
  causes.push(...validateLabels(meta.labels, `${path}.labels`));
  causes.push(...validateAnnotations(meta.annotations, `${path}.annotations`));
  causes.push(...validateOwnerReferences(meta.ownerReferences ?? [], `${path}.ownerReferences`));
  causes.push(...validateFinalizers(meta.finalizers ?? [], `${path}.finalizers`, isCustom));
  return causes;
}

/** What may not change in metadata, and what must not go back. */
export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta, path = 'metadata'): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const)
    causes.push(...validateImmutable(meta[key], old[key], `${path}.${key}`));
  if ((meta.generation ?? 0) < (old.generation ?? 0))
    causes.push(invalid(`${path}.generation`, meta.generation ?? 0, 'must not be decremented'));
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter(one => !old.finalizers?.includes(one));
    if (added.length > 0) {
      const list = added.map(one => JSON.stringify(one)).join(', ');
      causes.push(
        forbidden(
          `${path}.finalizers`,
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
        ),
      );
    }
  }
  return causes;
}

/** `field is immutable` when a value differs from the old one. */
export function validateImmutable(value: unknown, old: unknown, field: string): FieldCause[] {
  return jsonEqual(value, old) ? [] : [invalid(field, value ?? null, 'field is immutable')];
}

/** Keys and values of labels. */
export function validateLabels(labels: Record<string, string> | undefined, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key in labels) {
    causes.push(...checkQualifiedName(key).map(why => invalid(path, key, why)));
    causes.push(...checkLabelValue(labels[key]!).map(why => invalid(path, labels[key], why)));
  }
  return causes;
}

/** Keys of annotations, and the size of all together. */
export function validateAnnotations(annotations: Record<string, string> | undefined, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  let bytes = 0;
  for (const key in annotations) {
    causes.push(...checkQualifiedName(key.toLowerCase()).map(why => invalid(path, key, why)));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(annotations[key]!);
  }
  if (bytes > MAX_ANNOTATIONS_BYTES) causes.push(tooLong(path, MAX_ANNOTATIONS_BYTES));
  return causes;
}

function validateOwnerReferences(references: NonNullable<ObjectMeta['ownerReferences']>, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  let controller: string | undefined;
  references.forEach((reference, i) => {
    const at = `${path}[${i}]`;
    if (!/^[^/]+(\/[^/]+)?$/.test(reference.apiVersion))
      causes.push(invalid(`${at}.apiVersion`, reference.apiVersion, 'version must not be empty'));
    for (const key of ['kind', 'name', 'uid'] as const)
      if (!reference[key]) causes.push(invalid(`${at}.${key}`, reference[key], 'must not be empty'));
    if (reference.apiVersion === 'v1' && reference.kind === 'Event')
      causes.push(invalid(at, reference, '/v1, Kind=Event is disallowed from being an owner'));
    if (!reference.controller) return;
    if (controller !== undefined) {
      const why = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${reference.name}`;
      causes.push(invalid(path, references, why));
    }
    controller = reference.name;
  });
  return causes;
}

/** Custom resources may have finalizers of any name. */
function validateFinalizers(finalizers: string[], path: string, isCustom: boolean): FieldCause[] {
  const causes: FieldCause[] = [];
  finalizers.forEach((finalizer, i) => {
    const wrong = checkQualifiedName(finalizer);
    causes.push(...wrong.map(why => invalid(`${path}[${i}]`, finalizer, why)));
    if (!isCustom && wrong.length === 0 && !finalizer.includes('/') && !STANDARD_FINALIZERS.includes(finalizer))
      causes.push(invalid(`${path}[${i}]`, finalizer, 'name is neither a standard finalizer name nor is it fully qualified'));
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    causes.push(invalid(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  return causes;
}

/** A `metav1.LabelSelector`'s keys, operators and values. */
export function validateLabelSelector(selector: LabelSelector | undefined, path: string): FieldCause[] {
  const causes = validateLabels(selector?.matchLabels, `${path}.matchLabels`);
  selector?.matchExpressions?.forEach(({ key, operator, values = [] }, i) => {
    const at = `${path}.matchExpressions[${i}]`;
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) causes.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0) causes.push(forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    } else causes.push(invalid(`${at}.operator`, operator, 'not a valid selector operator'));
    causes.push(...checkQualifiedName(key).map(why => invalid(`${at}.key`, key, why)));
    values.forEach((value, j) => {
      causes.push(...checkLabelValue(value).map(why => invalid(`${at}.values[${j}]`, value, why)));
    });
  });
  return causes;
}

/** `must be greater than or equal to 0` for each named number that is not. */
export function validateNonNegative<T extends object>(object: T, keys: readonly (keyof T & string)[], path: string): FieldCause[] {
  return keys.flatMap(key => {
    const value = object[key];
    return typeof value === 'number' && value < 0 ? [invalid(`${path}.${key}`, value, 'must be greater than or equal to 0')] : [];
  });
}

/** A value that must be one of a few. An absent one is required only if `need` says so. */
export function validateEnum(value: string | undefined, supported: readonly string[], field: string, need = false): FieldCause[] {
  if (value === undefined || value === '')
    return need ? [required(field)] : value === undefined ? [] : [notSupported(field, value, supported)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** `Duplicate value` for each element whose key stood before. */
export function validateUnique<T>(
  items: readonly T[] | undefined,
  keyOf: (item: T) => unknown,
  fieldAt: (index: number) => string,
): FieldCause[] {
  const seen = new Set<unknown>();
  const causes: FieldCause[] = [];
  items?.forEach((item, i) => {
    const key = keyOf(item);
    if (key === undefined || key === '') return;
    if (seen.has(key)) causes.push(duplicate(fieldAt(i), key));
    seen.add(key);
  });
  return causes;
}

/** What `check` finds wrong about a name, as causes. */
export function validateName(name: string | undefined, check: NameCheck, field: string): FieldCause[] {
  if (!name) return [required(field)];
  return check(name).map(why => invalid(field, name, why));
}
