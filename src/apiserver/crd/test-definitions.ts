import type { CrdSchema } from '#kinds/crd-schema.ts';

/** A definition of `crontabs.GROUP` with one version `v1` of this schema; `version` adds to it. */
export function definition(group: string, schema: CrdSchema, version: object = {}, spec: object = {}): CustomDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `crontabs.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'] },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema }, ...version }],
      ...spec,
    },
  };
}

/** What tests send as a definition. */
export interface CustomDefinition {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: Record<string, unknown> & { versions: object[] };
}

/** The definition of the documentation's example. */
export function crontabs(group: string): CustomDefinition {
  const properties: Record<string, CrdSchema> = {
    cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' },
    image: { type: 'string' },
    replicas: { type: 'integer', minimum: 1, maximum: 10, default: 1 },
  };
  return definition(
    group,
    { type: 'object', properties: { spec: { type: 'object', required: ['cronSpec'], properties } } },
    {
      additionalPrinterColumns: [
        { name: 'Spec', type: 'string', jsonPath: '.spec.cronSpec' },
        { name: 'Replicas', type: 'integer', jsonPath: '.spec.replicas' },
      ],
    },
  );
}
