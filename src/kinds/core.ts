import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Binding: Kind<types.Binding> = defineKind<types.Binding>('v1/Binding', { virtual: true });
export type Binding = types.Binding;

export const ComponentStatus: Kind<types.ComponentStatus> = defineKind<types.ComponentStatus>('v1/ComponentStatus', { virtual: true });
export type ComponentStatus = types.ComponentStatus;

export const Endpoints: Kind<types.Endpoints> = defineKind('v1/Endpoints');
export type Endpoints = types.Endpoints;

export const LimitRange: Kind<types.LimitRange> = defineKind<types.LimitRange>('v1/LimitRange', {
  refused: 'limit ranges are not enforced yet, so none is stored',
});
export type LimitRange = types.LimitRange;

export const PersistentVolumeClaim: Kind<types.PersistentVolumeClaim> = defineKind<types.PersistentVolumeClaim>(
  'v1/PersistentVolumeClaim',
  { unattended: 'nothing binds or provisions volumes for claims yet: the claim stays Pending' },
);
export type PersistentVolumeClaim = types.PersistentVolumeClaim;

export const PersistentVolume: Kind<types.PersistentVolume> = defineKind<types.PersistentVolume>('v1/PersistentVolume', {
  unattended: 'nothing binds volumes to claims yet',
});
export type PersistentVolume = types.PersistentVolume;

export const PodTemplate: Kind<types.PodTemplate> = defineKind('v1/PodTemplate');
export type PodTemplate = types.PodTemplate;

export const ReplicationController: Kind<types.ReplicationController> = defineKind<types.ReplicationController>(
  'v1/ReplicationController',
  { unattended: 'no controller makes pods for ReplicationControllers yet: use a ReplicaSet or a Deployment' },
);
export type ReplicationController = types.ReplicationController;

export const ResourceQuota: Kind<types.ResourceQuota> = defineKind<types.ResourceQuota>('v1/ResourceQuota', {
  refused: 'resource quotas are not enforced yet, so none is stored',
});
export type ResourceQuota = types.ResourceQuota;
