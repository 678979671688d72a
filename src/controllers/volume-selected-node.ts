import { alsoWatch, defineController, done } from '#client/index.ts';
import type { Key } from '#kinds/kind.ts';
import { claimClassOf, PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StorageClass } from '#kinds/storage.ts';
import { claimNamesOf, SELECTED_NODE, waitsForConsumer } from '#kinds/volume-binding.ts';

/**
 * Claims wait for the node of their first consumer, which the scheduler tells them. A pod that got its node without the scheduler would
 * wait for ever: here its claims are told.
 */
export const selectedNodeController = defineController<PersistentVolumeClaim>({
  name: 'volume-selected-node',
  watches: PersistentVolumeClaim,
  alsoWatches: [
    alsoWatch(Pod, (pod, { client }) =>
      pod.spec.nodeName ? claimKeysOf(pod).filter(key => isWaiting(client.cached(PersistentVolumeClaim).get(key))) : [],
    ),
    alsoWatch(StorageClass, () => []),
  ],
  async reconcile(key, { client }) {
    const claim = await client.get(PersistentVolumeClaim, key);
    if (!claim || !isWaiting(claim) || !waitsForConsumer(client.cached(StorageClass).get(claimClassOf(claim)))) return done;
    const node = nodeOfConsumer(key.name, client.cached(Pod).list(key.namespace));
    if (!node) return done;
    const annotations = { ...claim.metadata.annotations, [SELECTED_NODE]: node };
    await client.update(PersistentVolumeClaim, { ...claim, metadata: { ...claim.metadata, annotations } });
    return done;
  },
});

/** The node of a living pod that uses the claim. Pure. */
export function nodeOfConsumer(claim: string, pods: readonly Pod[]): string | undefined {
  const isUser = (pod: Pod) => pod.spec.nodeName && !pod.metadata.deletionTimestamp && claimNamesOf(pod).includes(claim);
  return pods.find(isUser)?.spec.nodeName;
}

function isWaiting(claim: PersistentVolumeClaim | undefined): boolean {
  return claim !== undefined && !claim.spec.volumeName && !claim.metadata.deletionTimestamp && !claim.metadata.annotations?.[SELECTED_NODE];
}

function claimKeysOf(pod: Pod): Key[] {
  return claimNamesOf(pod).map(name => ({ namespace: pod.metadata.namespace, name }));
}
