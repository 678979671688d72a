import { alsoWatch, type Client, defineController, done, type Reconciling } from '#client/index.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import {
  awaitsNode,
  LOCAL_PATH_DIRECTORY,
  LOCAL_PATH_FINALIZER,
  LOCAL_PATH_NODE,
  LOCAL_PATH_PROVISIONER,
  localPathNodeLabel,
} from '#kinds/local-path.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { claimClassOf, PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { StorageClass } from '#kinds/storage.ts';
import { PROVISIONED_BY, SELECTED_NODE, waitsForConsumer } from '#kinds/volume-binding.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { asksForLocalPath, planLocalVolume, planRefusal } from './local-path-plan.ts';

/** Makes volumes for claims: directories that the node's agent makes when they are first mounted. Nothing is done on any disk here. */
export const localPathProvisioner = defineController<PersistentVolumeClaim>({
  name: LOCAL_PATH_PROVISIONER,
  watches: PersistentVolumeClaim,
  alsoWatches: [
    alsoWatch(StorageClass, ({ metadata: { name } }, context) => waitingClaims(context, claim => claimClassOf(claim) === name)),
    alsoWatch(Node, ({ metadata: { name } }, context) =>
      waitingClaims(context, ({ metadata: { annotations } }) => (annotations?.[SELECTED_NODE] ?? name) === name),
    ),
  ],
  async reconcile(key, { client, events }) {
    const claim = await client.get(PersistentVolumeClaim, key);
    const storageClass = claim && client.cached(StorageClass).get(claimClassOf(claim));
    if (!claim || !asksForLocalPath(claim) || storageClass?.provisioner !== LOCAL_PATH_PROVISIONER) return done;
    const fail = (why: string) => {
      const message = `failed to provision volume with StorageClass ${JSON.stringify(storageClass.metadata.name)}: ${why}`;
      events.warning(claim, 'ProvisioningFailed', message);
      return done;
    };
    const refusal = planRefusal(claim);
    if (refusal) return fail(refusal);
    const isWaiting = waitsForConsumer(storageClass);
    const { [SELECTED_NODE]: selected, ...annotations } = claim.metadata.annotations ?? {};
    if (isWaiting && !selected) return done;
    const node = selected ? await client.getLive(Node, { name: selected }) : anyNode(client.cached(Node).list());
    if (!node && selected) {
      // The scheduler chooses again.
      await client.update(PersistentVolumeClaim, { ...claim, metadata: { ...claim.metadata, annotations } });
      return fail(`node ${JSON.stringify(selected)} is gone`);
    }
    const volume = node && planLocalVolume(claim, storageClass, node);
    if (!volume) return fail(`node ${JSON.stringify(node?.metadata.name ?? '')} does not say where it keeps volumes`);
    if (await ignorePresent(client.create(PersistentVolume, volume)))
      events.normal(claim, 'ProvisioningSucceeded', `Successfully provisioned volume ${volume.metadata.name}`);
    return done;
  },
});

/** Deletes volumes of ours whose claims are gone; one whose node is gone too needs nobody to remove its directory. */
export const localPathDeleter = defineController<PersistentVolume>({
  name: LOCAL_PATH_PROVISIONER,
  watches: PersistentVolume,
  alsoWatches: [
    alsoWatch(Node, ({ metadata: { name } }, { client }) =>
      client.cached(Node).get(name)
        ? []
        : client
            .cached(PersistentVolume)
            .list()
            .filter(volume => awaitsNode(volume) && volume.metadata.labels?.[LOCAL_PATH_NODE] === localPathNodeLabel(name))
            .map(({ metadata }) => ({ name: metadata.name })),
    ),
  ],
  async reconcile(key, { client, log }) {
    const volume = await client.get(PersistentVolume, key);
    if (volume?.metadata.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER) return done;
    const { metadata, spec, status } = volume;
    const { uid, resourceVersion, deletionTimestamp, finalizers = [] } = metadata;
    if (status?.phase === 'Released' && spec.persistentVolumeReclaimPolicy === 'Delete' && !deletionTimestamp) {
      await ignoreAbsent(client.delete(PersistentVolume, key, { preconditions: { uid, resourceVersion } }));
      return done;
    }
    const label = metadata.labels?.[LOCAL_PATH_NODE];
    const isHere = (node: Node) => localPathNodeLabel(node.metadata.name) === label;
    if (!awaitsNode(volume) || client.cached(Node).list().some(isHere) || (await client.list(Node)).items.some(isHere)) return done;
    log.info('a volume goes without its node', { volume: metadata.name, node: label });
    const kept = finalizers.filter(one => one !== LOCAL_PATH_FINALIZER);
    await ignoreAbsent(client.update(PersistentVolume, { ...volume, metadata: { ...metadata, finalizers: kept } }));
    return done;
  },
});

/** Makes the cluster's storage class, unless there is one of that name. */
export async function ensureLocalPathClass(client: Client): Promise<void> {
  if (await client.get(StorageClass, { name: LOCAL_PATH_CLASS.metadata.name })) return;
  await ignorePresent(client.create(StorageClass, LOCAL_PATH_CLASS));
}

const LOCAL_PATH_CLASS: Draft<StorageClass> & { metadata: { name: string } } = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'local-path', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: LOCAL_PATH_PROVISIONER,
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowVolumeExpansion: true,
};

/** For claims that wait for no consumer: the first node that keeps volumes. */
function anyNode(nodes: readonly Node[]): Node | undefined {
  return nodes
    .filter(({ metadata }) => metadata.annotations?.[LOCAL_PATH_DIRECTORY] && !metadata.deletionTimestamp)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}

function waitingClaims({ client }: Reconciling, isMeant: (claim: PersistentVolumeClaim) => boolean): Key[] {
  return client
    .cached(PersistentVolumeClaim)
    .list()
    .filter(claim => asksForLocalPath(claim) && isMeant(claim))
    .map(({ metadata: { namespace, name } }) => ({ namespace, name }));
}
