import { compareQuantities } from '#base/index.ts';
import { alsoWatch, defineController, done } from '#client/index.ts';
import { LOCAL_PATH_PROVISIONER } from '#kinds/local-path.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { isClaimBound, PROVISIONED_BY, requestOf, sizeOf } from '#kinds/volume-binding.ts';

/** Conditions of a claim that is on its way to its new size. */
const RESIZING = new Set(['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']);

/** Lets bound claims grow to what they ask for: the volume first, then what the claim says it has. A directory needs nothing else. */
export const volumeExpandController = defineController<PersistentVolumeClaim>({
  name: 'volume-expand',
  watches: PersistentVolumeClaim,
  alsoWatches: [
    alsoWatch(PersistentVolume, ({ spec: { claimRef } }) =>
      claimRef?.name ? [{ namespace: claimRef.namespace, name: claimRef.name }] : [],
    ),
  ],
  async reconcile(key, { client, events }) {
    const claim = client.cached(PersistentVolumeClaim).get(key);
    if (!claim || !isToGrow(claim)) return done;
    const volume = await client.get(PersistentVolume, { name: claim.spec.volumeName ?? '' });
    if (volume?.spec.claimRef?.uid !== claim.metadata.uid) return done;
    if (volume.metadata.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER) {
      events.normal(claim, 'ExternalExpanding', 'waiting for an external controller to expand this PVC');
      return done;
    }
    const storage = requestOf(claim);
    if (compareQuantities(sizeOf(volume), storage) < 0)
      await client.update(PersistentVolume, { ...volume, spec: { ...volume.spec, capacity: { ...volume.spec.capacity, storage } } });
    const { conditions = [], ...status } = claim.status ?? {};
    const left = conditions.filter(({ type }) => !RESIZING.has(type));
    const grown = { ...status, capacity: { ...status.capacity, storage }, ...(left.length ? { conditions: left } : {}) };
    await client.updateStatus(PersistentVolumeClaim, { ...claim, status: grown });
    events.normal(claim, 'VolumeResizeSuccessful', 'Resize volume succeeded');
    return done;
  },
});

/** True for a bound claim that asks for more than it has. */
export function isToGrow(claim: PersistentVolumeClaim): boolean {
  const has = claim.status?.capacity?.storage;
  return isClaimBound(claim) && claim.status?.phase === 'Bound' && has !== undefined && compareQuantities(requestOf(claim), has) > 0;
}
