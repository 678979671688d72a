import type { FieldCause } from '#base/errors.ts';
import { messageOf } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { forbidden, invalid, notSupported, required } from '#kinds/field-errors.ts';
import { expressions } from './expressions.ts';

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const UNSUPPORTED = ['$ref', 'additionalItems', 'definitions', 'dependencies', 'id', 'patternProperties'] as const;

/**
 * What may not stand in any schema of a definition, wherever it is nested: keywords that are not supported, or not together. Schema by
 * schema.
 */
export function* schemaCauses(schema: CrdSchema, at: string): Generator<FieldCause[]> {
  yield [...keywordCauses(schema, at), ...listTypeCauses(schema, at), ...mapTypeCauses(schema, at)];
  for (const [child, path] of childrenOf(schema, at)) yield* schemaCauses(child, path);
}

/** The schemas within a schema, each with its path. */
export function* childrenOf(schema: CrdSchema, at: string): Generator<[child: CrdSchema, at: string]> {
  const { properties = {}, items, additionalProperties, not } = schema;
  for (const [key, child] of Object.entries(properties)) yield [child, `${at}.properties[${key}]`];
  if (isObject(items)) yield [items, `${at}.items`];
  if (isObject(additionalProperties)) yield [additionalProperties as CrdSchema, `${at}.additionalProperties`];
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const)
    for (const [i, child] of (schema[key] ?? []).entries()) yield [child, `${at}.${key}[${i}]`];
  if (not) yield [not, `${at}.not`];
}

function keywordCauses(schema: CrdSchema, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const { type, uniqueItems, additionalProperties, properties, items, pattern } = schema;
  for (const key of UNSUPPORTED) {
    const value = (schema as Record<string, unknown>)[key];
    if (value !== undefined && value !== '') causes.push(forbidden(`${at}.${key}`, `${key} is not supported`));
  }
  if (type === 'null') causes.push(forbidden(`${at}.type`, 'type cannot be set to null, use nullable as an alternative'));
  else if (type && !TYPES.includes(type)) causes.push(notSupported(`${at}.type`, type, TYPES));
  if (uniqueItems)
    causes.push(forbidden(`${at}.uniqueItems`, 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic'));
  if (additionalProperties === false) causes.push(forbidden(`${at}.additionalProperties`, 'additionalProperties cannot be set to false'));
  else if (additionalProperties !== undefined && properties && Object.keys(properties).length > 0)
    causes.push(forbidden(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'));
  if (Array.isArray(items)) causes.push(forbidden(`${at}.items`, 'items must be a schema object and not an array'));
  if (schema['x-kubernetes-preserve-unknown-fields'] === false)
    causes.push(invalid(`${at}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'));
  if (pattern) causes.push(...patternCauses(pattern, `${at}.pattern`));
  return causes;
}

function patternCauses(pattern: string, field: string): FieldCause[] {
  try {
    expressions().regex(pattern);
    return [];
  } catch (error) {
    return [invalid(field, pattern, `must be a valid regular expression, but isn't: ${messageOf(error)}`)];
  }
}

function mapTypeCauses(schema: CrdSchema, at: string): FieldCause[] {
  const mapType = schema['x-kubernetes-map-type'];
  if (mapType === undefined) return [];
  const causes: FieldCause[] = [];
  if (schema.type !== 'object')
    causes.push(
      schema.type
        ? invalid(`${at}.type`, schema.type, 'must be object if x-kubernetes-map-type is specified')
        : required(`${at}.type`, 'must be object if x-kubernetes-map-type is specified'),
    );
  if (mapType !== 'atomic' && mapType !== 'granular')
    causes.push(notSupported(`${at}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']));
  return causes;
}

function listTypeCauses(schema: CrdSchema, at: string): FieldCause[] {
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const causes: FieldCause[] = [];
  if (keys.length > 0 && listType !== 'map') {
    const why = 'must be map if x-kubernetes-list-map-keys is non-empty';
    const field = `${at}.x-kubernetes-list-type`;
    causes.push(listType === undefined ? required(field, why) : invalid(field, listType, why));
  }
  if (listType === undefined) return causes;
  if (schema.type !== 'array') {
    const why = 'must be array if x-kubernetes-list-type is specified';
    causes.push(schema.type ? invalid(`${at}.type`, schema.type, why) : required(`${at}.type`, why));
  }
  if (!['atomic', 'set', 'map'].includes(listType))
    causes.push(notSupported(`${at}.x-kubernetes-list-type`, listType, ['atomic', 'map', 'set']));
  if (listType === 'set' && isObject(schema.items)) causes.push(...setItemCauses(schema.items, `${at}.items`));
  if (listType === 'map') causes.push(...mapItemCauses(schema.items, keys, at));
  return causes;
}

/** A set's elements are compared whole. */
function setItemCauses(items: CrdSchema, at: string): FieldCause[] {
  const causes: FieldCause[] = items.nullable ? [forbidden(`${at}.nullable`, 'cannot be nullable when x-kubernetes-list-type is set')] : [];
  if (items.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic')
    causes.push(
      invalid(
        `${at}.x-kubernetes-map-type`,
        items['x-kubernetes-map-type'] ?? null,
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    );
  if (items.type === 'array' && items['x-kubernetes-list-type'] !== undefined && items['x-kubernetes-list-type'] !== 'atomic')
    causes.push(
      invalid(
        `${at}.x-kubernetes-list-type`,
        items['x-kubernetes-list-type'],
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    );
  return causes;
}

/** A map's elements are objects with scalar keys that are always there. */
function mapItemCauses(items: CrdSchema | undefined, keys: readonly string[], at: string): FieldCause[] {
  const field = `${at}.x-kubernetes-list-map-keys`;
  const causes: FieldCause[] = keys.length === 0 ? [required(field, 'must not be empty if x-kubernetes-list-type is map')] : [];
  if (!isObject(items)) return [...causes, required(`${at}.items`, 'must have a schema if x-kubernetes-list-type is map')];
  const { type, nullable, properties = {}, required: needed = [] } = items as CrdSchema;
  if (type !== 'object')
    causes.push(invalid(`${at}.items.type`, type ?? '', "must be object if parent array's x-kubernetes-list-type is map"));
  if (nullable) causes.push(forbidden(`${at}.items.nullable`, 'cannot be nullable when x-kubernetes-list-type is map'));
  const seen = new Set<string>();
  keys.forEach((key, i) => {
    const schema = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const path = `${at}.items.properties[${key}]`;
    if (seen.has(key))
      causes.push({ reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(key)}`, field: `${field}[${i}]` });
    seen.add(key);
    if (!schema) causes.push(invalid(`${field}[${i}]`, key, 'entries must all be names of item properties'));
    else if (schema.type === 'array' || schema.type === 'object')
      causes.push(invalid(`${path}.type`, schema.type, "must be a scalar type if parent array's x-kubernetes-list-type is map"));
    else if (schema.nullable)
      causes.push(forbidden(`${path}.nullable`, 'must not be set as key of a list with x-kubernetes-list-type=map'));
    else if (!needed.includes(key) && schema.default === undefined)
      causes.push(
        required(`${path}.default`, 'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property'),
      );
  });
  return causes;
}
