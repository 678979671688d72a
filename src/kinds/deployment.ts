import type { FieldCause } from '#base/errors.ts';
import { containerImages, containerNames, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { workloadWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { forbidden, invalid, notSupported, validateNonNegative } from './validation.ts';
import {
  percentOrCount,
  replicasScale,
  validateEndlessPod,
  validateSameSelector,
  validateSelectorOfTemplate,
  validateSurge,
} from './workload.ts';

const STRATEGIES = ['Recreate', 'RollingUpdate'];

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
    causes.push(...validateEndlessPod(spec.template.spec, 'spec.template.spec', 'ReplicaSet'));
    if (!STRATEGIES.includes(spec.strategy?.type ?? '')) causes.push(notSupported('spec.strategy', spec.strategy, STRATEGIES));
    if (spec.strategy?.type === 'Recreate') {
      if (spec.strategy.rollingUpdate)
        causes.push(forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"));
    } else if (spec.strategy?.rollingUpdate) causes.push(...validateSurge(spec.strategy.rollingUpdate, 'spec.strategy.rollingUpdate'));
    const { progressDeadlineSeconds, minReadySeconds = 0 } = spec;
    if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds)
      causes.push(invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'));
    return causes;
  },
  validateUpdate: ({ spec }, old) => validateSameSelector(spec.selector, old.spec.selector),
  validateStatusUpdate: ({ status = {} }, { status: old = {} }) => validateStatus(status, old),
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

function validateStatus(status: types.DeploymentStatus, old: types.DeploymentStatus): FieldCause[] {
  const parts = ['updatedReplicas', 'readyReplicas', 'availableReplicas'] as const;
  const others = ['unavailableReplicas', 'terminatingReplicas', 'collisionCount'] as const;
  const causes = validateNonNegative(status, ['observedGeneration', 'replicas', ...parts, ...others], 'status');
  for (const key of parts)
    if ((status[key] ?? 0) > (status.replicas ?? 0))
      causes.push(invalid(`status.${key}`, status[key] ?? 0, 'cannot be greater than status.replicas'));
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0))
    causes.push(invalid('status.availableReplicas', status.availableReplicas, 'cannot be greater than readyReplicas'));
  if ((status.collisionCount ?? 0) < (old.collisionCount ?? 0))
    causes.push(invalid('status.collisionCount', status.collisionCount ?? 0, 'cannot be decremented'));
  return causes;
}

/** How many pods more than wanted, and how many fewer available, a rolling update may have. One of them is always at least 1. */
export function rollingLimits({ spec }: types.Deployment): { maxSurge: number; maxUnavailable: number } {
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
  const replicas = spec.replicas ?? 1;
  const surge = percentOrCount(maxSurge, replicas, 'up');
  const unavailable = percentOrCount(maxUnavailable, replicas, 'down');
  return { maxSurge: surge, maxUnavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}
