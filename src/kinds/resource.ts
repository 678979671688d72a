import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const DeviceClass: Kind<types.DeviceClass> = defineKind<types.DeviceClass>('resource.k8s.io/v1/DeviceClass', {
  unattended: 'dynamic resource allocation is not done yet',
});
export type DeviceClass = types.DeviceClass;

export const ResourceV1ResourceClaim: Kind<types.ResourceV1ResourceClaim> = defineKind<types.ResourceV1ResourceClaim>(
  'resource.k8s.io/v1/ResourceClaim',
  { unattended: 'dynamic resource allocation is not done yet' },
);
export type ResourceV1ResourceClaim = types.ResourceV1ResourceClaim;

export const ResourceClaimTemplate: Kind<types.ResourceClaimTemplate> = defineKind<types.ResourceClaimTemplate>(
  'resource.k8s.io/v1/ResourceClaimTemplate',
  { unattended: 'dynamic resource allocation is not done yet' },
);
export type ResourceClaimTemplate = types.ResourceClaimTemplate;

export const ResourceSlice: Kind<types.ResourceSlice> = defineKind<types.ResourceSlice>('resource.k8s.io/v1/ResourceSlice', {
  unattended: 'dynamic resource allocation is not done yet',
});
export type ResourceSlice = types.ResourceSlice;
