import type { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { Draft } from '#kinds/kind.ts';

/** The plainest definition of a custom resource there is: `boats.test.umiak.io`, without a field of its own. */
export const boats: Draft<CustomResourceDefinition> = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'boats.test.umiak.io' },
  spec: {
    group: 'test.umiak.io',
    scope: 'Namespaced',
    names: { plural: 'boats', kind: 'Boat' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};
