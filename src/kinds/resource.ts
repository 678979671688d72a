import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const DeviceClass: Kind<types.DeviceClass> = defineKind('resource.k8s.io/v1/DeviceClass');
export type DeviceClass = types.DeviceClass;

export const ResourceV1ResourceClaim: Kind<types.ResourceV1ResourceClaim> = defineKind('resource.k8s.io/v1/ResourceClaim');
export type ResourceV1ResourceClaim = types.ResourceV1ResourceClaim;

export const ResourceClaimTemplate: Kind<types.ResourceClaimTemplate> = defineKind('resource.k8s.io/v1/ResourceClaimTemplate');
export type ResourceClaimTemplate = types.ResourceClaimTemplate;

export const ResourceSlice: Kind<types.ResourceSlice> = defineKind('resource.k8s.io/v1/ResourceSlice');
export type ResourceSlice = types.ResourceSlice;
