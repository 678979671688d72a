import { formatLabelSelector, requirementsOf } from '#base/label-selector.ts';
import { containerImages, containerNames } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import { forbidden, jsonEqual, validateEnum, validateNonNegative } from './validation.ts';
import { validateSelectorOfTemplate } from './workload.ts';

const STATEFUL_SET_UPDATES =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const STATEFUL_SET_FIXED = ['podManagementPolicy', 'selector', 'serviceName', 'volumeClaimTemplates'] as const;

/** Pods with names and volumes of their own, in order. */
export const StatefulSet: Kind<types.StatefulSet> = defineKind<types.StatefulSet>('apps/v1/StatefulSet', {
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
      claim.spec.volumeMode ??= 'Filesystem';
      claim.status ??= { phase: 'Pending' };
    }
    defaultPodSpec(spec.template.spec);
  },
  validate: ({ spec }) => [
    ...validateSelectorOfTemplate(spec.selector, spec.template),
    // Claims become volumes of the same names.
    ...validatePodTemplate(withClaims(spec), 'spec.template'),
    ...validateEnum(spec.template.spec.restartPolicy, ['Always'], 'spec.template.spec.restartPolicy'),
    ...validateNonNegative(spec, ['replicas', 'minReadySeconds', 'revisionHistoryLimit'], 'spec'),
    ...validateEnum(spec.podManagementPolicy, ['OrderedReady', 'Parallel'], 'spec.podManagementPolicy'),
    ...validateEnum(spec.updateStrategy?.type, ['OnDelete', 'RollingUpdate'], 'spec.updateStrategy.type'),
  ],
  validateUpdate: ({ spec }, old) =>
    STATEFUL_SET_FIXED.every(key => jsonEqual(spec[key], old.spec[key])) ? [] : [forbidden('spec', STATEFUL_SET_UPDATES)],
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    Containers: ({ spec }) => containerNames(spec.template),
    Images: ({ spec }) => containerImages(spec.template),
  },
  scale: {
    specReplicas: ({ spec }) => spec.replicas ?? 0,
    setSpecReplicas({ spec }, replicas) {
      spec.replicas = replicas;
    },
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => formatLabelSelector(requirementsOf(spec.selector)),
  },
});
export type StatefulSet = types.StatefulSet;

function withClaims({ template, volumeClaimTemplates = [] }: types.StatefulSetSpec): types.PodTemplateSpec {
  const names = new Set((template.spec.volumes ?? []).map(({ name }) => name));
  const claimed = volumeClaimTemplates
    .map(({ metadata }) => metadata.name ?? '')
    .filter(name => !names.has(name))
    .map(name => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...template, spec: { ...template.spec, volumes: [...(template.spec.volumes ?? []), ...claimed] } };
}
