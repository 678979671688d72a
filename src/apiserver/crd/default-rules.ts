import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { invalid } from '#kinds/field-errors.ts';
import { applyDefaults } from './defaults.ts';
import { prune } from './prune.ts';
import { rulesOf } from './rules.ts';
import { childrenOf } from './schema-causes.ts';
import { validatorOf } from './validator.ts';

/** Defaults must be values that the schema knows and allows. */
export function defaultCauses(schema: CrdSchema, at: string): FieldCause[] {
  const causes = schema.default === undefined ? [] : causesOf(schema, `${at}.default`);
  for (const [child, path] of childrenOf(schema, at)) causes.push(...defaultCauses(child, path));
  return causes;
}

function causesOf(schema: CrdSchema, at: string): FieldCause[] {
  const value = structuredClone(schema.default);
  const wrapper: CrdSchema = { type: 'object', properties: { default: schema } };
  const dropped = isObject(value) || Array.isArray(value) ? prune({ default: value }, wrapper) : [];
  if (dropped.length > 0) return [invalid(at, schema.default, `must not have unknown fields: ${dropped.join(', ')}`)];
  applyDefaults(value, schema);
  const found = validatorOf(schema)(value);
  const causes = found.length > 0 ? found : (rulesOf(schema)?.(value) ?? []);
  return causes.map(cause => ({ ...cause, field: cause.field === '<nil>' ? at : `${at}.${cause.field}` }));
}
