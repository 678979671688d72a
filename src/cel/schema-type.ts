import { escapeField } from './names.ts';
import { BOOL, BYTES, type CelField, type CelType, DOUBLE, DURATION, INT, listOf, mapOf, type ObjectType, TIMESTAMP } from './types.ts';

/** The parts of a structural OpenAPI schema that give a value its type. */
export interface CelSchema {
  type?: string;
  format?: string;
  properties?: Record<string, CelSchema>;
  items?: CelSchema;
  additionalProperties?: CelSchema | boolean;
  required?: readonly string[];
  enum?: readonly unknown[];
  maxLength?: number;
  maxItems?: number;
  maxProperties?: number;
  nullable?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
}

/** A request's largest body: what bounds a size that the schema leaves open. */
const REQUEST_BYTES = 3 * 1024 * 1024;
const META: CelSchema = { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } };
let named = 0;

/** The type of a schema's values; a resource's root also has `apiVersion`, `kind` and the names of `metadata`. */
export function typeOfSchema(schema: CelSchema, { isResource = false }: { isResource?: boolean } = {}): CelType {
  return sized(schema, isResource).type;
}

/** A type and the fewest bytes that a value of it takes, from which the most elements of a list follow. */
interface Sized {
  type: CelType;
  minBytes: number;
}

function sized(schema: CelSchema, isResource: boolean): Sized {
  if (schema['x-kubernetes-int-or-string']) return { type: { kind: 'dyn', maxSize: REQUEST_BYTES - 2 }, minBytes: 1 };
  switch (schema.type) {
    case 'array':
      return sizedList(schema);
    case 'object':
      return sizedObject(schema, isResource || schema['x-kubernetes-embedded-resource'] === true);
    case 'boolean':
      return { type: BOOL, minBytes: 4 };
    case 'integer':
      return { type: INT, minBytes: 1 };
    case 'number':
      return { type: DOUBLE, minBytes: 1 };
    case 'string':
      return sizedString(schema);
    default:
      return { type: { kind: 'dyn', maxSize: REQUEST_BYTES }, minBytes: 1 };
  }
}

function sizedList(schema: CelSchema): Sized {
  const item: Sized = schema.items ? sized(schema.items, false) : { type: { kind: 'dyn' }, minBytes: 1 };
  return { type: listOf(item.type, schema.maxItems ?? Math.floor((REQUEST_BYTES - 2) / (item.minBytes + 1))), minBytes: 2 };
}

function sizedString(schema: CelSchema): Sized {
  switch (schema.format) {
    case 'byte':
      return { type: { ...BYTES, maxSize: schema.maxLength ?? REQUEST_BYTES - 2 }, minBytes: 2 };
    case 'duration':
      return { type: { ...DURATION, maxSize: schema.maxLength ?? REQUEST_BYTES }, minBytes: 4 };
    case 'date':
      return { type: { ...TIMESTAMP, maxSize: 10 }, minBytes: 12 };
    case 'date-time':
      return { type: { ...TIMESTAMP, maxSize: 30 }, minBytes: 22 };
  }
  const longest = schema.enum?.reduce<number>((most, value) => Math.max(most, String(value).length), 0);
  const maxSize = schema.maxLength === undefined ? (longest ?? REQUEST_BYTES - 2) : schema.maxLength * 4;
  return { type: { kind: 'string', maxSize }, minBytes: 2 };
}

function sizedObject(schema: CelSchema, isResource: boolean): Sized {
  const values = schema.additionalProperties;
  if (values && !schema.properties) {
    const value: Sized = values === true ? { type: { kind: 'dyn' }, minBytes: 1 } : sized(values, false);
    const most = schema.maxProperties ?? Math.floor((REQUEST_BYTES - 2) / (value.minBytes + 6));
    return { type: mapOf({ kind: 'string', maxSize: REQUEST_BYTES }, value.type, most), minBytes: 2 };
  }
  if (!schema.properties && !isResource && schema['x-kubernetes-preserve-unknown-fields'])
    return { type: { kind: 'dyn', maxSize: REQUEST_BYTES }, minBytes: 2 };
  const properties = isResource
    ? { ...schema.properties, apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: META }
    : (schema.properties ?? {});
  const fields = new Map<string, CelField>();
  let minBytes = 2;
  for (const [property, of] of Object.entries<CelSchema>(properties)) {
    const field = sized(of, false);
    if (schema.required?.includes(property)) minBytes += property.length + 4 + field.minBytes;
    const name = escapeField(property);
    if (name !== undefined) fields.set(name, { property, type: field.type });
  }
  const type: ObjectType = { kind: 'object', name: `object#${++named}`, fields };
  return { type, minBytes };
}
