import type { CrdSchema } from './crd-schema.ts';
import type { Field, TypeData } from './schema-data.ts';

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** A custom resource's schema in the words of the built-in kinds' types: which of its lists are maps or sets, for server-side apply. */
export function toTypeData(schema: CrdSchema | undefined): TypeData {
  const fields: Record<string, Field> = {
    ...fieldsIn(schema),
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { ref: OBJECT_META },
  };
  return { fields, ...openness(schema), ...(schema?.required && { required: schema.required }) };
}

/** Whether fields that the schema does not name are kept. */
function openness(schema: CrdSchema | undefined): Pick<TypeData, 'x-kubernetes-preserve-unknown-fields'> {
  const isOpen = !schema || schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true;
  return isOpen ? { 'x-kubernetes-preserve-unknown-fields': true } : {};
}

function fieldsIn(schema: CrdSchema | undefined): Record<string, Field> {
  const fields: Record<string, Field> = {};
  for (const [key, value] of Object.entries(schema?.properties ?? {}))
    fields[key] = { ...toField(value), ...(value.default !== undefined && { default: value.default }) };
  return fields;
}

function toField(schema: CrdSchema): Field {
  const { type, format, items, additionalProperties } = schema;
  if (schema['x-kubernetes-int-or-string']) return { type: 'int-or-string' };
  switch (type) {
    case 'array': {
      const keys = schema['x-kubernetes-list-map-keys'];
      const listType = schema['x-kubernetes-list-type'] as Field['list-type'];
      return {
        type: 'array',
        ...(items && { items: toField(items) }),
        ...(listType && { 'list-type': listType }),
        ...(keys && { 'list-map-keys': keys }),
      };
    }
    case 'object': {
      const mapType = schema['x-kubernetes-map-type'] as Field['map-type'];
      const shape = { ...(mapType && { 'map-type': mapType }), ...openness(schema) };
      if (typeof additionalProperties === 'object') return { type: 'map', values: toField(additionalProperties), ...shape };
      if (schema['x-kubernetes-embedded-resource']) return { type: 'object', fields: toTypeData(schema).fields ?? {}, ...shape };
      return { type: 'object', ...(schema.properties && { fields: fieldsIn(schema) }), ...shape };
    }
    case 'string':
    case 'boolean':
    case 'number':
      return { type };
    case 'integer':
      return { type, ...(format === 'int32' || format === 'int64' ? { format } : {}) };
    default:
      return {};
  }
}
