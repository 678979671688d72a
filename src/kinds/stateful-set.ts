import type { FieldCause } from '#base/errors.ts';
import { containerImages, containerNames } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { fractionWarnings } from './fraction-warnings.ts';
import { isMeaningEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import { validateClaimSpec } from './persistent-volume-claim.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { workloadWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, forbidden, invalid, validateEnum, validateName, validateNonNegative } from './validation.ts';
import { isZero, replicasScale, validateCountOrPercent, validateEndlessPod, validateSelectorOfTemplate } from './workload.ts';

const STATEFUL_SET_UPDATES =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const STATEFUL_SET_FIXED = ['podManagementPolicy', 'selector', 'serviceName', 'volumeClaimTemplates'] as const;

/** Pods with names and volumes of their own, in order. */
export const StatefulSet: Kind<types.StatefulSet> = defineKind<types.StatefulSet>('apps/v1/StatefulSet', {
  warnings: claimingWarnings,
  defaults({ spec }) {
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.podManagementPolicy ||= 'OrderedReady';
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.partition ??= 0;
    }
    spec.persistentVolumeClaimRetentionPolicy ??= {};
    spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
    spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
    for (const claim of spec.volumeClaimTemplates ?? []) {
      Object.assign(claim, { apiVersion: 'v1', kind: 'PersistentVolumeClaim' });
      claim.spec.volumeMode ??= 'Filesystem';
      claim.status ??= { phase: 'Pending' };
    }
    defaultPodSpec(spec.template.spec);
  },
  checkName: checkDnsLabel,
  validate: ({ spec }) => [
    ...validateManagement(spec),
    ...validateNonNegative(spec, ['replicas', 'minReadySeconds'], 'spec'),
    ...(spec.serviceName ? validateName(spec.serviceName, checkDnsLabel, 'spec.serviceName') : []),
    ...validateNonNegative(spec.ordinals ?? {}, ['start'], 'spec.ordinals'),
    ...validateSelectorOfTemplate(spec.selector, spec.template, 'spec', 'statefulset'),
    ...(spec.volumeClaimTemplates ?? []).flatMap((claim, i) => validateClaimSpec(claim.spec, `spec.volumeClaimTemplates[${i}].spec`)),
    // Claims become volumes of the same names.
    ...validatePodTemplate(withClaims(spec), 'spec.template'),
    ...validateEndlessPod(spec.template.spec, 'spec.template.spec', 'StatefulSet'),
  ],
  validateUpdate: ({ spec }, old) =>
    STATEFUL_SET_FIXED.every(key => isMeaningEqual(spec[key], old.spec[key])) ? [] : [forbidden('spec', STATEFUL_SET_UPDATES)],
  validateStatusUpdate: ({ status }, old) => (status ? validateStatus(status, old.status) : []),
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    Containers: ({ spec }) => containerNames(spec.template),
    Images: ({ spec }) => containerImages(spec.template),
  },
  scale: replicasScale(({ spec }) => spec.selector),
});
export type StatefulSet = types.StatefulSet;

function claimingWarnings(set: types.StatefulSet, old?: types.StatefulSet): string[] {
  const warnings = workloadWarnings(set, old);
  set.spec.volumeClaimTemplates?.forEach(({ spec: { resources } }, i) => {
    const at = `spec.volumeClaimTemplates[${i}].resources`;
    for (const which of ['requests', 'limits'] as const)
      warnings.push(...fractionWarnings(resources?.[which], `${at}.${which}`, ['storage']));
  });
  if ((set.spec.revisionHistoryLimit ?? 0) < 0)
    warnings.push('spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended');
  return warnings;
}

function withClaims({ template, volumeClaimTemplates = [] }: types.StatefulSetSpec): types.PodTemplateSpec {
  const names = new Set((template.spec.volumes ?? []).map(({ name }) => name));
  const claimed = volumeClaimTemplates
    .map(({ metadata }) => metadata.name ?? '')
    .filter(name => !names.has(name))
    .map(name => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...template, spec: { ...template.spec, volumes: [...(template.spec.volumes ?? []), ...claimed] } };
}

function validateManagement({ podManagementPolicy, updateStrategy = {}, ...spec }: types.StatefulSetSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!['OrderedReady', 'Parallel'].includes(podManagementPolicy ?? ''))
    causes.push(invalid('spec.podManagementPolicy', podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"));
  const { type, rollingUpdate } = updateStrategy;
  const at = 'spec.updateStrategy';
  if (type === 'OnDelete') {
    if (rollingUpdate) causes.push(invalid(`${at}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"));
  } else if (type !== 'RollingUpdate') causes.push(invalid(at, updateStrategy, "must be 'RollingUpdate' or 'OnDelete'"));
  else if (rollingUpdate) {
    causes.push(...validateNonNegative(rollingUpdate, ['partition'], `${at}.rollingUpdate`));
    const { maxUnavailable } = rollingUpdate;
    causes.push(...validateCountOrPercent(maxUnavailable, `${at}.rollingUpdate.maxUnavailable`, 100));
    if (maxUnavailable !== undefined && isZero(maxUnavailable))
      causes.push(invalid(`${at}.rollingUpdate.maxUnavailable`, maxUnavailable, 'cannot be 0'));
  }
  for (const key of ['whenDeleted', 'whenScaled'] as const) {
    const policy = spec.persistentVolumeClaimRetentionPolicy?.[key];
    causes.push(...validateEnum(policy, ['Retain', 'Delete'], `spec.persistentVolumeClaimRetentionPolicy.${key}`));
  }
  return causes;
}

function validateStatus(status: types.StatefulSetStatus, old: types.StatefulSetStatus | undefined): FieldCause[] {
  const parts = ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'] as const;
  const causes = validateNonNegative(status, ['replicas', ...parts, 'observedGeneration', 'collisionCount'], 'status');
  for (const key of parts)
    if ((status[key] ?? 0) > status.replicas) causes.push(invalid(`status.${key}`, status[key], 'cannot be greater than status.replicas'));
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0))
    causes.push(invalid('status.availableReplicas', status.availableReplicas, 'cannot be greater than status.readyReplicas'));
  if ((status.collisionCount ?? 0) < (old?.collisionCount ?? 0))
    causes.push(invalid('status.collisionCount', status.collisionCount ?? 0, 'cannot be decremented'));
  return causes;
}
