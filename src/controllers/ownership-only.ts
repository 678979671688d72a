import type { KubeObject } from '#kinds/kind.ts';

/** An object's identity, owners and end: all that garbage collection looks at. */
export function ownershipOnly<T extends KubeObject>({ apiVersion, kind, metadata }: T): T {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, ownerReferences, finalizers } = metadata;
  const kept = {
    name,
    ...(namespace ? { namespace } : {}),
    uid,
    resourceVersion,
    creationTimestamp,
    ...(deletionTimestamp ? { deletionTimestamp } : {}),
    ...(ownerReferences ? { ownerReferences } : {}),
    ...(finalizers ? { finalizers } : {}),
  };
  return { apiVersion, kind, metadata: kept } as T;
}
