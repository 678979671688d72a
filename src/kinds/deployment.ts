import { containerImages, containerNames, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { workloadWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { forbidden, invalid, validateEnum, validateImmutable, validateNonNegative } from './validation.ts';
import { percentOrCount, replicasScale, validateEndlessPod, validateSelectorOfTemplate, validateSurge } from './workload.ts';

/** Keeps a number of like pods running and replaces them step by step when their template changes. */
export const Deployment: Kind<types.Deployment> = defineKind<types.Deployment>('apps/v1/Deployment', {
  warnings: workloadWarnings,
  defaults({ spec }) {
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    spec.strategy ??= {};
    spec.strategy.type ||= 'RollingUpdate';
    if (spec.strategy.type === 'RollingUpdate') {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
      spec.strategy.rollingUpdate.maxSurge ??= '25%';
    }
    defaultPodSpec(spec.template.spec);
  },
  validate({ spec }) {
    const causes = validateNonNegative(spec, ['replicas', 'minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds'], 'spec');
    causes.push(...validateSelectorOfTemplate(spec.selector, spec.template), ...validatePodTemplate(spec.template, 'spec.template'));
    causes.push(...validateEndlessPod(spec.template.spec, 'spec.template.spec', 'Deployment'));
    causes.push(...validateEnum(spec.strategy?.type, ['Recreate', 'RollingUpdate'], 'spec.strategy.type'));
    if (spec.strategy?.type === 'Recreate') {
      if (spec.strategy.rollingUpdate)
        causes.push(forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"));
    } else if (spec.strategy?.rollingUpdate) causes.push(...validateSurge(spec.strategy.rollingUpdate, 'spec.strategy.rollingUpdate'));
    const { progressDeadlineSeconds, minReadySeconds = 0 } = spec;
    if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds)
      causes.push(invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'));
    return causes;
  },
  validateUpdate: ({ spec }, old) => validateImmutable(spec.selector, old.spec.selector, 'spec.selector'),
  validateStatusUpdate: ({ status = {} }) =>
    validateNonNegative(
      status,
      ['observedGeneration', 'replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas', 'unavailableReplicas', 'collisionCount'],
      'status',
    ),
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    'Up-to-date': ({ status }) => String(status?.updatedReplicas ?? 0),
    Available: ({ status }) => String(status?.availableReplicas ?? 0),
    Containers: ({ spec }) => containerNames(spec.template),
    Images: ({ spec }) => containerImages(spec.template),
    Selector: ({ spec }) => selectorText(spec.selector),
  },
  scale: replicasScale(({ spec }) => spec.selector),
});
export type Deployment = types.Deployment;

/** How many pods more than wanted, and how many fewer available, a rolling update may have. One of them is always at least 1. */
export function rollingLimits({ spec }: types.Deployment): { maxSurge: number; maxUnavailable: number } {
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
  const replicas = spec.replicas ?? 1;
  const surge = percentOrCount(maxSurge, replicas, 'up');
  const unavailable = percentOrCount(maxUnavailable, replicas, 'down');
  return { maxSurge: surge, maxUnavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}
