import { alsoWatch, defineController, done } from '#client/index.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { claimNamesOf } from '#kinds/volume-binding.ts';
import { ignoreAbsent } from './absence.ts';

const CLAIM_FINALIZER = 'kubernetes.io/pvc-protection';
const VOLUME_FINALIZER = 'kubernetes.io/pv-protection';

/** Keeps deleted claims while pods that have a node use them. */
export const claimProtection = defineController<PersistentVolumeClaim>({
  name: 'pvc-protection-controller',
  watches: PersistentVolumeClaim,
  alsoWatches: [
    alsoWatch(Pod, (pod, { client }) => {
      const { namespace } = pod.metadata;
      const keys = claimNamesOf(pod).map(name => ({ namespace, name }));
      return keys.filter(key => client.cached(PersistentVolumeClaim).get(key)?.metadata.deletionTimestamp);
    }),
  ],
  async reconcile(key, { client }) {
    const claim = await client.get(PersistentVolumeClaim, key);
    const finalizers = claim && planFinalizers(claim, CLAIM_FINALIZER, false);
    if (!claim || !finalizers) return done;
    if (claim.metadata.deletionTimestamp) {
      const isUser = (pod: Pod) => usesClaim(pod, key.name);
      if (client.cached(Pod).list(key.namespace).some(isUser)) return done;
      // A pod may be there that the picture does not show yet.
      if ((await client.list(Pod, { namespace: key.namespace })).items.some(isUser)) return done;
    }
    await ignoreAbsent(client.update(PersistentVolumeClaim, { ...claim, metadata: { ...claim.metadata, finalizers } }));
    return done;
  },
});

/** Keeps deleted volumes while they are bound. */
export const volumeProtection = defineController<PersistentVolume>({
  name: 'pv-protection-controller',
  watches: PersistentVolume,
  async reconcile(key, { client }) {
    const volume = await client.get(PersistentVolume, key);
    const finalizers = volume && planFinalizers(volume, VOLUME_FINALIZER, volume.status?.phase === 'Bound');
    if (!volume || !finalizers) return done;
    await ignoreAbsent(client.update(PersistentVolume, { ...volume, metadata: { ...volume.metadata, finalizers } }));
    return done;
  },
});

/** The finalizers as they are to be: one on whatever lives, none on what is deleted and not in use. Undefined when they are so. Pure. */
export function planFinalizers({ metadata }: KubeObject, finalizer: string, isInUse: boolean): string[] | undefined {
  const { deletionTimestamp, finalizers = [] } = metadata;
  const has = finalizers.includes(finalizer);
  if (!deletionTimestamp) return has ? undefined : [...finalizers, finalizer];
  return has && !isInUse ? finalizers.filter(one => one !== finalizer) : undefined;
}

/** Pods without a node don't count: no agent starts one whose claim is being deleted. */
function usesClaim(pod: Pod, claim: string): boolean {
  return Boolean(pod.spec.nodeName) && claimNamesOf(pod).includes(claim);
}
