import { addQuantities, formatQuantity, parseQuantity, quantityValue } from '#base/index.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';
import { isSidecar } from './plan-pod.ts';

/** Bytes that a pod has on the node's disk. */
export interface StorageUse {
  /** Of its emptyDir volumes on disk, by name. */
  volumes: ReadonlyMap<string, number>;
  /** Of its containers, by name: what they wrote over their images, and their logs. */
  containers: ReadonlyMap<string, number>;
}

const RESOURCE = 'ephemeral-storage';

/** Its volumes on the node's disk that are emptied with it. Pure. */
export function diskVolumes({ spec }: Pod): { name: string; sizeLimit?: string | number | undefined }[] {
  return (spec.volumes ?? []).flatMap(({ name, emptyDir }) =>
    emptyDir && emptyDir.medium !== 'Memory' ? [{ name, sizeLimit: emptyDir.sizeLimit }] : [],
  );
}

/** Whether it may not take as much of the node's disk as there is. Pure. */
export function isStorageLimited(pod: Pod): boolean {
  const { containers, initContainers = [] } = pod.spec;
  return diskVolumes(pod).some(({ sizeLimit }) => positive(sizeLimit)) || [...initContainers, ...containers].some(one => limitOf(one));
}

/** Why the pod must go for what it has on the disk, in the kubelet's words. Pure. */
export function planStorageEviction(pod: Pod, { volumes, containers }: StorageUse): string | undefined {
  for (const { name, sizeLimit } of diskVolumes(pod))
    if (positive(sizeLimit) && (volumes.get(name) ?? 0) > quantityValue(sizeLimit ?? 0))
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${sizeLimit}". `;
  const whole = podLimit(pod);
  const used = [...volumes.values(), ...containers.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (whole !== undefined && used > quantityValue(whole))
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${whole}. `;
  for (const container of pod.spec.containers) {
    const limit = limitOf(container);
    if (limit !== undefined && (containers.get(container.name) ?? 0) > quantityValue(limit))
      return `Container ${container.name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  return undefined;
}

/** What all its containers that stay may have together, or an init container that needs more alone. */
function podLimit({ spec }: Pod): string | undefined {
  const own = (containers: readonly ContainerSpec[]) => containers.flatMap(container => limitOf(container) ?? []);
  const inits = spec.initContainers ?? [];
  const staying = own([...inits.filter(isSidecar), ...spec.containers]).map(parseQuantity);
  const together = staying.length > 0 ? [formatQuantity(staying.reduce(addQuantities))] : [];
  const all = [...together, ...own(inits.filter(one => !isSidecar(one)))];
  return all.length === 0 ? undefined : String(all.reduce((most, one) => (quantityValue(one) > quantityValue(most) ? one : most)));
}

function limitOf({ resources }: ContainerSpec): string | number | undefined {
  const limit = resources?.limits?.[RESOURCE];
  return positive(limit) ? limit : undefined;
}

function positive(quantity: string | number | undefined): boolean {
  return quantity !== undefined && quantityValue(quantity) > 0;
}
