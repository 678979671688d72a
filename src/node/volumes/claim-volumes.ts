import { stat } from 'node:fs/promises';
import { UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Pod } from '#kinds/pod.ts';
import { ephemeralClaimName, isClaimBound, isReachableFrom } from '#kinds/volume-binding.ts';
import { requireAnswering } from '#linux/answering.ts';
import type { PreparedVolume } from '../parts.ts';
import { giveToGroup } from './fs-group.ts';
import { prepareHostPath } from './host-path.ts';
import type { LocalPathDirectories } from './local-path-directories.ts';
import type { Volume } from './payloads.ts';

export interface ClaimVolumesOptions {
  client: Pick<Client, 'get'>;
  nodeName: string;
  directories: Pick<LocalPathDirectories, 'make'>;
}

/** Volumes that pods claim: what a bound claim's volume names on this machine. */
export class ClaimVolumes {
  readonly #options: ClaimVolumesOptions;
  /** Who has a volume that is for one pod alone: the pod's UID by the claim's. */
  readonly #single = new Map<string, string>();

  constructor(options: ClaimVolumesOptions) {
    this.#options = options;
  }

  /** @throws UmiakError as long as the claim has no volume, or one that can't be mounted here */
  async prepare(pod: Pod, volume: Volume): Promise<PreparedVolume> {
    const claim = await this.#claimOf(pod, volume);
    const persistent = await this.#volumeOf(claim);
    const { metadata, spec } = persistent;
    checkMode(pod, volume.name, spec.volumeMode);
    await this.#checkNode(persistent);
    this.#takeAlone(claim, pod);
    const readOnly = volume.persistentVolumeClaim?.readOnly === true;
    const prepared = (path: string): PreparedVolume => ({ path, ...(readOnly ? { readOnly } : {}) });
    if (spec.hostPath) return prepared((await prepareHostPath(spec.hostPath)).path);
    if (!spec.local) {
      const source = Object.keys(spec).find(key => key === 'csi' || key === 'nfs' || key === 'iscsi') ?? 'its';
      throw new UmiakError('NotImplemented', `volume "${metadata.name}": volumes of ${source} type are not there yet`, {
        hint: 'Volumes of the types local and hostPath work, and claims of the storage class local-path.',
      });
    }
    const { path } = spec.local;
    await requireAnswering([path]);
    if (!(await this.#options.directories.make(persistent)) && !(await stat(path).catch(() => undefined)))
      throw new UmiakError('NotFound', `path "${path}" does not exist`, { hint: 'A local volume must be there before it is used.' });
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    if (fsGroup !== undefined && !readOnly) await giveToGroup(path, fsGroup, fsGroupChangePolicy);
    return prepared(path);
  }

  /** The pod uses nothing any more. */
  release(podUid: string): void {
    for (const [claim, user] of this.#single) if (user === podUid) this.#single.delete(claim);
  }

  async #claimOf(pod: Pod, volume: Volume): Promise<PersistentVolumeClaim> {
    const { namespace, name: podName, uid } = pod.metadata;
    const name = volume.persistentVolumeClaim?.claimName ?? ephemeralClaimName(podName, volume.name);
    const claim = await this.#options.client.get(PersistentVolumeClaim, { namespace, name });
    if (!claim) throw new UmiakError('NotFound', `persistentvolumeclaim "${name}" not found`);
    if (volume.ephemeral && !claim.metadata.ownerReferences?.some(owner => owner.controller && owner.uid === uid)) {
      const why = `PVC ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)`;
      throw new UmiakError('Conflict', why);
    }
    if (claim.metadata.deletionTimestamp && !hasRun(pod)) throw new UmiakError('Conflict', `PVC is being deleted: ${namespace}/${name}`);
    if (claim.status?.phase !== 'Bound' || !isClaimBound(claim)) throw new UmiakError('Conflict', `PVC is not bound: ${namespace}/${name}`);
    return claim;
  }

  async #volumeOf({ metadata, spec }: PersistentVolumeClaim): Promise<PersistentVolume> {
    const name = spec.volumeName ?? '';
    const volume = await this.#options.client.get(PersistentVolume, { name });
    if (!volume) throw new UmiakError('NotFound', `persistentvolume "${name}" not found`);
    if (volume.spec.claimRef?.uid !== metadata.uid)
      throw new UmiakError('Conflict', `persistentvolume "${name}" is not bound to ${metadata.namespace}/${metadata.name}`);
    return volume;
  }

  async #checkNode(volume: PersistentVolume): Promise<void> {
    if (!volume.spec.nodeAffinity) return;
    const { client, nodeName } = this.#options;
    const node = await client.get(Node, { name: nodeName });
    if (node && isReachableFrom(node, volume)) return;
    const why = `MountVolume.NodeAffinity check failed for volume "${volume.metadata.name}" : no matching NodeSelectorTerms`;
    throw new UmiakError('Conflict', why, { hint: `The volume is on another node than ${nodeName}.` });
  }

  /** A claim that is `ReadWriteOncePod` serves one pod at a time. */
  #takeAlone({ metadata, spec }: PersistentVolumeClaim, pod: Pod): void {
    if (!spec.accessModes?.includes('ReadWriteOncePod')) return;
    const user = this.#single.get(metadata.uid);
    if (user !== undefined && user !== pod.metadata.uid)
      throw new UmiakError('Conflict', 'volume uses the ReadWriteOncePod access mode and is already in use by another pod');
    this.#single.set(metadata.uid, pod.metadata.uid);
  }
}

/** Whether containers of the pod already had its volumes. */
function hasRun({ status }: Pod): boolean {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].some(({ containerID }) => containerID);
}

function checkMode({ spec }: Pod, name: string, mode = 'Filesystem'): void {
  if (mode === 'Block')
    throw new UmiakError('NotImplemented', 'volumes of mode Block are not there yet', {
      hint: 'Use volumeMode: Filesystem and volumeMounts.',
    });
  const isDevice = [...(spec.initContainers ?? []), ...spec.containers].some(({ volumeDevices }) =>
    volumeDevices?.some(device => device.name === name),
  );
  if (isDevice) throw new UmiakError('Invalid', `volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`);
}
