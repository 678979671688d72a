import { createHash } from 'node:crypto';
import { join } from 'node:path/posix';
import type { Draft } from '#kinds/kind.ts';
import {
  LOCAL_PATH_DIRECTORY,
  LOCAL_PATH_FINALIZER,
  LOCAL_PATH_NODE,
  LOCAL_PATH_PROVISIONER,
  localPathNodeLabel,
} from '#kinds/local-path.ts';
import type { PersistentVolume } from '#kinds/persistent-volume.ts';
import type { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Node, StorageClass } from '#kinds/types.gen.ts';
import { PROVISIONED_BY, requestOf, STORAGE_PROVISIONER } from '#kinds/volume-binding.ts';

/** True for a claim that waits for a volume of ours. */
export function asksForLocalPath({ metadata, spec, status }: PersistentVolumeClaim): boolean {
  const { annotations, deletionTimestamp } = metadata;
  return (
    !spec.volumeName && !deletionTimestamp && status?.phase !== 'Lost' && annotations?.[STORAGE_PROVISIONER] === LOCAL_PATH_PROVISIONER
  );
}

/** The name of a claim's volume: always the same, so that it is made once. */
function volumeNameFor({ metadata: { uid } }: PersistentVolumeClaim): string {
  return `pvc-${uid}`;
}

/** Why no volume can be made for the claim, whatever the node. */
export function planRefusal({ spec }: PersistentVolumeClaim): string | undefined {
  if (spec.volumeMode === 'Block') return `provisioner ${LOCAL_PATH_PROVISIONER} makes directories: volumeMode Block is not supported`;
  if (spec.selector) return 'claim Selector is not supported';
  if (spec.dataSource || spec.dataSourceRef) return 'claims with a data source are not supported';
  return undefined;
}

/** Where on the node a claim's data lie: below what the node says, in a directory that people recognize. */
function pathFor({ metadata }: PersistentVolumeClaim, directory: string): string {
  const name = `${metadata.uid}_${metadata.namespace}_${metadata.name}`;
  const digest = () => createHash('sha256').update(name).digest('hex').slice(0, 8);
  return join(directory, Buffer.byteLength(name) <= 200 ? name : `${name.slice(0, 190)}-${digest()}`);
}

/** The volume for a claim on a node; undefined while the node does not say where it keeps such volumes. Pure. */
export function planLocalVolume(claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node): Draft<PersistentVolume> | undefined {
  const directory = node.metadata.annotations?.[LOCAL_PATH_DIRECTORY];
  if (!directory) return undefined;
  const { name, namespace, uid } = claim.metadata;
  const nodeName = node.metadata.name;
  const hostname = node.metadata.labels?.['kubernetes.io/hostname'] ?? nodeName;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name: volumeNameFor(claim),
      annotations: { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER },
      labels: { [LOCAL_PATH_NODE]: localPathNodeLabel(nodeName) },
      finalizers: [LOCAL_PATH_FINALIZER],
    },
    spec: {
      capacity: { storage: requestOf(claim) },
      accessModes: claim.spec.accessModes,
      volumeMode: 'Filesystem',
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: storageClass.metadata.name,
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid },
      local: { path: pathFor(claim, directory) },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [hostname] }] }],
        },
      },
    },
  };
}
