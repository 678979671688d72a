import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** A sort of device. */
export const DeviceClass: Kind<types.DeviceClass> = defineKind<types.DeviceClass>('resource.k8s.io/v1/DeviceClass', {
  unattended: 'dynamic resource allocation is not done yet',
});
export type DeviceClass = types.DeviceClass;

/** A wish for devices. */
export const ResourceV1ResourceClaim: Kind<types.ResourceV1ResourceClaim> = defineKind<types.ResourceV1ResourceClaim>(
  'resource.k8s.io/v1/ResourceClaim',
  {
    unattended: 'dynamic resource allocation is not done yet',
    cells: {
      State({ metadata, status }) {
        const words = metadata.deletionTimestamp ? ['deleted'] : [];
        if (status?.allocation) words.push('allocated');
        else if (words.length === 0) words.push('pending');
        if (status?.reservedFor?.length) words.push('reserved');
        return words.join(',');
      },
    },
  },
);
export type ResourceV1ResourceClaim = types.ResourceV1ResourceClaim;

/** The wish that each of some pods has. */
export const ResourceClaimTemplate: Kind<types.ResourceClaimTemplate> = defineKind<types.ResourceClaimTemplate>(
  'resource.k8s.io/v1/ResourceClaimTemplate',
  { unattended: 'dynamic resource allocation is not done yet' },
);
export type ResourceClaimTemplate = types.ResourceClaimTemplate;

/** Devices that a driver offers. */
export const ResourceSlice: Kind<types.ResourceSlice> = defineKind<types.ResourceSlice>('resource.k8s.io/v1/ResourceSlice', {
  unattended: 'dynamic resource allocation is not done yet',
  cells: {
    Node: ({ spec }) => spec.nodeName ?? '<unset>',
    Driver: ({ spec }) => spec.driver,
    Pool: ({ spec }) => spec.pool.name,
  },
  selectableFields: { 'spec.nodeName': ({ spec }) => spec.nodeName ?? '', 'spec.driver': ({ spec }) => spec.driver },
});
export type ResourceSlice = types.ResourceSlice;
