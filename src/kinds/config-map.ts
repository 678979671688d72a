import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import { jsonEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkConfigKey, forbidden, invalid, tooLong } from './validation.ts';

const MAX_BYTES = 1 << 20;

/** Configuration as keys and texts, or keys and bytes. */
export const ConfigMap: Kind<types.ConfigMap> = defineKind<types.ConfigMap>('v1/ConfigMap', {
  validate({ data = {}, binaryData = {} }) {
    const causes: FieldCause[] = [];
    let bytes = 0;
    for (const key in data) {
      causes.push(...checkConfigKey(key).map(why => invalid(`data[${key}]`, key, why)));
      if (Object.hasOwn(binaryData, key)) causes.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
      bytes += Buffer.byteLength(data[key]!);
    }
    for (const key in binaryData) {
      causes.push(...checkConfigKey(key).map(why => invalid(`binaryData[${key}]`, key, why)));
      bytes += Buffer.byteLength(binaryData[key]!, 'base64');
    }
    if (bytes > MAX_BYTES) causes.push(tooLong('[]', MAX_BYTES));
    return causes;
  },
  validateUpdate: (map, old) => validateFrozen(map, old, ['data', 'binaryData']),
  cells: { Data: ({ data = {}, binaryData = {} }) => String(Object.keys(data).length + Object.keys(binaryData).length) },
});
export type ConfigMap = types.ConfigMap;

/** What may not change in a ConfigMap or Secret once it is `immutable`. */
export function validateFrozen<T extends { immutable?: boolean | undefined }>(
  object: T,
  old: T,
  keys: readonly (keyof T & string)[],
): FieldCause[] {
  if (!old.immutable) return [];
  const why = 'field is immutable when `immutable` is set';
  const causes = object.immutable ? [] : [forbidden('immutable', why)];
  for (const key of keys) if (!jsonEqual(object[key], old[key])) causes.push(forbidden(key, why));
  return causes;
}
