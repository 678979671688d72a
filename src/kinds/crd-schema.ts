import type { JSONSchemaProps } from './types.gen.ts';

/** A schema of a CustomResourceDefinition: `JSONSchemaProps` as the structural rules leave it (one `items`, no `$ref`). */
export interface CrdSchema
  extends Omit<
    JSONSchemaProps,
    'items' | 'additionalProperties' | 'properties' | 'allOf' | 'anyOf' | 'oneOf' | 'not' | 'definitions' | 'patternProperties'
  > {
  items?: CrdSchema | undefined;
  additionalProperties?: CrdSchema | boolean | undefined;
  properties?: Record<string, CrdSchema> | undefined;
  allOf?: CrdSchema[] | undefined;
  anyOf?: CrdSchema[] | undefined;
  oneOf?: CrdSchema[] | undefined;
  not?: CrdSchema | undefined;
}

/** The schema that stands for property `key` of an object of this schema; undefined: nothing is known of it. */
export function schemaAt({ properties, additionalProperties }: CrdSchema, key: string): CrdSchema | undefined {
  if (properties && Object.hasOwn(properties, key)) return properties[key];
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

/** What an embedded resource (and the whole object) has besides its schema's properties. */
export const RESOURCE_FIELDS: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);
