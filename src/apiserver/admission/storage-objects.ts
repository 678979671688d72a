import { compareQuantities } from '#base/quantity.ts';
import type { PersistentVolumeClaim, StorageClass } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin } from '../write.ts';

/** Claims and volumes that are in use are not taken away: finalizers hold them until nobody uses them. */
export function storageObjectInUseProtection(claims: Stored, volumes: Stored): AdmissionPlugin {
  return {
    name: 'StorageObjectInUseProtection',
    mutate({ operation, served, subresource, object: { metadata } }) {
      if (operation !== 'CREATE' || subresource) return;
      const name =
        served.cache === claims.cache
          ? 'kubernetes.io/pvc-protection'
          : served.cache === volumes.cache
            ? 'kubernetes.io/pv-protection'
            : undefined;
      if (name && !metadata.finalizers?.includes(name)) metadata.finalizers = [...(metadata.finalizers ?? []), name];
    },
  };
}

/** A claim grows only where its storage class lets it. */
export function claimResize(claims: Stored, classes: Stored): AdmissionPlugin {
  return {
    name: 'PersistentVolumeClaimResize',
    validate({ operation, served, subresource, name, object, old }) {
      if (operation !== 'UPDATE' || served.cache !== claims.cache || subresource) return;
      const [now, before] = [object as PersistentVolumeClaim, old as PersistentVolumeClaim];
      const [size, was] = [now.spec.resources?.requests?.storage ?? 0, before.spec.resources?.requests?.storage ?? 0];
      if (compareQuantities(size, was) <= 0) return;
      const storageClass = now.spec.storageClassName ? classes.cache.get(now.spec.storageClassName)?.object<StorageClass>() : undefined;
      if (storageClass?.allowVolumeExpansion) return;
      throw forbidden(
        claims.resource,
        name,
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
      );
    },
  };
}
