import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import { labelsText, replicasCells } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { validateReplicasStatus } from './replica-set.ts';
import type * as types from './types.gen.ts';
import { invalid, required, validateNonNegative } from './validation.ts';
import { replicasScale, validateEndlessPod } from './workload.ts';

/** What stood before ReplicaSets. */
export const ReplicationController: Kind<types.ReplicationController> = defineKind<types.ReplicationController>(
  'v1/ReplicationController',
  {
    defaults({ metadata, spec }) {
      spec.replicas ??= 1;
      if (!spec.template) return;
      const labels = spec.template.metadata?.labels ?? {};
      if (Object.keys(labels).length > 0) {
        if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
        if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
      }
      defaultPodSpec(spec.template.spec);
    },
    validate({ spec }) {
      const { selector = {}, template } = spec;
      const causes = validateNonNegative(spec, ['minReadySeconds'], 'spec');
      if (Object.keys(selector).length === 0) causes.push(required('spec.selector'));
      causes.push(...validateNonNegative(spec, ['replicas'], 'spec'));
      if (!template) return [...causes, required('spec.template')];
      const labels = template.metadata?.labels;
      if (Object.keys(selector).length > 0 && !matchesLabels(requirementsOf({ matchLabels: selector }), labels))
        causes.push(invalid('spec.template.metadata.labels', labels ?? {}, '`selector` does not match template `labels`'));
      causes.push(...validatePodTemplate(template, 'spec.template'));
      causes.push(...validateEndlessPod(template.spec, 'spec.template.spec', 'ReplicationController'));
      return causes;
    },
    validateStatusUpdate: ({ status }) => validateReplicasStatus(status),
    cells: {
      ...replicasCells,
      Selector: ({ spec }) => labelsText(spec.selector),
    },
    selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
    scale: replicasScale(({ spec }) => ({ matchLabels: spec.selector })),
  },
);
export type ReplicationController = types.ReplicationController;
