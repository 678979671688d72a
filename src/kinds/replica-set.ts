import type { FieldCause } from '#base/errors.ts';
import { replicasCells, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { workloadWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { invalid, validateNonNegative } from './validation.ts';
import { replicasScale, requireTemplate, validateEndlessPod, validateSameSelector, validateSelectorOfTemplate } from './workload.ts';

/** Keeps a number of like pods running. */
export const ReplicaSet: Kind<types.ReplicaSet> = defineKind<types.ReplicaSet>('apps/v1/ReplicaSet', {
  warnings: workloadWarnings,
  defaults({ spec }) {
    spec.replicas ??= 1;
    if (spec.template) defaultPodSpec(spec.template.spec);
  },
  validate({ spec }) {
    const causes = validateNonNegative(spec, ['replicas', 'minReadySeconds'], 'spec');
    causes.push(...requireTemplate(spec.template, 'spec.template'));
    if (!spec.template) return causes;
    causes.push(...validateSelectorOfTemplate(spec.selector, spec.template), ...validatePodTemplate(spec.template, 'spec.template'));
    causes.push(...validateEndlessPod(spec.template.spec, 'spec.template.spec', 'ReplicaSet'));
    return causes;
  },
  validateUpdate: ({ spec }, old) => validateSameSelector(spec.selector, old.spec.selector),
  validateStatusUpdate: ({ status }) => validateReplicasStatus(status),
  cells: {
    ...replicasCells,
    Selector: ({ spec }) => selectorText(spec.selector),
  },
  selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
  scale: replicasScale(({ spec }) => spec.selector),
});
export type ReplicaSet = types.ReplicaSet;

/** Counts of a ReplicaSet or ReplicationController: none negative, none greater than the whole. */
export function validateReplicasStatus(status: types.ReplicaSetStatus | undefined): FieldCause[] {
  if (!status) return [];
  const counts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'] as const;
  const causes = validateNonNegative(status, ['replicas', 'observedGeneration', 'terminatingReplicas', ...counts], 'status');
  for (const key of counts)
    if ((status[key] ?? 0) > status.replicas) causes.push(invalid(`status.${key}`, status[key], 'cannot be greater than status.replicas'));
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0))
    causes.push(invalid('status.availableReplicas', status.availableReplicas, 'cannot be greater than readyReplicas'));
  return causes;
}
