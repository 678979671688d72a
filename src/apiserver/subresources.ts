import type { Kind, KubeObject } from '#kinds/kind.ts';
import type { Pod } from '#kinds/pod.ts';
import { resizedSpec } from '#kinds/pod-resize.ts';
import type { Stored } from './resources.ts';

type Loose = KubeObject & Record<string, unknown>;

/** Kinds of which `status` writes the status alone; with the others labels and annotations come along, as upstream has it. */
const STATUS_IS_ALONE = new Set([
  'CustomResourceDefinition',
  'FlowSchema',
  'PriorityLevelConfiguration',
  'ResourceClaim',
  'ServiceCIDR',
  'ValidatingAdmissionPolicy',
  'VolumeAttachment',
]);

/** Whether a write of the status leaves labels and annotations as they are. */
export function isStatusAlone(kind: Kind): boolean {
  return kind.openApi !== undefined || STATUS_IS_ALONE.has(kind.resource.kind);
}

/** The object that an update through a subresource makes: all of `old` but for what that subresource is for. */
export function prepareSubresource(subresource: string, { storedKind }: Stored, object: KubeObject, old: KubeObject): KubeObject {
  // A status comes often, and leaves everything else as it is.
  const result = (subresource === 'status' ? { ...old, metadata: { ...old.metadata } } : structuredClone(old)) as Loose;
  switch (subresource) {
    case 'status': {
      result.status = (object as Loose).status;
      if (!isStatusAlone(storedKind)) {
        setOrDelete(result.metadata, 'labels', object.metadata.labels);
        setOrDelete(result.metadata, 'annotations', object.metadata.annotations);
      }
      storedKind.prepareForStatusUpdate?.(result, old);
      return result;
    }
    case 'finalize': {
      const { finalizers } = ((object as Loose).spec ?? {}) as { finalizers?: string[] };
      const spec = { ...(result.spec as object) } as { finalizers?: string[] };
      setOrDelete(spec, 'finalizers', finalizers?.length ? finalizers : undefined);
      result.spec = spec;
      setOrDelete(result.metadata, 'finalizers', object.metadata.finalizers);
      return result;
    }
    case 'approval': {
      const conditions = ((object as Loose).status as { conditions?: unknown[] } | undefined)?.conditions;
      result.status = { ...(result.status as object), conditions };
      setOrDelete(result.metadata, 'labels', object.metadata.labels);
      setOrDelete(result.metadata, 'annotations', object.metadata.annotations);
      return result;
    }
    case 'ephemeralcontainers':
      setOrDelete((result as KubeObject as Pod).spec, 'ephemeralContainers', (object as Pod).spec.ephemeralContainers);
      return result;
    case 'resize':
      result.spec = resizedSpec((object as Pod).spec, (result as KubeObject as Pod).spec);
      return result;
    case 'binding':
      return object;
    default:
      return result;
  }
}

function setOrDelete<T extends object, K extends keyof T>(target: T, field: K, value: T[K] | undefined): void {
  if (value === undefined) delete target[field];
  else target[field] = value;
}
