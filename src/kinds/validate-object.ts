import type { FieldCause } from '#base/errors.ts';
import type { Kind, KubeObject } from './kind.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from './validation.ts';

/** Everything wrong with an object about to be created: its metadata, what the schema missed, the kind's own rules. */
export function validateCreate<T extends KubeObject>(kind: Kind<T>, object: T, missing: readonly FieldCause[] = []): FieldCause[] {
  return distinct([...metadata(kind, object), ...missing, ...(kind.validate?.(object) ?? []), ...(kind.validateCreate?.(object) ?? [])]);
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
  return distinct([
    ...metadata(kind, object),
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...missing,
    ...(kind.validate?.(object) ?? []),
    ...(changes ?? []),
  ]);
}

/** Everything wrong with an object whose status is about to replace that of `old`. */
export function validateStatusUpdate<T extends KubeObject>(kind: Kind<T>, object: T, old: T): FieldCause[] {
  return distinct([...validateObjectMetaUpdate(object.metadata, old.metadata), ...(kind.validateStatusUpdate?.(object, old) ?? [])]);
}

function metadata<T extends KubeObject>(kind: Kind<T>, object: T): FieldCause[] {
  const isCustom = kind.openApi !== undefined;
  return validateObjectMeta(object.metadata, { namespaced: kind.resource.namespaced, checkName: kind.checkName, isCustom });
}

/** The schema and a kind's own rules may find the same: once is enough. */
function distinct(causes: FieldCause[]): FieldCause[] {
  const seen = new Set<string>();
  return causes.filter(({ field, reason }) => {
    if (reason !== 'FieldValueRequired') return true;
    return !seen.has(field) && seen.add(field);
  });
}
