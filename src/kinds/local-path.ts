/** What controllers, agents and the API agree on about volumes that are directories of a node. */
import { createHash } from 'node:crypto';
import type { PersistentVolume } from './persistent-volume.ts';

/** The provisioner that storage classes name, and the mark of volumes that it made. */
export const LOCAL_PATH_PROVISIONER = 'umiak.io/local-path';
/** Holds a volume until its node has removed the directory. */
export const LOCAL_PATH_FINALIZER = 'umiak.io/local-path';
/** On a Node: the directory below which its agent keeps such volumes. */
export const LOCAL_PATH_DIRECTORY = 'umiak.io/local-path-directory';
/** On a volume: its node, so that each agent follows its own volumes only. */
export const LOCAL_PATH_NODE = 'umiak.io/local-path-node';

/** The node's name as a label's value can hold it. */
export function localPathNodeLabel(nodeName: string): string {
  return nodeName.length <= 63 ? nodeName : createHash('sha256').update(nodeName).digest('hex').slice(0, 32);
}

/** True for a volume whose node is to remove its directory: it is deleted, and nothing protects it any more. */
export function awaitsNode({ metadata: { deletionTimestamp, finalizers = [] } }: PersistentVolume): boolean {
  return (
    deletionTimestamp !== undefined && finalizers.includes(LOCAL_PATH_FINALIZER) && !finalizers.includes('kubernetes.io/pv-protection')
  );
}
