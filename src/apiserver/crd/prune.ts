import { isObject, type JsonObject } from '#base/json-object.ts';
import { type CrdSchema, RESOURCE_FIELDS, schemaAt } from '#kinds/crd-schema.ts';

/** Takes away what the schema doesn't know, in place; gives the paths of what went. A resource's own fields are left alone. */
export function prune(value: JsonObject, schema: CrdSchema): string[] {
  const dropped: string[] = [];
  pruneObject(value, schema, '', true, dropped);
  return dropped;
}

const MOST_REPORTED = 100;

function pruneValue(value: unknown, schema: CrdSchema, path: string, dropped: string[]): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items) value.forEach((item, i) => void (typeof item === 'object' && pruneValue(item, items, `${path}[${i}]`, dropped)));
  } else if (isObject(value)) pruneObject(value, schema, path, schema['x-kubernetes-embedded-resource'] === true, dropped);
}

function pruneObject(value: JsonObject, schema: CrdSchema, path: string, isResource: boolean, dropped: string[]): void {
  const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true;
  for (const key of Object.keys(value)) {
    if (isResource && RESOURCE_FIELDS.has(key)) continue;
    const known = schemaAt(schema, key);
    const here = typeof value[key] === 'object' || !known ? (path ? `${path}.${key}` : key) : '';
    if (known) pruneValue(value[key], known, here, dropped);
    else if (!keepsUnknown) {
      if (dropped.length < MOST_REPORTED) dropped.push(here);
      delete value[key];
    }
  }
}
