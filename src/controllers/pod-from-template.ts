import type { Draft, Kind, KubeObject } from '#kinds/kind.ts';
import type { Pod } from '#kinds/pod.ts';
import type { PodTemplateSpec } from '#kinds/types.gen.ts';
import { ownerReferenceTo } from './claim.ts';

/** A pod as a workload's template describes it, owned by the workload and named after it by the server; the caller's own to change. */
export function podFromTemplate(ownerKind: Kind, owner: KubeObject, { metadata, spec }: PodTemplateSpec): PodDraft {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${owner.metadata.name}-`,
      ...(owner.metadata.namespace ? { namespace: owner.metadata.namespace } : {}),
      labels: { ...metadata?.labels },
      annotations: { ...metadata?.annotations },
      ...(metadata?.finalizers ? { finalizers: [...metadata.finalizers] } : {}),
      ownerReferences: [ownerReferenceTo(ownerKind, owner)],
    },
    spec: structuredClone(spec),
  };
}

/** A pod to be created, whose labels and annotations may be added to. */
export type PodDraft = Draft<Pod> & { metadata: { labels: Record<string, string>; annotations: Record<string, string> } };
