import type { PersistentVolume } from '#kinds/persistent-volume.ts';
import { claimClassOf, type PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Node, StorageClass } from '#kinds/types.gen.ts';
import {
  BOUND_BY_CONTROLLER,
  isClaimBound,
  isKeptFor,
  matchVolume,
  mismatchOf,
  NO_PROVISIONER,
  PROVISIONED_BY,
  SELECTED_NODE,
  waitsForConsumer,
} from '#kinds/volume-binding.ts';

/** What people are told by an Event. */
export interface Told {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

/** What is to be done about a claim. */
export interface ClaimPlan {
  /** The two become each other's, or what is missing of that is made good. */
  bind?: PersistentVolume;
  phase?: 'Pending' | 'Lost';
  /** Who is to make a volume. */
  provisioner?: string;
  told?: Told;
}

export interface ClaimPicture {
  claim: PersistentVolumeClaim;
  volumes: readonly PersistentVolume[];
  storageClass: StorageClass | undefined;
  /** The node that was chosen for the claim, if it is there. */
  node?: Node | undefined;
}

/** The next step to a claim's volume, by what claim and volumes say of each other. Pure. */
export function planClaim(picture: ClaimPicture): ClaimPlan {
  const { claim, volumes } = picture;
  const named = volumes.find(({ metadata }) => metadata.name === claim.spec.volumeName);
  if (claim.metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined) return planBoundClaim(claim, named);
  return claim.spec.volumeName ? planNamed(claim, named) : planUnbound(picture);
}

function planBoundClaim(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): ClaimPlan {
  const lost = (reason: string, message: string): ClaimPlan => ({ phase: 'Lost', told: { type: 'Warning', reason, message } });
  if (!isClaimBound(claim)) return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  if (!volume) return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const { claimRef } = volume.spec;
  if (!claimRef || claimRef.uid === claim.metadata.uid) return { bind: volume };
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

/** A claim that asks for one certain volume. */
function planNamed(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): ClaimPlan {
  if (!volume) return { phase: 'Pending' };
  const wait = (reason: string, message: string): ClaimPlan => ({ phase: 'Pending', told: { type: 'Warning', reason, message } });
  if (volume.spec.claimRef && !isKeptFor(volume, claim))
    return wait('FailedBinding', `volume ${JSON.stringify(volume.metadata.name)} already bound to a different claim.`);
  const mismatch = volume.spec.claimRef?.uid ? undefined : mismatchOf(claim, volume);
  if (mismatch) return wait('VolumeMismatch', `Cannot bind to requested volume ${JSON.stringify(volume.metadata.name)}: ${mismatch}`);
  return { bind: volume };
}

function planUnbound({ claim, volumes, storageClass, node }: ClaimPicture): ClaimPlan {
  const isWaiting = waitsForConsumer(storageClass) && !claim.metadata.annotations?.[SELECTED_NODE];
  const volume = matchVolume(claim, volumes, { node: waitsForConsumer(storageClass) ? node : undefined, mayTakeFree: !isWaiting });
  if (volume) return { bind: volume };
  const wait = (type: Told['type'], reason: string, message: string): ClaimPlan => ({ phase: 'Pending', told: { type, reason, message } });
  if (isWaiting) return wait('Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding');
  const className = claimClassOf(claim);
  if (!className) return wait('Normal', 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set');
  if (!storageClass) return wait('Warning', 'ProvisioningFailed', `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`);
  const { provisioner } = storageClass;
  if (provisioner === NO_PROVISIONER) return wait('Warning', 'ProvisioningFailed', `no volume plugin matched name: ${provisioner}`);
  return {
    provisioner,
    ...wait(
      'Normal',
      'ExternalProvisioning',
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    ),
  };
}

/** What is to be done about a volume. */
export interface VolumePlan {
  phase?: 'Available' | 'Bound' | 'Released' | 'Failed';
  /** Why it failed. */
  message?: string;
  /** The claim is let go: wholly, or by UID only where a person had chosen it. */
  unbind?: 'claim' | 'uid';
  told?: Told;
}

/** Where a volume stands with the claim that it names, `claim` being that one by name if there is one. Pure. */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumePlan {
  const { claimRef } = volume.spec;
  if (!claimRef?.uid) return { phase: 'Available' };
  if (claim?.metadata.uid !== claimRef.uid) return planReclaim(volume);
  if (!claim.spec.volumeName) return {};
  if (claim.spec.volumeName === volume.metadata.name) return { phase: 'Bound' };
  const { annotations = {} } = volume.metadata;
  if (annotations[PROVISIONED_BY] && volume.spec.persistentVolumeReclaimPolicy === 'Delete') return planReclaim(volume);
  return { phase: 'Available', unbind: annotations[BOUND_BY_CONTROLLER] === undefined ? 'uid' : 'claim' };
}

/** A volume whose claim is gone. Who made it removes it; nobody here can empty or remove any other. */
function planReclaim({ metadata: { name, annotations }, spec, status }: PersistentVolume): VolumePlan {
  if (status?.phase === 'Failed') return {};
  const released: VolumePlan = { phase: 'Released' };
  const fail = (reason: string, message: string): VolumePlan => ({
    phase: 'Failed',
    message,
    told: { type: 'Warning', reason, message },
  });
  switch (spec.persistentVolumeReclaimPolicy) {
    case 'Delete':
      if (annotations?.[PROVISIONED_BY]) return released;
      return fail(
        'VolumeFailedDelete',
        `error getting deleter volume plugin for volume ${JSON.stringify(name)}: no deletable volume plugin matched`,
      );
    case 'Recycle':
      return fail('VolumeFailedRecycle', 'No recycler plugin found for the volume!');
    default:
      return released;
  }
}
