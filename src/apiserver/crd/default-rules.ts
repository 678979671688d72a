import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { invalid } from '#kinds/field-errors.ts';
import { runAtOnce } from '../slices.ts';
import { applyDefaults } from './defaults.ts';
import { prune } from './prune.ts';
import { rulesOf } from './rules.ts';
import { childrenOf } from './schema-causes.ts';
import { validatorOf } from './validator.ts';

/** Defaults must be values that the schema knows and allows. Schema by schema. */
export function* defaultCauses(schema: CrdSchema, at: string): Generator<FieldCause[]> {
  yield schema.default === undefined ? [] : causesOf(schema, `${at}.default`);
  for (const [child, path] of childrenOf(schema, at)) yield* defaultCauses(child, path);
}

function ruleCausesOf(schema: CrdSchema, value: unknown): FieldCause[] {
  const rules = rulesOf(schema);
  return rules ? runAtOnce(rules(value)) : [];
}

function causesOf(schema: CrdSchema, at: string): FieldCause[] {
  const value = structuredClone(schema.default);
  const wrapper: CrdSchema = { type: 'object', properties: { default: schema } };
  const dropped = isObject(value) || Array.isArray(value) ? prune({ default: value }, wrapper) : [];
  if (dropped.length > 0) return [invalid(at, schema.default, `must not have unknown fields: ${dropped.join(', ')}`)];
  applyDefaults(value, schema);
  const found = validatorOf(schema)(value);
  const causes = found.length > 0 ? found : ruleCausesOf(schema, value);
  return causes.map(cause => ({ ...cause, field: cause.field === '<nil>' ? at : `${at}.${cause.field}` }));
}
