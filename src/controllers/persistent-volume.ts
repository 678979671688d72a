import { toTime } from '#base/index.ts';
import { alsoWatch, defineController, done, type ReconcileClient, type Reconciling } from '#client/index.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Key } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolume, volumeClassOf } from '#kinds/persistent-volume.ts';
import { claimClassOf, PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { StorageClass } from '#kinds/storage.ts';
import { BIND_COMPLETED, BOUND_BY_CONTROLLER, isClaimBound, SELECTED_NODE, STORAGE_PROVISIONER } from '#kinds/volume-binding.ts';
import { planClaim, planVolume, type Told } from './persistent-volume-plan.ts';

/**
 * Finds claims their volumes. The binding is four writes, the volume's name for its claim first: whoever is stopped between two of
 * them goes on where it stood, since the volume then is kept for that claim alone.
 */
export const claimBinder = defineController<PersistentVolumeClaim>({
  name: 'persistentvolume-controller',
  watches: PersistentVolumeClaim,
  alsoWatches: [
    alsoWatch(PersistentVolume, (volume, context) => claimsFor(volume, context)),
    alsoWatch(StorageClass, ({ metadata: { name } }, context) => unboundOf(name, context)),
    alsoWatch(Node, () => []),
  ],
  async reconcile(key, { client, events, clock }) {
    const claim = await client.get(PersistentVolumeClaim, key);
    if (!claim) return done;
    const plan = planClaim({
      claim,
      volumes: candidatesOf(claim, client),
      storageClass: client.cached(StorageClass).get(claimClassOf(claim)),
      node: client.cached(Node).get(claim.metadata.annotations?.[SELECTED_NODE] ?? ''),
    });
    if (plan.bind) {
      await bind(claim, plan.bind, client, clock.now());
      return done;
    }
    const isNews = plan.phase !== 'Lost' || claim.status?.phase !== 'Lost';
    const { annotations } = claim.metadata;
    let present = claim;
    if (plan.provisioner && annotations?.[STORAGE_PROVISIONER] !== plan.provisioner) {
      claim.metadata.annotations = { ...annotations, [STORAGE_PROVISIONER]: plan.provisioner };
      present = await client.update(PersistentVolumeClaim, claim);
    }
    if (plan.phase && present.status?.phase !== plan.phase) {
      const { accessModes: _, capacity: __, ...status } = present.status ?? {};
      await client.updateStatus(PersistentVolumeClaim, { ...present, status: { ...status, phase: plan.phase } });
    }
    if (plan.told && isNews) tell(events, claim, plan.told);
    return done;
  },
});

/** Says of volumes where they stand with their claims, and lets them go when these are gone. */
export const volumeBinder = defineController<PersistentVolume>({
  name: 'persistentvolume-controller',
  watches: PersistentVolume,
  alsoWatches: [alsoWatch(PersistentVolumeClaim, (claim, context) => volumesFor(claim, context))],
  async reconcile(key, { client, events, clock }) {
    const volume = await client.get(PersistentVolume, key);
    if (!volume) return done;
    const plan = planVolume(volume, await claimOf(volume, client));
    let present = volume;
    if (plan.unbind) {
      const { [BOUND_BY_CONTROLLER]: _, ...annotations } = volume.metadata.annotations ?? {};
      const { uid: __, resourceVersion: ___, ...claimRef } = volume.spec.claimRef ?? {};
      present = await client.update(PersistentVolume, {
        ...volume,
        metadata: { ...volume.metadata, annotations },
        spec: { ...volume.spec, claimRef: plan.unbind === 'uid' ? claimRef : undefined },
      });
    }
    if (!plan.phase || (await setPhase(present, plan.phase, client, clock.now(), plan.message)) === present) return done;
    if (plan.told) tell(events, volume, plan.told);
    return done;
  },
});

/** The claim that the volume names. The picture may be older than the volume: that the claim is gone is asked of the API. */
async function claimOf({ spec: { claimRef } }: PersistentVolume, client: ReconcileClient): Promise<PersistentVolumeClaim | undefined> {
  if (!claimRef?.uid || !claimRef.name) return undefined;
  const key = { namespace: claimRef.namespace, name: claimRef.name };
  const seen = await client.get(PersistentVolumeClaim, key);
  return seen?.metadata.uid === claimRef.uid ? seen : client.getLive(PersistentVolumeClaim, key);
}

/** The volumes that may be the claim's: for a claim that knows its volume that one alone. */
function candidatesOf(claim: PersistentVolumeClaim, client: ReconcileClient): PersistentVolume[] {
  const volumes = client.cached(PersistentVolume);
  if (!claim.spec.volumeName) return volumes.list();
  const named = volumes.get(claim.spec.volumeName);
  return named ? [named] : [];
}

/** Makes volume and claim each other's, as far as they aren't. */
async function bind(claim: PersistentVolumeClaim, volume: PersistentVolume, client: ReconcileClient, nowMs: number): Promise<void> {
  const { namespace, name, uid, resourceVersion } = claim.metadata;
  let bound = volume;
  if (volume.spec.claimRef?.uid !== uid) {
    const annotations = volume.spec.claimRef
      ? volume.metadata.annotations
      : { ...volume.metadata.annotations, [BOUND_BY_CONTROLLER]: 'yes' };
    bound = await client.update(PersistentVolume, {
      ...volume,
      metadata: { ...volume.metadata, annotations },
      spec: { ...volume.spec, claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid, resourceVersion } },
    });
  }
  await setPhase(bound, 'Bound', client, nowMs);
  let known = claim;
  if (!isClaimBound(claim)) {
    const chosen = claim.spec.volumeName ? {} : { [BOUND_BY_CONTROLLER]: 'yes' };
    known = await client.update(PersistentVolumeClaim, {
      ...claim,
      metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [BIND_COMPLETED]: 'yes', ...chosen } },
      spec: { ...claim.spec, volumeName: volume.metadata.name },
    });
  }
  const { accessModes, capacity } = volume.spec;
  const isBound = known.status?.phase === 'Bound';
  if (isBound && jsonEqual(known.status?.accessModes, accessModes)) return;
  // What a bound claim has of its volume is what was made of it when it grew.
  const status = { ...known.status, phase: 'Bound', accessModes, ...(isBound ? {} : { capacity }) };
  await client.updateStatus(PersistentVolumeClaim, { ...known, status });
}

/** The volume with its phase; the same object when it had it already. */
async function setPhase(
  volume: PersistentVolume,
  phase: string,
  client: ReconcileClient,
  nowMs: number,
  message?: string,
): Promise<PersistentVolume> {
  if (volume.status?.phase === phase) return volume;
  const status = { phase, lastPhaseTransitionTime: toTime(nowMs), ...(message ? { message } : {}) };
  return client.updateStatus(PersistentVolume, { ...volume, status });
}

/** The claim a volume is kept for; for a free one, those that wait for one of its class. */
function claimsFor(volume: PersistentVolume, context: Reconciling): Key[] {
  const { claimRef } = volume.spec;
  if (claimRef?.name) return [{ namespace: claimRef.namespace, name: claimRef.name }];
  return unboundOf(volumeClassOf(volume), context, volume.metadata.name);
}

/** The volume that a claim names; of a claim that names none, those that name it. */
function volumesFor({ metadata, spec }: PersistentVolumeClaim, { client }: Reconciling): Key[] {
  if (spec.volumeName) return [{ name: spec.volumeName }];
  return client
    .cached(PersistentVolume)
    .list()
    .filter(({ spec: { claimRef } }) => claimRef?.name === metadata.name && claimRef.namespace === metadata.namespace)
    .map(volume => ({ name: volume.metadata.name }));
}

function unboundOf(className: string, { client }: Reconciling, volume?: string): Key[] {
  return client
    .cached(PersistentVolumeClaim)
    .list()
    .filter(claim => (claim.spec.volumeName ? claim.spec.volumeName === volume : claimClassOf(claim) === className))
    .map(({ metadata: { namespace, name } }) => ({ namespace, name }));
}

function tell(events: Reconciling['events'], about: PersistentVolume | PersistentVolumeClaim, { type, reason, message }: Told): void {
  if (type === 'Warning') events.warning(about, reason, message);
  else events.normal(about, reason, message);
}
