import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CSIDriver: Kind<types.CSIDriver> = defineKind<types.CSIDriver>('storage.k8s.io/v1/CSIDriver', {
  unattended: 'CSI drivers are not used yet',
});
export type CSIDriver = types.CSIDriver;

export const CSINode: Kind<types.CSINode> = defineKind<types.CSINode>('storage.k8s.io/v1/CSINode', {
  unattended: 'CSI drivers are not used yet',
});
export type CSINode = types.CSINode;

export const CSIStorageCapacity: Kind<types.CSIStorageCapacity> = defineKind<types.CSIStorageCapacity>(
  'storage.k8s.io/v1/CSIStorageCapacity',
  { unattended: 'storage capacity is not used yet' },
);
export type CSIStorageCapacity = types.CSIStorageCapacity;

export const StorageClass: Kind<types.StorageClass> = defineKind<types.StorageClass>('storage.k8s.io/v1/StorageClass', {
  unattended: 'nothing provisions volumes by storage class yet',
});
export type StorageClass = types.StorageClass;

export const VolumeAttachment: Kind<types.VolumeAttachment> = defineKind<types.VolumeAttachment>('storage.k8s.io/v1/VolumeAttachment', {
  unattended: 'nothing attaches volumes yet',
});
export type VolumeAttachment = types.VolumeAttachment;

export const VolumeAttributesClass: Kind<types.VolumeAttributesClass> = defineKind<types.VolumeAttributesClass>(
  'storage.k8s.io/v1/VolumeAttributesClass',
  { unattended: 'nothing modifies volumes yet' },
);
export type VolumeAttributesClass = types.VolumeAttributesClass;
