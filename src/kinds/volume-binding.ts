/** The rules by which claims and volumes come together, for the binder and the scheduler alike. All functions are pure. */
import { selectorMatches } from '#base/label-selector.ts';
import { compareQuantities } from '#base/quantity.ts';
import { matchesNodeSelector } from './node-affinity.ts';
import { type PersistentVolume, volumeClassOf } from './persistent-volume.ts';
import { claimClassOf, type PersistentVolumeClaim } from './persistent-volume-claim.ts';
import type { Node, Pod, Quantity, StorageClass } from './types.gen.ts';

/** On a claim and its volume, once all writes that bind them are made. */
export const BIND_COMPLETED = 'pv.kubernetes.io/bind-completed';
/** On a claim or volume whose reference to the other was set by the binder, who so may take it away. */
export const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller';
/** On a volume: who made it, and so removes it. */
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
/** On a claim that waited for its first consumer: the node that the scheduler chose for it. */
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** On a claim: who is to make its volume. */
export const STORAGE_PROVISIONER = 'volume.kubernetes.io/storage-provisioner';

/** The class of volumes that are made by hand alone. */
export const NO_PROVISIONER = 'kubernetes.io/no-provisioner';

/** True when claims of the class are bound only once a pod that uses them has its node. */
export function waitsForConsumer(storageClass: StorageClass | undefined): boolean {
  return storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
}

/** True once the binding is complete and the volume is the claim's alone. */
export function isClaimBound({ metadata, spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec.volumeName) && metadata.annotations?.[BIND_COMPLETED] !== undefined;
}

/** True when the volume is kept for this claim: by name, and by UID where it has one. */
export function isKeptFor({ spec: { claimRef } }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  if (!claimRef || claimRef.name !== metadata.name || claimRef.namespace !== metadata.namespace) return false;
  return !claimRef.uid || claimRef.uid === metadata.uid;
}

/** Why the volume can't be the claim's, in the words of events; undefined: it can. */
export function mismatchOf(claim: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  const { volumeMode = 'Filesystem' } = claim.spec;
  if (compareQuantities(sizeOf(volume), requestOf(claim)) < 0) return 'requested PV is too small';
  if (volumeClassOf(volume) !== claimClassOf(claim)) return 'storageClassName does not match';
  if ((volume.spec.volumeMode ?? 'Filesystem') !== volumeMode) return 'incompatible volumeMode';
  if (!offersModes(volume, claim)) return 'incompatible accessMode';
  if ((claim.spec.volumeAttributesClassName ?? '') !== (volume.spec.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match';
  return undefined;
}

/** True when pods on the node can reach the volume. */
export function isReachableFrom(node: Node, { spec: { nodeAffinity } }: PersistentVolume): boolean {
  return nodeAffinity?.required === undefined || matchesNodeSelector(nodeAffinity.required, node);
}

/**
 * The volume that is kept for the claim, or the one that fits best: of those that offer what is asked for, the one with the fewest
 * access modes besides, and of these the smallest. Free volumes are looked at only if `mayTakeFree`; with `node`, only those that are
 * reachable from there.
 */
export function matchVolume(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
  { node, mayTakeFree = true }: { node?: Node | undefined; mayTakeFree?: boolean } = {},
): PersistentVolume | undefined {
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    const { claimRef } = volume.spec;
    if (claimRef ? !isKeptFor(volume, claim) : !mayTakeFree) continue;
    if (!claimRef && (volume.status?.phase !== 'Available' || volume.metadata.deletionTimestamp)) continue;
    if (volumeClassOf(volume) !== claimClassOf(claim) || mismatchOf(claim, volume) !== undefined) continue;
    if (claimRef) return volume;
    if (node && !isReachableFrom(node, volume)) continue;
    if (claim.spec.selector && !selectorMatches(claim.spec.selector, volume.metadata.labels)) continue;
    if (!best || compareFit(volume, best) < 0) best = volume;
  }
  return best;
}

function compareFit(a: PersistentVolume, b: PersistentVolume): number {
  const modes = (a.spec.accessModes?.length ?? 0) - (b.spec.accessModes?.length ?? 0);
  return modes || compareQuantities(sizeOf(a), sizeOf(b)) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

function offersModes({ spec }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (claim.spec.accessModes ?? []).every(mode => spec.accessModes?.includes(mode));
}

/** How much storage the volume has. */
export function sizeOf({ spec }: PersistentVolume): Quantity {
  return spec.capacity?.storage ?? 0;
}

/** How much storage the claim asks for. */
export function requestOf({ spec }: PersistentVolumeClaim): Quantity {
  return spec.resources?.requests?.storage ?? 0;
}

/** The names of the claims that a pod uses; those of its ephemeral volumes bear the pod's own name and the volume's. */
export function claimNamesOf({ metadata, spec }: Pick<Pod, 'metadata' | 'spec'>): string[] {
  return (spec.volumes ?? []).flatMap(volume => {
    const name = volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral ? ephemeralClaimName(metadata.name, volume.name) : undefined);
    return name ? [name] : [];
  });
}

/** The name of the claim behind an ephemeral volume. */
export function ephemeralClaimName(pod: string, volume: string): string {
  return `${pod}-${volume}`;
}
