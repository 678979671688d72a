import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CSIDriver: Kind<types.CSIDriver> = defineKind('storage.k8s.io/v1/CSIDriver');
export type CSIDriver = types.CSIDriver;

export const CSINode: Kind<types.CSINode> = defineKind('storage.k8s.io/v1/CSINode');
export type CSINode = types.CSINode;

export const CSIStorageCapacity: Kind<types.CSIStorageCapacity> = defineKind('storage.k8s.io/v1/CSIStorageCapacity');
export type CSIStorageCapacity = types.CSIStorageCapacity;

export const StorageClass: Kind<types.StorageClass> = defineKind('storage.k8s.io/v1/StorageClass');
export type StorageClass = types.StorageClass;

export const VolumeAttachment: Kind<types.VolumeAttachment> = defineKind('storage.k8s.io/v1/VolumeAttachment');
export type VolumeAttachment = types.VolumeAttachment;

export const VolumeAttributesClass: Kind<types.VolumeAttributesClass> = defineKind('storage.k8s.io/v1/VolumeAttributesClass');
export type VolumeAttributesClass = types.VolumeAttributesClass;
