import type { CrdSchema } from '#kinds/crd-schema.ts';

const OBJECT_META = { allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }] };
const API_VERSION = 'APIVersion defines the versioned schema of this representation of an object.';
const KIND = 'Kind is a string value representing the REST resource this object represents.';

/** A version's schema as `/openapi/v3` publishes it: with what all resources have, and under its name for clients. */
export function toPublishedSchema(
  schema: CrdSchema | undefined,
  { group, version, kind }: { group: string; version: string; kind: string },
): object {
  const gvk = { 'x-kubernetes-group-version-kind': [{ group, version, kind }] };
  if (!schema) return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, ...gvk };
  return {
    ...schema,
    properties: {
      ...schema.properties,
      apiVersion: { type: 'string', description: API_VERSION },
      kind: { type: 'string', description: KIND },
      metadata: { ...OBJECT_META, description: "Standard object's metadata." },
    },
    ...gvk,
  };
}
