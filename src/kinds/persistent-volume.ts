import { normalize } from 'node:path/posix';
import type { FieldCause } from '#base/errors.ts';
import { validateNodeSelector } from './affinity-validation.ts';
import { defineKind } from './define-kind.ts';
import { isMeaningEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import { nodeTermWarnings } from './node-label-warnings.ts';
import type * as types from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  forbidden,
  invalid,
  notSupported,
  required,
  validateEnum,
  validateImmutable,
  validateName,
} from './validation.ts';
import {
  accessModesText,
  validateAccessModes,
  validateClassName,
  validateHostPathType,
  validatePositiveQuantity,
  validateVolumeMode,
} from './volume-rules.ts';
import { validateDriverName } from './volume-source-validation.ts';

/** A volume of the cluster. */
export const PersistentVolume: Kind<types.PersistentVolume> = defineKind<types.PersistentVolume>('v1/PersistentVolume', {
  defaults({ spec }) {
    spec.persistentVolumeReclaimPolicy ||= 'Retain';
    spec.volumeMode ??= 'Filesystem';
    if (spec.hostPath) spec.hostPath.type ??= '';
  },
  prepareForCreate(volume) {
    volume.status = { phase: 'Pending' };
  },
  warnings: ({ metadata, spec }) => volumeSpecWarnings(spec, metadata.annotations),
  validate: ({ spec }) => validateVolumeSpec(spec),
  validateUpdate: ({ spec }, old) => {
    const causes: FieldCause[] = [];
    if (!isMeaningEqual(sourceOf(spec), sourceOf(old.spec)))
      causes.push(forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'));
    causes.push(...validateImmutable(spec.volumeMode, old.spec.volumeMode, 'volumeMode'));
    if (old.spec.nodeAffinity) causes.push(...validateImmutable(spec.nodeAffinity, old.spec.nodeAffinity, 'nodeAffinity'));
    if (old.spec.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined)
      causes.push(forbidden('spec.volumeAttributesClassName', 'update from non-nil value to nil is forbidden'));
    return causes;
  },
  cells: {
    Capacity: ({ spec }) => String(spec.capacity?.storage ?? ''),
    'Access Modes': ({ spec }) => accessModesText(spec.accessModes),
    'Reclaim Policy': ({ spec }) => spec.persistentVolumeReclaimPolicy ?? '',
    Status: ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '')),
    Claim: ({ spec: { claimRef } }) => (claimRef ? `${claimRef.namespace}/${claimRef.name}` : ''),
    StorageClass: volume => volumeClassOf(volume),
    VolumeAttributesClass: ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
    Reason: ({ status }) => status?.reason ?? '',
    VolumeMode: ({ spec }) => spec.volumeMode ?? '<unset>',
  },
});
export type PersistentVolume = types.PersistentVolume;

const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** The storage class that a volume is of; empty: none. */
export function volumeClassOf({ metadata, spec }: PersistentVolume): string {
  return metadata.annotations?.[BETA_CLASS] ?? spec.storageClassName ?? '';
}

/** What says of a volume how it is claimed and used; all else says where it is. */
const OTHERS = new Set<string>([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

/** Where the volume is: `{ hostPath: … }`, `{ local: … }`, `{ csi: … }`. */
function sourceOf(spec: types.PersistentVolumeSpec): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec).filter(([key, value]) => value !== undefined && !OTHERS.has(key)));
}

function validateVolumeSpec(spec: types.PersistentVolumeSpec): FieldCause[] {
  const causes = validateAccessModes(spec.accessModes, 'spec.accessModes');
  const { capacity = {}, hostPath, persistentVolumeReclaimPolicy: policy } = spec;
  const resources = Object.keys(capacity);
  if (resources.length === 0) causes.push(required('spec.capacity'));
  if (capacity.storage === undefined || resources.length > 1) causes.push(notSupported('spec.capacity', capacity, ['storage']));
  for (const [name, amount] of Object.entries(capacity)) causes.push(...validatePositiveQuantity(amount, `spec.capacity[${name}]`));
  causes.push(...validateEnum(policy, ['Delete', 'Recycle', 'Retain'], 'spec.persistentVolumeReclaimPolicy'));
  if (spec.nodeAffinity)
    causes.push(
      ...(spec.nodeAffinity.required
        ? validateNodeSelector(spec.nodeAffinity.required, 'spec.nodeAffinity.required')
        : [required('spec.nodeAffinity.required', 'must specify required node constraints')]),
    );
  causes.push(...validateSource(spec));
  if (policy === 'Recycle' && hostPath && normalize(hostPath.path) === '/')
    causes.push(forbidden('spec.persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'"));
  causes.push(...validateClassName(spec.storageClassName, 'spec.storageClassName'));
  causes.push(...validateVolumeMode(spec.volumeMode, 'spec.volumeMode'));
  if (spec.volumeAttributesClassName !== undefined) causes.push(...validateAttributesClass(spec));
  return causes;
}

function validateAttributesClass({ volumeAttributesClassName: name, csi }: types.PersistentVolumeSpec): FieldCause[] {
  const path = 'spec.volumeAttributesClassName';
  const causes = name ? validateClassName(name, path) : [required(path, 'an empty string is disallowed')];
  if (!csi) causes.push(required('spec.csi', 'has to be specified when using volumeAttributesClassName'));
  return causes;
}

/** The order in which upstream looks for a volume's source: the first is judged, the others are one too many. */
const SOURCES = [
  'hostPath',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'glusterfs',
  'flocker',
  'nfs',
  'rbd',
  'quobyte',
  'cephfs',
  'iscsi',
  'cinder',
  'fc',
  'flexVolume',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'scaleIO',
  'local',
  'storageos',
  'csi',
];

function validateSource(spec: types.PersistentVolumeSpec): FieldCause[] {
  const [first, ...more] = Object.keys(sourceOf(spec)).sort((a, b) => SOURCES.indexOf(a) - SOURCES.indexOf(b));
  if (!first) return [required('spec', 'must specify a volume type')];
  const causes = more.map(source =>
    forbidden(`spec.${source === 'cephfs' ? 'cephFS' : source}`, 'may not specify more than 1 volume type'),
  );
  const { hostPath, local, nfs, csi, nodeAffinity }: types.PersistentVolumeSpec = { ...spec, ...sourceOnly(spec, first) };
  if (hostPath) {
    causes.push(...validatePath(hostPath.path, 'spec.hostPath.path'));
    causes.push(...validateHostPathType(hostPath.type, 'spec.hostPath.type'));
  }
  if (local) {
    causes.push(...validatePath(local.path, 'spec.local.path'));
    if (!nodeAffinity) causes.push(required('spec.nodeAffinity', 'Local volume requires node affinity'));
  }
  if (nfs) {
    if (!nfs.server) causes.push(required('spec.nfs.server'));
    if (!nfs.path) causes.push(required('spec.nfs.path'));
    else if (!nfs.path.startsWith('/')) causes.push(invalid('spec.nfs.path', nfs.path, 'must be an absolute path'));
  }
  if (csi) {
    causes.push(...validateDriverName(csi.driver, 'spec.csi.driver'));
    if (!csi.volumeHandle) causes.push(required('spec.csi.volumeHandle'));
    for (const key of CSI_SECRETS) if (csi[key]) causes.push(...validateSecretReference(csi[key], `spec.csi.${key}`));
  }
  return causes;
}

const CSI_SECRETS = ['controllerPublishSecretRef', 'controllerExpandSecretRef', 'nodePublishSecretRef', 'nodeExpandSecretRef'] as const;

function validateSecretReference({ name, namespace }: types.SecretReference, at: string): FieldCause[] {
  return [...validateName(name, checkDnsSubdomain, `${at}.name`), ...validateName(namespace, checkDnsLabel, `${at}.namespace`)];
}

/** Of the sources only that one. */
function sourceOnly(spec: types.PersistentVolumeSpec, source: string): Partial<types.PersistentVolumeSpec> {
  return Object.fromEntries(SOURCES.map(one => [one, one === source ? spec[one as keyof types.PersistentVolumeSpec] : undefined]));
}

const REMOVED: Record<string, string> = {
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};
const OLD_ANNOTATIONS: Record<string, string> = {
  [BETA_CLASS]: 'deprecated since v1.8; use "storageClassName" attribute instead',
  'volume.beta.kubernetes.io/mount-options': 'deprecated since v1.31; use "mountOptions" attribute instead',
};

function volumeSpecWarnings(spec: types.PersistentVolumeSpec, annotations: Record<string, string> = {}): string[] {
  const warnings: string[] = [];
  for (const key in annotations)
    if (Object.hasOwn(OLD_ANNOTATIONS, key)) warnings.push(`metadata.annotations[${key}]: ${OLD_ANNOTATIONS[key]}`);
  if (spec.persistentVolumeReclaimPolicy === 'Recycle')
    warnings.push(
      'spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.',
    );
  spec.nodeAffinity?.required?.nodeSelectorTerms.forEach((term, i) => {
    warnings.push(...nodeTermWarnings(term, `spec.nodeAffinity.required.nodeSelectorTerms[${i}]`));
  });
  for (const [source, why] of Object.entries(REMOVED))
    if (spec[source as keyof types.PersistentVolumeSpec]) warnings.push(`spec.${source === 'storageos' ? 'storageOS' : source}: ${why}`);
  return warnings;
}

function validatePath(path: string, field: string): FieldCause[] {
  if (!path) return [required(field)];
  return path.split('/').includes('..') ? [invalid(field, path, "must not contain '..'")] : [];
}
