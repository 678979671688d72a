import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import {
  validateAttachment,
  validateCapacity,
  validateDriver,
  validateNodeDrivers,
  validateParameters,
  validateProvisioner,
  validateTopologies,
} from './storage-validation.ts';
import type * as types from './types.gen.ts';
import { forbidden, jsonEqual, validateEnum, validateImmutable } from './validation.ts';

const GROUP = 'storage.k8s.io';
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

/** What a storage driver can do. */
export const CSIDriver: Kind<types.CSIDriver> = defineKind<types.CSIDriver>(`${GROUP}/v1/CSIDriver`, {
  unattended: 'CSI drivers are not used yet',
  defaults({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    spec.volumeLifecycleModes ??= ['Persistent'];
  },
  validate: validateDriver,
  validateUpdate: ({ spec }, old) => [
    // The field's name is misspelt in Kubernetes' own message.
    ...validateImmutable(spec.attachRequired, old.spec.attachRequired, 'spec.attachedRequired'),
    ...validateImmutable(spec.volumeLifecycleModes, old.spec.volumeLifecycleModes, 'spec.volumeLifecycleModes'),
  ],
  cells: {
    AttachRequired: ({ spec }) => spec.attachRequired ?? true,
    PodInfoOnMount: ({ spec }) => spec.podInfoOnMount ?? false,
    StorageCapacity: ({ spec }) => spec.storageCapacity ?? false,
    TokenRequests: ({ spec }) => (spec.tokenRequests ?? []).map(({ audience }) => audience).join(',') || '<unset>',
    RequiresRepublish: ({ spec }) => spec.requiresRepublish ?? false,
    Modes: ({ spec }) => (spec.volumeLifecycleModes ?? []).join(',') || '<none>',
  },
});
export type CSIDriver = types.CSIDriver;

/** The storage drivers of one node. */
export const CSINode: Kind<types.CSINode> = defineKind<types.CSINode>(`${GROUP}/v1/CSINode`, {
  unattended: 'CSI drivers are not used yet',
  validate: ({ spec }) => validateNodeDrivers(spec.drivers),
  validateUpdate: ({ spec }, old) =>
    spec.drivers.flatMap((driver, i) => {
      const before = old.spec.drivers.find(({ name }) => name === driver.name);
      const [{ allocatable: _, ...now }, { allocatable: __, ...was }] = [driver, before ?? driver];
      return validateImmutable(now, was, `spec.drivers[${i}]`);
    }),
  cells: { Drivers: ({ spec }) => spec.drivers.length },
});
export type CSINode = types.CSINode;

/** How much of a class is left in a part of the cluster. */
export const CSIStorageCapacity: Kind<types.CSIStorageCapacity> = defineKind<types.CSIStorageCapacity>(`${GROUP}/v1/CSIStorageCapacity`, {
  unattended: 'storage capacity is not used yet',
  validate: validateCapacity,
  validateUpdate: ({ storageClassName, nodeTopology }, old) => [
    ...validateImmutable(nodeTopology, old.nodeTopology, 'nodeTopology'),
    ...validateImmutable(storageClassName, old.storageClassName, 'storageClassName'),
  ],
});
export type CSIStorageCapacity = types.CSIStorageCapacity;

/** A sort of volume. */
export const StorageClass: Kind<types.StorageClass> = defineKind<types.StorageClass>(`${GROUP}/v1/StorageClass`, {
  defaults(storageClass) {
    storageClass.reclaimPolicy ??= 'Delete';
    storageClass.volumeBindingMode ??= 'Immediate';
  },
  validate: ({ provisioner, parameters, reclaimPolicy, volumeBindingMode, allowedTopologies }) => [
    ...validateProvisioner(provisioner, 'provisioner'),
    ...validateParameters(parameters, 'parameters'),
    ...validateEnum(reclaimPolicy, ['Delete', 'Retain'], 'reclaimPolicy', true),
    ...validateEnum(volumeBindingMode, ['Immediate', 'WaitForFirstConsumer'], 'volumeBindingMode', true),
    ...validateTopologies(allowedTopologies, 'allowedTopologies'),
  ],
  validateUpdate(storageClass, old) {
    const causes: FieldCause[] = [];
    for (const key of ['parameters', 'provisioner', 'reclaimPolicy'] as const)
      if (!jsonEqual(storageClass[key], old[key])) causes.push(forbidden(key, `updates to ${key} are forbidden.`));
    return [...causes, ...validateImmutable(storageClass.volumeBindingMode, old.volumeBindingMode, 'volumeBindingMode')];
  },
  cells: {
    Name: ({ metadata }) => (metadata.annotations?.[DEFAULT_CLASS] === 'true' ? `${metadata.name} (default)` : metadata.name),
    Provisioner: ({ provisioner }) => provisioner,
    ReclaimPolicy: ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete',
    VolumeBindingMode: ({ volumeBindingMode }) => volumeBindingMode ?? '<unset>',
    AllowVolumeExpansion: ({ allowVolumeExpansion }) => String(allowVolumeExpansion ?? false),
  },
});
export type StorageClass = types.StorageClass;

/** A volume on its way to a node. */
export const VolumeAttachment: Kind<types.VolumeAttachment> = defineKind<types.VolumeAttachment>(`${GROUP}/v1/VolumeAttachment`, {
  unattended: 'nothing attaches volumes yet',
  validate: validateAttachment,
  validateUpdate: ({ spec }, old) => validateImmutable(spec, old.spec, 'spec'),
  cells: {
    Attacher: ({ spec }) => spec.attacher,
    PV: ({ spec }) => spec.source.persistentVolumeName ?? '',
    Node: ({ spec }) => spec.nodeName,
    Attached: ({ status }) => status?.attached ?? false,
  },
});
export type VolumeAttachment = types.VolumeAttachment;

/** Changeable properties of volumes. */
export const VolumeAttributesClass: Kind<types.VolumeAttributesClass> = defineKind<types.VolumeAttributesClass>(
  `${GROUP}/v1/VolumeAttributesClass`,
  {
    unattended: 'nothing modifies volumes yet',
    validate: ({ driverName, parameters }) => [
      ...validateProvisioner(driverName, 'driverName'),
      ...validateParameters(parameters, 'parameters', true),
    ],
    validateUpdate: ({ parameters, driverName }, old) => [
      ...validateImmutable(driverName, old.driverName, 'driverName'),
      ...validateImmutable(parameters, old.parameters, 'parameters'),
    ],
    cells: { DriverName: ({ driverName }) => driverName },
  },
);
export type VolumeAttributesClass = types.VolumeAttributesClass;
