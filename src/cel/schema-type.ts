import { escapeField } from './names.ts';
import { BOOL, type CelField, type CelType, DOUBLE, INT, listOf, mapOf, type ObjectType } from './types.ts';

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
  default?: unknown;
  nullable?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
}

/** A request's largest body: what bounds a size that the schema leaves open. */
const REQUEST_BYTES = 3 * 1024 * 1024;
const META: CelSchema = { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } };
const SCALARS = new Set(['boolean', 'integer', 'number', 'string']);
let named = 0;

/**
 * The type of a schema's values; a resource's root also has `apiVersion`, `kind` and the names of `metadata`. What a schema does not
 * describe is not there for expressions: fields without a type, unknown fields that are preserved.
 */
export function typeOfSchema(schema: CelSchema, { isResource = false }: { isResource?: boolean } = {}): CelType {
  return sized(schema, isResource)?.type ?? { kind: 'dyn', maxSize: REQUEST_BYTES };
}

/** A type and the fewest bytes that a value of it takes, from which the most elements of a list follow. */
interface Sized {
  type: CelType;
  minBytes: number;
}

function sized(schema: CelSchema, isResource = schema['x-kubernetes-embedded-resource'] === true): Sized | undefined {
  if (schema['x-kubernetes-int-or-string']) return { type: { kind: 'dyn', maxSize: mostCharacters(schema) }, minBytes: 1 };
  switch (schema.type) {
    case 'array':
      return sizedList(schema);
    case 'object':
      return sizedObject(schema, isResource);
    case 'boolean':
      return { type: BOOL, minBytes: 4 };
    case 'integer':
      return { type: INT, minBytes: 1 };
    case 'number':
      return { type: DOUBLE, minBytes: 1 };
    case 'string':
      return sizedString(schema);
    default:
      return undefined;
  }
}

function sizedList(schema: CelSchema): Sized | undefined {
  const item = schema.items && sized(schema.items);
  if (!item) return undefined;
  return { type: listOf(item.type, schema.maxItems ?? Math.floor((REQUEST_BYTES - 2) / (item.minBytes + 1))), minBytes: 2 };
}

function sizedString(schema: CelSchema): Sized {
  switch (schema.format) {
    case 'byte':
      return { type: { kind: 'bytes', maxSize: schema.maxLength ?? REQUEST_BYTES - 2 }, minBytes: 2 };
    case 'duration':
      return { type: { kind: 'duration', maxSize: 32 }, minBytes: 4 };
    case 'date':
      return { type: { kind: 'timestamp', maxSize: 12 }, minBytes: 12 };
    case 'date-time':
      return { type: { kind: 'timestamp', maxSize: 29 }, minBytes: 22 };
    default:
      return { type: { kind: 'string', maxSize: mostCharacters(schema) }, minBytes: 2 };
  }
}

/** In bytes, of which a character may take four. */
function mostCharacters({ maxLength, enum: values = [] }: CelSchema): number {
  if (maxLength !== undefined) return maxLength * 4;
  return values.length > 0 ? Math.max(...values.map(value => String(value).length)) : REQUEST_BYTES - 2;
}

/** Most fields are never asked for: their types are made when they are. */
class SchemaField implements CelField {
  readonly property: string;
  readonly #schema: CelSchema;
  #type: CelType | undefined;
  constructor(property: string, schema: CelSchema) {
    this.property = property;
    this.#schema = schema;
  }
  get type(): CelType {
    this.#type ??= sized(this.#schema)!.type;
    return this.#type;
  }
}

/** Whether `sized` gives a type. */
function isTyped(schema: CelSchema): boolean {
  if (schema['x-kubernetes-int-or-string']) return true;
  if (schema.type === 'array') return schema.items !== undefined && isTyped(schema.items);
  if (schema.type !== 'object') return SCALARS.has(schema.type ?? '');
  return typeof schema.additionalProperties !== 'object' || isTyped(schema.additionalProperties);
}

function sizedObject(schema: CelSchema, isResource: boolean): Sized | undefined {
  if (typeof schema.additionalProperties === 'object') {
    const value = sized(schema.additionalProperties);
    if (!value) return undefined;
    const most = schema.maxProperties ?? Math.floor((REQUEST_BYTES - 2) / (value.minBytes + 6));
    // A map's keys cost nothing, whatever their length: upstream's estimation knows of none.
    return { type: mapOf({ kind: 'string', maxSize: 0 }, value.type, most), minBytes: 2 };
  }
  const properties = isResource
    ? { ...schema.properties, apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: META }
    : (schema.properties ?? {});
  const fields = new Map<string, CelField>();
  let minBytes = 2;
  for (const property of new Set(schema.required)) {
    const of = Object.hasOwn(properties, property) ? properties[property] : undefined;
    const field = of && of.default === undefined ? sized(of) : undefined;
    if (field) minBytes += property.length + 4 + field.minBytes;
  }
  for (const [property, of] of Object.entries<CelSchema>(properties)) {
    const name = isTyped(of) ? escapeField(property) : undefined;
    if (name !== undefined) fields.set(name, new SchemaField(property, of));
  }
  const type: ObjectType = { kind: 'object', name: `object#${++named}`, fields };
  return { type, minBytes };
}
