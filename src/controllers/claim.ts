import { matchesLabels, requirementsOf } from '#base/index.ts';
import type { ReconcileClient } from '#client/index.ts';
import { apiVersionOf, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { LabelSelector } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';

export interface Claim<T extends KubeObject> {
  owner: KubeObject;
  ownerKind: Kind;
  /** What is claimed. */
  kind: Kind<T>;
  selector: LabelSelector;
  /** Which ownerless objects are worth adopting; default all. */
  adoptable?: (object: T) => boolean;
}

/**
 * What is the owner's: its own objects that its selector still means (others are released), and ownerless ones that it means, adopted.
 * Before it adopts it asks the API whether the owner is still there to own: one that is being orphaned must not take its dependents back.
 */
export async function claim<T extends KubeObject>(
  client: ReconcileClient,
  { owner, ownerKind, kind, selector, adoptable = () => true }: Claim<T>,
): Promise<T[]> {
  const requirements = requirementsOf(selector);
  const { namespace, uid } = owner.metadata;
  const claimed: T[] = [];
  for (const object of client.listOwned(kind, owner)) {
    if (object.metadata.deletionTimestamp || matchesLabels(requirements, object.metadata.labels)) claimed.push(object);
    else {
      const others = (object.metadata.ownerReferences ?? []).filter(reference => reference.uid !== uid);
      await setOwners(client, kind, object, others);
    }
  }
  const orphans = client
    .cached(kind)
    .ownedBy('')
    .filter(
      ({ metadata }) => metadata.namespace === namespace && !metadata.deletionTimestamp && matchesLabels(requirements, metadata.labels),
    )
    .filter(adoptable);
  if (orphans.length === 0) return claimed;
  const live = await client.getLive(ownerKind, owner.metadata);
  if (live?.metadata.uid !== uid || live.metadata.deletionTimestamp) return claimed;
  for (const orphan of orphans) {
    const owners = [...(orphan.metadata.ownerReferences ?? []), ownerReferenceTo(ownerKind, owner)];
    const adopted = await setOwners(client, kind, orphan, owners);
    if (adopted) claimed.push(adopted);
  }
  return claimed;
}

/** The reference by which `owner` controls. */
export function ownerReferenceTo({ resource }: Kind, { metadata: { name, uid } }: KubeObject) {
  return { apiVersion: apiVersionOf(resource), kind: resource.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Undefined when the object is gone. @throws `Conflict` when it is not as the picture shows it. */
function setOwners<T extends KubeObject>(
  client: ReconcileClient,
  kind: Kind<T>,
  { metadata }: T,
  ownerReferences: object[],
): Promise<T | undefined> {
  const { uid, resourceVersion } = metadata;
  return ignoreAbsent(client.patch(kind, metadata, { metadata: { uid, resourceVersion, ownerReferences } }, { type: 'merge' }));
}
