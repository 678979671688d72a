import { containerImages, containerNames, labelsText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import { forbidden, jsonEqual, required, validateEnum } from './validation.ts';

/** Gives a pod its node. */
export const Binding: Kind<types.Binding> = defineKind<types.Binding>('v1/Binding', { virtual: true });
export type Binding = types.Binding;

/** The health of a control-plane component, as older tools ask for it. */
export const ComponentStatus: Kind<types.ComponentStatus> = defineKind<types.ComponentStatus>('v1/ComponentStatus', {
  virtual: true,
  cells: {
    Status: ({ conditions }) => ({ True: 'Healthy', False: 'Unhealthy' })[healthOf(conditions)?.status ?? ''] ?? 'Unknown',
    Message: ({ conditions }) => healthOf(conditions)?.message ?? '',
    Error: ({ conditions }) => healthOf(conditions)?.error ?? '',
  },
});
export type ComponentStatus = types.ComponentStatus;

/** The addresses behind a Service, all in one object: older than EndpointSlice. */
export const Endpoints: Kind<types.Endpoints> = defineKind<types.Endpoints>('v1/Endpoints', {
  cells: { Endpoints: endpointsText },
});
export type Endpoints = types.Endpoints;

/** A wish for a volume. */
export const PersistentVolumeClaim: Kind<types.PersistentVolumeClaim> = defineKind<types.PersistentVolumeClaim>(
  'v1/PersistentVolumeClaim',
  {
    unattended: 'nothing binds or provisions volumes for claims yet: the claim stays Pending',
    defaults({ spec }) {
      spec.volumeMode ??= 'Filesystem';
    },
    prepareForCreate(claim) {
      claim.status = { phase: 'Pending' };
    },
    validate({ spec }) {
      const causes = spec.accessModes?.length ? [] : [required('spec.accessModes', 'at least 1 access mode is required')];
      spec.accessModes?.forEach((mode, i) => {
        causes.push(...validateEnum(mode, Object.keys(ACCESS_MODES), `spec.accessModes[${i}]`, true));
      });
      if (spec.resources?.requests?.storage === undefined) causes.push(required('spec.resources[storage]'));
      return causes;
    },
    validateUpdate({ spec }, old) {
      const fixed = {
        ...spec,
        resources: undefined,
        volumeName: undefined,
        volumeAttributesClassName: undefined,
        storageClassName: undefined,
      };
      const before = {
        ...old.spec,
        resources: undefined,
        volumeName: undefined,
        volumeAttributesClassName: undefined,
        storageClassName: undefined,
      };
      const bound = old.spec.volumeName && spec.volumeName !== old.spec.volumeName;
      if (jsonEqual(fixed, before) && !bound && (!old.spec.storageClassName || spec.storageClassName === old.spec.storageClassName))
        return [];
      return [
        forbidden('spec', 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'),
      ];
    },
    cells: {
      Status: ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '')),
      Volume: ({ spec }) => spec.volumeName ?? '',
      Capacity: ({ spec, status }) => (spec.volumeName ? String(status?.capacity?.storage ?? '0') : ''),
      'Access Modes': ({ spec, status }) => (spec.volumeName ? accessModesText(status?.accessModes) : ''),
      StorageClass: ({ spec }) => spec.storageClassName ?? '',
      VolumeAttributesClass: ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
      VolumeMode: ({ spec }) => spec.volumeMode ?? '<unset>',
    },
  },
);
export type PersistentVolumeClaim = types.PersistentVolumeClaim;

/** A volume of the cluster. */
export const PersistentVolume: Kind<types.PersistentVolume> = defineKind<types.PersistentVolume>('v1/PersistentVolume', {
  unattended: 'nothing binds volumes to claims yet',
  defaults({ spec }) {
    spec.persistentVolumeReclaimPolicy ||= 'Retain';
    spec.volumeMode ??= 'Filesystem';
    if (spec.hostPath) spec.hostPath.type ??= '';
  },
  prepareForCreate(volume) {
    volume.status = { phase: 'Pending' };
  },
  validate({ spec }) {
    const causes = spec.accessModes?.length ? [] : [required('spec.accessModes')];
    spec.accessModes?.forEach((mode, i) => {
      causes.push(...validateEnum(mode, Object.keys(ACCESS_MODES), `spec.accessModes[${i}]`, true));
    });
    if (!spec.capacity || Object.keys(spec.capacity).length === 0) causes.push(required('spec.capacity'));
    causes.push(...validateEnum(spec.persistentVolumeReclaimPolicy, ['Delete', 'Recycle', 'Retain'], 'spec.persistentVolumeReclaimPolicy'));
    return causes;
  },
  cells: {
    Capacity: ({ spec }) => String(spec.capacity?.storage ?? ''),
    'Access Modes': ({ spec }) => accessModesText(spec.accessModes),
    'Reclaim Policy': ({ spec }) => spec.persistentVolumeReclaimPolicy ?? '',
    Status: ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '')),
    Claim: ({ spec: { claimRef } }) => (claimRef ? `${claimRef.namespace}/${claimRef.name}` : ''),
    StorageClass: ({ spec }) => spec.storageClassName ?? '',
    VolumeAttributesClass: ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
    Reason: ({ status }) => status?.reason ?? '',
    VolumeMode: ({ spec }) => spec.volumeMode ?? '<unset>',
  },
});
export type PersistentVolume = types.PersistentVolume;

/** A pod template of its own. */
export const PodTemplate: Kind<types.PodTemplate> = defineKind<types.PodTemplate>('v1/PodTemplate', {
  defaults({ template }) {
    if (template) defaultPodSpec(template.spec);
  },
  validate: ({ template }) => (template ? validatePodTemplate(template, 'template') : [required('template')]),
  cells: {
    Containers: ({ template }) => containerNames(template),
    Images: ({ template }) => containerImages(template),
    'Pod Labels': ({ template }) => labelsText(template?.metadata?.labels),
  },
});
export type PodTemplate = types.PodTemplate;

const ACCESS_MODES: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function accessModesText(modes: string[] | undefined): string {
  return Object.keys(ACCESS_MODES)
    .filter(mode => modes?.includes(mode))
    .map(mode => ACCESS_MODES[mode])
    .join(',');
}

function healthOf(conditions: types.ComponentCondition[] | undefined): types.ComponentCondition | undefined {
  return conditions?.find(({ type }) => type === 'Healthy');
}

function endpointsText({ subsets = [] }: types.Endpoints): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0 ? addresses.map(({ ip }) => ip) : ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip}:${port}`)),
  );
  if (all.length === 0) return '<none>';
  return all.length <= 3 ? all.join(',') : `${all.slice(0, 3).join(',')} + ${all.length - 3} more...`;
}
