import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { forbidden, invalid, required } from '#kinds/field-errors.ts';

type Level = 'root' | 'item' | 'field';

/**
 * Whether a schema is structural: every part of a value has one schema that names its type; `allOf`, `anyOf`, `oneOf` and `not` only
 * judge values, and only those that the schema itself describes. Schema by schema.
 */
export function structuralCauses(schema: CrdSchema, at: string): Generator<FieldCause[]> {
  return levelCauses(schema, 'root', at);
}

function* levelCauses(schema: CrdSchema, level: Level, at: string): Generator<FieldCause[]> {
  const { properties = {}, items, additionalProperties } = schema;
  yield [...typeCauses(schema, level, at), ...extensionCauses(schema, at), ...resourceCauses(schema, level, at)];
  for (const [key, child] of Object.entries(properties)) yield* levelCauses(child, 'field', `${at}.properties[${key}]`);
  if (isObject(items)) yield* levelCauses(items, 'item', `${at}.items`);
  if (isObject(additionalProperties)) yield* levelCauses(additionalProperties as CrdSchema, 'field', `${at}.additionalProperties`);
  for (const [child, path] of judgesOf(schema, at)) {
    if (!isIntOrString(schema, child)) yield judgeCauses(child, path);
    yield coverCauses(child, schema, path, at);
  }
}

function typeCauses({ type, ...schema }: CrdSchema, level: Level, at: string): FieldCause[] {
  const field = `${at}.type`;
  if (level === 'root') {
    if (!type) return [required(field, 'must not be empty at the root')];
    return type === 'object' ? [] : [invalid(field, type, 'must be object at the root')];
  }
  if (type) {
    return schema['x-kubernetes-int-or-string'] ? [invalid(field, type, 'must be empty if x-kubernetes-int-or-string is true')] : [];
  }
  if (schema['x-kubernetes-int-or-string'] || schema['x-kubernetes-preserve-unknown-fields']) return [];
  return [required(field, `must not be empty for specified ${level === 'item' ? 'array items' : 'object fields'}`)];
}

function extensionCauses(schema: CrdSchema, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (schema['x-kubernetes-int-or-string'])
    for (const key of ['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource'] as const)
      if (schema[key]) causes.push(invalid(`${at}.${key}`, true, 'must be false if x-kubernetes-int-or-string is true'));
  if (schema['x-kubernetes-embedded-resource']) {
    if (schema.type !== 'object')
      causes.push(invalid(`${at}.type`, schema.type ?? '', 'must be object if x-kubernetes-embedded-resource is true'));
    if (schema.additionalProperties !== undefined)
      causes.push(forbidden(`${at}.additionalProperties`, 'must not be used if x-kubernetes-embedded-resource is set'));
    if (!schema['x-kubernetes-preserve-unknown-fields'] && Object.keys(schema.properties ?? {}).length === 0)
      causes.push(
        required(
          `${at}.properties`,
          'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
        ),
      );
  }
  return causes;
}

/** Of a resource's own fields a schema says no more than that names have some form. */
function resourceCauses(schema: CrdSchema, level: Level, at: string): FieldCause[] {
  if (level !== 'root' && !schema['x-kubernetes-embedded-resource']) return [];
  const causes: FieldCause[] = [];
  for (const key of ['apiVersion', 'kind']) {
    const type = schema.properties?.[key]?.type;
    if (schema.properties?.[key] && type !== 'string') causes.push(invalid(`${at}.properties[${key}].type`, type ?? '', 'must be string'));
  }
  const metadata = schema.properties?.metadata;
  if (!metadata) return causes;
  const path = `${at}.properties[metadata]`;
  if (metadata.type !== 'object') causes.push(invalid(`${path}.type`, metadata.type ?? '', 'must be object'));
  if (level === 'root' && Object.keys(metadata.properties ?? {}).some(key => key !== 'name' && key !== 'generateName'))
    causes.push(forbidden(path, 'must not specify anything other than name and generateName, but metadata is implicitly specified'));
  if (metadata.default !== undefined) causes.push(forbidden(`${path}.default`, 'must not be set in the metadata of a resource'));
  return causes;
}

function* judgesOf(schema: CrdSchema, at: string): Generator<[CrdSchema, string]> {
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const)
    for (const [i, child] of (schema[key] ?? []).entries()) yield [child, `${at}.${key}[${i}]`];
  if (schema.not) yield [schema.not, `${at}.not`];
}

/** `anyOf: [{type: integer}, {type: string}]` beside x-kubernetes-int-or-string is the one type that may stand there, also within an allOf. */
function isIntOrString(schema: CrdSchema, child: CrdSchema): boolean {
  if (!schema['x-kubernetes-int-or-string']) return false;
  const isPair = ({ anyOf }: CrdSchema) => anyOf?.length === 2 && anyOf[0]?.type === 'integer' && anyOf[1]?.type === 'string';
  return (schema.anyOf?.includes(child) === true && isPair(schema)) || isPair(child);
}

const SILENT = ['default', 'description', 'title', 'type', 'nullable', 'additionalProperties'] as const;
const EXTENSIONS = [
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-list-type',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
] as const;
const SILENCE: Record<string, string> = { default: 'undefined', nullable: 'false', additionalProperties: 'undefined' };

/** What a schema that only judges may not say. */
function judgeCauses(schema: CrdSchema, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of SILENT)
    if (schema[key] !== undefined && schema[key] !== '' && schema[key] !== false)
      causes.push(forbidden(`${at}.${key}`, `must be ${SILENCE[key] ?? 'empty'} to be structural`));
  for (const key of EXTENSIONS) {
    const value = schema[key];
    if (value === undefined || value === false) continue;
    causes.push(
      forbidden(
        `${at}.${key}`,
        `must be ${typeof value === 'boolean' ? 'false' : Array.isArray(value) ? 'empty' : 'undefined'} to be structural`,
      ),
    );
  }
  if (schema.properties?.metadata && at.split('properties').length === 1)
    causes.push(forbidden(`${at}.properties[metadata]`, 'must not be specified in a nested context'));
  for (const [key, child] of Object.entries(schema.properties ?? {})) causes.push(...judgeCauses(child, `${at}.properties[${key}]`));
  if (isObject(schema.items)) causes.push(...judgeCauses(schema.items, `${at}.items`));
  for (const [child, path] of judgesOf(schema, at)) causes.push(...judgeCauses(child, path));
  return causes;
}

/** What a judging schema speaks of must be described by the schema that it stands in. */
function coverCauses(judge: CrdSchema, schema: CrdSchema | undefined, at: string, schemaAt: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [key, child] of Object.entries(judge.properties ?? {})) {
    const path = `${at}.properties[${key}]`;
    const { properties, additionalProperties } = schema ?? {};
    const described = properties && Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (described) causes.push(...coverCauses(child, described, path, `${schemaAt}.properties[${key}]`));
    else if (isObject(additionalProperties))
      causes.push(...coverCauses(child, additionalProperties as CrdSchema, path, `${schemaAt}.additionalProperties`));
    else causes.push(required(`${schemaAt}.properties[${key}]`, `because it is defined in ${path}`));
  }
  if (isObject(judge.items)) {
    if (isObject(schema?.items)) causes.push(...coverCauses(judge.items, schema.items, `${at}.items`, `${schemaAt}.items`));
    else causes.push(required(`${schemaAt}.items`, `because it is defined in ${at}.items`));
  }
  return causes;
}
