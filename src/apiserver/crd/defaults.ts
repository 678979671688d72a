import { isObject } from '#base/json-object.ts';
import { type CrdSchema, schemaAt } from '#kinds/crd-schema.ts';

/**
 * Fills in the schema's defaults, in place. A null where the schema allows none counts as absent: it becomes the default, or goes.
 */
export function applyDefaults(value: unknown, schema: CrdSchema): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (!items) return;
    for (let i = 0; i < value.length; i++) {
      if (value[i] === null && !items.nullable && items.default !== undefined) value[i] = structuredClone(items.default);
      if (typeof value[i] === 'object') applyDefaults(value[i], items);
    }
    return;
  }
  if (!isObject(value)) return;
  const { properties } = schema;
  for (const key in properties) {
    const preset = properties[key]!.default;
    if (preset === undefined) continue;
    const given = Object.hasOwn(value, key) ? value[key] : undefined;
    if (given === undefined || (given === null && !properties[key]!.nullable)) value[key] = structuredClone(preset);
  }
  for (const key of Object.keys(value)) {
    const given = value[key];
    if (typeof given !== 'object') continue;
    const known = schemaAt(schema, key);
    if (!known) continue;
    if (given !== null) applyDefaults(given, known);
    else if (!known.nullable) {
      if (known.default === undefined) delete value[key];
      else value[key] = structuredClone(known.default);
    }
  }
}
