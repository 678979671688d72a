import { describedField, describedType, enumOf } from '#kinds/descriptions.ts';
import type { Kind } from '#kinds/kind.ts';
import { type Field, schemaData, type TypeData } from '#kinds/schema-data.ts';

/** The two versions of OpenAPI differ in where types stand, and in what may stand beside a reference. */
export type Dialect = 'v2' | 'v3';

const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
const EXTENSIONS = ['list-type', 'list-map-keys', 'map-type', 'patch-merge-key', 'patch-strategy'] as const;
const API_VERSION = 'The version of the schema that this object is written in, e.g. apps/v1.';
const KIND = 'The name of the type that this object has.';

/** Types of the schema that are written into documents, as seen from the kinds that are served. */
export function* typesFrom(names: Iterable<string>): Generator<string> {
  const seen = new Set<string>();
  const waiting = [...names];
  const follow = ({ ref, items, values }: Field): void => {
    if (ref) waiting.push(ref);
    if (items) follow(items);
    if (values) follow(values);
  };
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const type = schemaData().types[name];
    if (!type || seen.has(name)) continue;
    seen.add(name);
    yield name;
    for (const field of Object.values(type.fields ?? {})) follow(field);
  }
}

/** A named type of the schema. */
export function toTypeSchema(name: string, dialect: Dialect): object {
  const type = schemaData().types[name] as TypeData;
  const { fields, required, gvk } = type;
  const about = describedType(name);
  const own = { ...(about && { description: about }) };
  const groupVersionKind = gvk && { 'x-kubernetes-group-version-kind': gvk.map(toGvk) };
  if (!fields) return { ...own, ...toSchema(type as Field, dialect), ...groupVersionKind };
  const properties = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, toProperty(name, key, field, dialect)]));
  const mapType = type['map-type'] && { 'x-kubernetes-map-type': type['map-type'] };
  return { ...own, type: 'object', properties, ...(required && { required }), ...mapType, ...groupVersionKind };
}

/** The type of a kind's lists, which the schema does not name. */
export function toListSchema({ type, resource: { group, version, kind } }: Kind, dialect: Dialect): object {
  return {
    description: `A list of ${kind} objects.`,
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: { type: 'string', description: API_VERSION },
      kind: { type: 'string', description: KIND },
      metadata: refTo(LIST_META, dialect),
      items: { type: 'array', items: refTo(type, dialect) },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind: `${kind}List` }],
  };
}

export function listTypeOf(type: string): string {
  return `${type}List`;
}

/** A reference to a named type. */
export function refTo(name: string, dialect: Dialect): object {
  return dialect === 'v2' ? { $ref: `#/definitions/${name}` } : { allOf: [{ $ref: `#/components/schemas/${name}` }] };
}

/**
 * A custom resource's schema, which is written for v3, in the words that v2 has: unions and nulls are left to the server, and of what
 * keeps unknown fields at its root nothing is said, since clients would take the fields named for all.
 */
export function toV2Schema(schema: Record<string, unknown>): object {
  const { type, 'x-kubernetes-preserve-unknown-fields': isOpen, 'x-kubernetes-group-version-kind': gvk } = schema;
  return isOpen ? { type, 'x-kubernetes-group-version-kind': gvk } : toV2(schema);
}

function toV2(schema: Record<string, unknown>): Record<string, unknown> {
  const [only] = Array.isArray(schema.allOf) && schema.allOf.length === 1 ? (schema.allOf as { $ref?: string }[]) : [];
  if (only?.$ref) return { ...describedAs(schema), $ref: only.$ref.replace('#/components/schemas/', '#/definitions/') };
  const dropped = schema.nullable ? [...UNSAID, 'type', 'items', 'properties'] : UNSAID;
  const kept: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(schema)) {
    if (dropped.includes(key)) continue;
    if (key === 'properties') {
      kept[key] = Object.fromEntries(Object.entries(inner as object).map(([name, each]) => [name, toV2(each)]));
    } else if ((key === 'items' || key === 'additionalProperties') && typeof inner === 'object') kept[key] = toV2(inner as typeof kept);
    else kept[key] = inner;
  }
  if (!schema['x-kubernetes-embedded-resource'] || schema.nullable) return kept;
  return { ...kept, properties: { ...(kept.properties as object | undefined), ...EMBEDDED } };
}

/** Words that v2 does not have. */
const UNSAID = ['oneOf', 'anyOf', 'allOf', 'not', 'nullable'];

/** What every object within an object has. */
const EMBEDDED = {
  apiVersion: { type: 'string', description: API_VERSION },
  kind: { type: 'string', description: KIND },
  metadata: refTo('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta', 'v2'),
};

function describedAs({ description }: Record<string, unknown>): object {
  return description === undefined ? {} : { description };
}

function toProperty(type: string, key: string, field: Field, dialect: Dialect): object {
  const about = describedField(type, key) ?? (key === 'apiVersion' ? API_VERSION : key === 'kind' ? KIND : undefined);
  const values = enumOf(type, key);
  return { ...(about && { description: about }), ...toSchema(field, dialect), ...(values && { enum: values }) };
}

function toSchema(field: Field, dialect: Dialect): object {
  const extensions: Record<string, unknown> = {};
  for (const name of EXTENSIONS) if (field[name] !== undefined) extensions[`x-kubernetes-${name}`] = field[name];
  return { ...shapeOf(field, dialect), ...(field.default !== undefined && { default: field.default }), ...extensions };
}

function shapeOf({ type, format, ref, items, values }: Field, dialect: Dialect): object {
  if (ref) return refTo(ref, dialect);
  if (items) return { type: 'array', items: toSchema(items, dialect) };
  if (values) return { type: 'object', additionalProperties: toSchema(values, dialect) };
  if (type === 'int-or-string') {
    if (dialect === 'v2') return { type: 'string', ...(format && { format }) };
    return { ...(format && { format }), oneOf: [{ type: 'integer' }, { type: 'string' }] };
  }
  return { ...(type && { type }), ...(format && { format }) };
}

/** `apps/v1/Deployment` or `v1/Pod`. */
function toGvk(text: string): { group: string; version: string; kind: string } {
  const [kind = '', version = '', group = ''] = text.split('/').reverse();
  return { group, version, kind };
}
