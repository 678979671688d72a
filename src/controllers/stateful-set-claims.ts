import { jsonEqual } from '#kinds/json-equal.ts';
import type { Draft, KubeObject } from '#kinds/kind.ts';
import type { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Pod } from '#kinds/pod.ts';
import type { StatefulSet } from '#kinds/stateful-set.ts';
import type { OwnerReference } from '#kinds/types.gen.ts';

/** The claims of one member, one for each template. */
export function claimsOf(set: StatefulSet, ordinal: number): (Draft<PersistentVolumeClaim> & { metadata: { name: string } })[] {
  const { name, namespace } = set.metadata;
  return (set.spec.volumeClaimTemplates ?? []).map(({ metadata, spec }) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: `${metadata.name}-${name}-${ordinal}`,
      ...(namespace ? { namespace } : {}),
      labels: { ...metadata.labels, ...set.spec.selector.matchLabels },
      annotations: { ...metadata.annotations },
      ...(metadata.finalizers ? { finalizers: [...metadata.finalizers] } : {}),
    },
    spec: structuredClone(spec),
  }));
}

/**
 * Who must own a member's claim by `persistentVolumeClaimRetentionPolicy`, so that garbage collection removes it at the right time:
 * the set, the pod that is about to go, or nobody. Foreign owners stay. Undefined when it is so already. Pure.
 */
export function planClaimOwners(
  set: StatefulSet,
  pod: Pod,
  isCondemned: boolean,
  { metadata }: PersistentVolumeClaim,
): OwnerReference[] | undefined {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const present = metadata.ownerReferences ?? [];
  const foreign = present.filter(({ kind, name, uid }) => !isOf(set, uid) && !(kind === 'Pod' && name === pod.metadata.name));
  const owner =
    whenScaled === 'Delete' && isCondemned
      ? reference('v1', 'Pod', pod)
      : whenDeleted === 'Delete' && !(whenScaled === 'Delete' && isCondemned)
        ? reference('apps/v1', 'StatefulSet', set)
        : undefined;
  const wanted = owner ? [...foreign, owner] : foreign;
  return jsonEqual(wanted, present) ? undefined : wanted;
}

/** True when the claim still belongs to an earlier pod of the same name, and will go with it. */
export function isStaleClaim(pod: string, { metadata }: PersistentVolumeClaim): boolean {
  return (metadata.ownerReferences ?? []).some(({ kind, name }) => kind === 'Pod' && name === pod);
}

function isOf(object: KubeObject, uid: string): boolean {
  return object.metadata.uid === uid;
}

function reference(apiVersion: string, kind: string, { metadata: { name, uid } }: KubeObject): OwnerReference {
  return { apiVersion, kind, name, uid };
}
