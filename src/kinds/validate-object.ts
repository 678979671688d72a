import type { FieldCause } from '#base/errors.ts';
import type { Kind, KubeObject } from './kind.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from './validation.ts';

/** Everything wrong with an object about to be created: its metadata, what the schema missed, the kind's own rules. */
export function validateCreate<T extends KubeObject>(kind: Kind<T>, object: T, missing: readonly FieldCause[] = []): FieldCause[] {
  const own = [...metadata(kind, object), ...(kind.validate?.(object) ?? []), ...(kind.validateCreate?.(object) ?? [])];
  return distinct(withMissing(own, missing));
}

/** Everything wrong with an object about to replace `old`, as a whole or by one of its subresources. */
export function validateUpdate<T extends KubeObject>(
  kind: Kind<T>,
  object: T,
  old: T,
  missing: readonly FieldCause[] = [],
  subresource = '',
): FieldCause[] {
  const bySubresource = subresource !== '' && kind.validateSubresourceUpdate !== undefined;
  const changes = bySubresource ? kind.validateSubresourceUpdate?.(subresource, object, old) : kind.validateUpdate?.(object, old);
  const own = [
    ...metadata(kind, object),
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...(kind.validate?.(object) ?? []),
    ...(changes ?? []),
  ];
  return distinct(withMissing(own, missing));
}

/** Everything wrong with an object whose status is about to replace that of `old`. */
export function validateStatusUpdate<T extends KubeObject>(kind: Kind<T>, object: T, old: T): FieldCause[] {
  return distinct([...validateObjectMetaUpdate(object.metadata, old.metadata), ...(kind.validateStatusUpdate?.(object, old) ?? [])]);
}

function metadata<T extends KubeObject>(kind: Kind<T>, object: T): FieldCause[] {
  const isCustom = kind.openApi !== undefined;
  return validateObjectMeta(object.metadata, { namespaced: kind.resource.namespaced, checkName: kind.checkName, isCustom });
}

/** What the schema missed, where the kind's own rules have nothing to say of the field or what holds it: theirs are upstream's words. */
function withMissing(own: FieldCause[], missing: readonly FieldCause[]): FieldCause[] {
  if (missing.length === 0) return own;
  const unsaid = missing.filter(
    ({ field }) => !own.some(one => field === one.field || (field.startsWith(one.field) && /^[.[]/.test(field.slice(one.field.length)))),
  );
  return [...unsaid, ...own];
}

/** The schema and a kind's own rules may find the same: once is enough. */
function distinct(causes: FieldCause[]): FieldCause[] {
  const seen = new Set<string>();
  return causes.filter(({ field, reason }) => {
    if (reason !== 'FieldValueRequired') return true;
    return !seen.has(field) && seen.add(field);
  });
}
