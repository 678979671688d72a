import { isObject } from '#base/json-object.ts';
import { type CrdSchema, schemaAt } from '#kinds/crd-schema.ts';
import { checkEmbeddedMetadata } from '#kinds/schema.ts';
import type { Path } from './field-path.ts';

const withEmbedded = new WeakMap<CrdSchema, boolean>();

/** Puts the metadata of resources within a resource in form; gives the sentences about unknown fields there. @throws `BadRequest` */
export function checkEmbedded(value: unknown, schema: CrdSchema, gvk: { version: string; kind: string }, path: Path = []): string[] {
  if (!hasEmbedded(schema)) return [];
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? value.flatMap((item, i) => checkEmbedded(item, items, gvk, [...path, i])) : [];
  }
  if (!isObject(value)) return [];
  const own = schema['x-kubernetes-embedded-resource'] && isObject(value.metadata) ? checkEmbeddedMetadata(value, path, gvk) : [];
  const below = Object.keys(value).flatMap(key => {
    const known = schemaAt(schema, key);
    return known ? checkEmbedded(value[key], known, gvk, [...path, key]) : [];
  });
  return [...own, ...below];
}

/** Whether a resource can stand in a value of this schema. */
function hasEmbedded(schema: CrdSchema): boolean {
  const known = withEmbedded.get(schema);
  if (known !== undefined) return known;
  const { properties = {}, items, additionalProperties } = schema;
  const found =
    schema['x-kubernetes-embedded-resource'] === true ||
    Object.values(properties).some(hasEmbedded) ||
    (items !== undefined && hasEmbedded(items)) ||
    (typeof additionalProperties === 'object' && hasEmbedded(additionalProperties));
  withEmbedded.set(schema, found);
  return found;
}
