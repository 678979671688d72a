import { alsoWatch, defineController, done } from '#client/index.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import type { Volume } from '#kinds/types.gen.ts';
import { ephemeralClaimName } from '#kinds/volume-binding.ts';
import { ignorePresent } from './absence.ts';

/** Makes the claims behind pods' ephemeral volumes; they are owned by their pods and so go with them. Keys are the claims'. */
export const ephemeralVolumeController = defineController<PersistentVolumeClaim>({
  name: 'ephemeral-volume-controller',
  watches: PersistentVolumeClaim,
  alsoWatches: [alsoWatch(Pod, pod => claimKeysOf(pod))],
  async reconcile(key, { client, events }) {
    const user = userOf(key, name => client.cached(Pod).get({ namespace: key.namespace, name }));
    if (!user || user.pod.metadata.deletionTimestamp) return done;
    const present = client.cached(PersistentVolumeClaim).get(key);
    const wanted = planEphemeralClaim(user.pod, user.volume);
    if (!present) await ignorePresent(client.create(PersistentVolumeClaim, wanted));
    else if (!isClaimOf(user.pod, present)) {
      const why = `PVC ${key.namespace}/${key.name} was not created for pod ${key.namespace}/${user.pod.metadata.name} (pod is not owner)`;
      events.warning(user.pod, 'EphemeralVolumeFailed', why);
    }
    return done;
  },
});

/** The claim of an ephemeral volume, as its template has it. Pure. */
export function planEphemeralClaim({ metadata }: Pod, { name, ephemeral }: Volume): Draft<PersistentVolumeClaim> {
  const { labels, annotations } = ephemeral?.volumeClaimTemplate?.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: ephemeralClaimName(metadata.name, name),
      namespace: metadata.namespace,
      ...(labels ? { labels: { ...labels } } : {}),
      ...(annotations ? { annotations: { ...annotations } } : {}),
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: structuredClone(ephemeral?.volumeClaimTemplate?.spec ?? {}),
  };
}

function claimKeysOf({ metadata, spec }: Pod): Key[] {
  return (spec.volumes ?? [])
    .filter(({ ephemeral }) => ephemeral)
    .map(({ name }) => ({ namespace: metadata.namespace, name: ephemeralClaimName(metadata.name, name) }));
}

/** The pod and its volume that a claim of that name would be for: the name may be parted at any of its dashes. */
function userOf({ name }: Key, find: (podName: string) => Pod | undefined): { pod: Pod; volume: Volume } | undefined {
  for (let dash = name.indexOf('-'); dash >= 0; dash = name.indexOf('-', dash + 1)) {
    const pod = find(name.slice(0, dash));
    const volume = pod?.spec.volumes?.find(each => each.ephemeral && each.name === name.slice(dash + 1));
    if (pod && volume) return { pod, volume };
  }
  return undefined;
}

/** True when the pod controls the claim. */
function isClaimOf({ metadata: { uid } }: Pod, { metadata: { ownerReferences = [] } }: PersistentVolumeClaim): boolean {
  return ownerReferences.some(owner => owner.controller && owner.uid === uid);
}
