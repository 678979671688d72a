import type { FieldCause } from '#base/errors.ts';
import { compareQuantities } from '#base/quantity.ts';
import { defineKind } from './define-kind.ts';
import { jsonEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkDnsSubdomain, forbidden, invalid, required, validateImmutable, validateLabelSelector } from './validation.ts';
import { accessModesText, validateAccessModes, validateClassName, validatePositiveQuantity, validateVolumeMode } from './volume-rules.ts';

/** A wish for a volume. */
export const PersistentVolumeClaim: Kind<types.PersistentVolumeClaim> = defineKind<types.PersistentVolumeClaim>(
  'v1/PersistentVolumeClaim',
  {
    defaults: ({ spec }) => defaultClaimSpec(spec),
    prepareForCreate(claim) {
      claim.status = { phase: 'Pending' };
      normalizeSources(claim.spec);
    },
    prepareForUpdate({ spec }) {
      normalizeSources(spec);
    },
    validate: ({ spec }) => validateClaimSpec(spec, 'spec'),
    validateUpdate: (claim, old) => validateClaimUpdate(claim, old),
    validateStatusUpdate({ status }) {
      return Object.entries(status?.capacity ?? {}).flatMap(([resource, amount]) =>
        validatePositiveQuantity(amount, `status.capacity[${resource}]`),
      );
    },
    cells: {
      Status: ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '')),
      Volume: ({ spec }) => spec.volumeName ?? '',
      Capacity: ({ spec, status }) => (spec.volumeName ? String(status?.capacity?.storage ?? '0') : ''),
      'Access Modes': ({ spec, status }) => (spec.volumeName ? accessModesText(status?.accessModes) : ''),
      StorageClass: claim => claimClassOf(claim),
      VolumeAttributesClass: ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
      VolumeMode: ({ spec }) => spec.volumeMode ?? '<unset>',
    },
  },
);
export type PersistentVolumeClaim = types.PersistentVolumeClaim;

const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** The storage class that a claim asks for; empty: none, it takes volumes without a class only. */
export function claimClassOf({ metadata, spec }: PersistentVolumeClaim): string {
  return metadata.annotations?.[BETA_CLASS] ?? spec.storageClassName ?? '';
}

/** What a claim's or a claim template's spec has when nothing is said. */
function defaultClaimSpec(spec: types.PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= 'Filesystem';
}

/** The same source is said in both of its fields; what the older field can't name is dropped. */
function normalizeSources(spec: types.PersistentVolumeClaimSpec): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) {
    const { apiGroup = '', kind } = dataSource;
    const isKnown =
      (apiGroup === '' && kind === 'PersistentVolumeClaim') || (apiGroup === 'snapshot.storage.k8s.io' && kind === 'VolumeSnapshot');
    if (isKnown) spec.dataSourceRef = { ...dataSource };
    else spec.dataSource = undefined;
  } else if (dataSourceRef && !dataSource && !dataSourceRef.namespace) {
    const { apiGroup, kind, name } = dataSourceRef;
    spec.dataSource = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}

/** A claim's spec, or that of a template. */
export function validateClaimSpec(spec: types.PersistentVolumeClaimSpec, path: string): FieldCause[] {
  const causes = validateAccessModes(spec.accessModes, `${path}.accessModes`, 'at least 1 access mode is required');
  causes.push(...validateLabelSelector(spec.selector, `${path}.selector`));
  const storage = spec.resources?.requests?.storage;
  if (storage === undefined) causes.push(required(`${path}.resources[storage]`));
  else causes.push(...validatePositiveQuantity(storage, `${path}.resources[storage]`));
  causes.push(...validateClassName(spec.storageClassName, `${path}.storageClassName`));
  causes.push(...validateVolumeMode(spec.volumeMode, `${path}.volumeMode`));
  for (const key of ['dataSource', 'dataSourceRef'] as const) causes.push(...validateSource(spec[key], `${path}.${key}`));
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && dataSourceRef && !isSameSource(dataSource, dataSourceRef))
    causes.push(invalid(path, `${path}.dataSource`, 'must match dataSourceRef'));
  causes.push(...validateClassName(spec.volumeAttributesClassName, `${path}.volumeAttributesClassName`));
  return causes;
}

function validateSource(source: types.TypedLocalObjectReference | undefined, path: string): FieldCause[] {
  if (!source) return [];
  const { apiGroup = '', kind, name } = source;
  const causes: FieldCause[] = name ? [] : [required(`${path}.name`)];
  if (!kind) causes.push(required(`${path}.kind`));
  if (apiGroup === '' && kind !== 'PersistentVolumeClaim')
    causes.push(invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (apiGroup) causes.push(...checkDnsSubdomain(apiGroup).map(why => invalid(`${path}.apiGroup`, apiGroup, why)));
  return causes;
}

function isSameSource(local: types.TypedLocalObjectReference, typed: types.TypedObjectReference): boolean {
  return (local.apiGroup ?? '') === (typed.apiGroup ?? '') && local.kind === typed.kind && local.name === typed.name;
}

/** Claims are fixed, so that nobody gets around quotas; a bound one may grow, and change its class of attributes. */
function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldCause[] {
  const { spec } = claim;
  const changeable = {
    volumeAttributesClassName: undefined,
    ...(old.spec.volumeName ? {} : { volumeName: undefined }),
    ...(old.spec.storageClassName === undefined && !old.metadata.annotations?.[BETA_CLASS] ? { storageClassName: undefined } : {}),
    ...(claim.status?.phase === 'Bound' ? { resources: withoutStorage(spec.resources) } : {}),
  };
  const before = { ...old.spec, ...changeable };
  if ('resources' in changeable) before.resources = withoutStorage(old.spec.resources);
  const causes: FieldCause[] = [];
  if (!jsonEqual({ ...spec, ...changeable }, before))
    causes.push(
      forbidden('spec', 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'),
    );
  const [size, was, has] = [sizeOf(spec), sizeOf(old.spec), claim.status?.capacity?.storage ?? 0];
  if (compareQuantities(size, was) < 0 && compareQuantities(size, has) <= 0)
    causes.push(forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'));
  causes.push(...validateImmutable(spec.volumeMode, old.spec.volumeMode, 'volumeMode'));
  if (old.spec.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined)
    causes.push(forbidden('spec.volumeAttributesClassName', 'update from non-nil value to nil is forbidden'));
  return causes;
}

function sizeOf({ resources }: types.PersistentVolumeClaimSpec): types.Quantity {
  return resources?.requests?.storage ?? 0;
}

function withoutStorage(resources: types.VolumeResourceRequirements | undefined): types.VolumeResourceRequirements {
  const { storage: _, ...requests } = resources?.requests ?? {};
  return { ...resources, requests };
}
