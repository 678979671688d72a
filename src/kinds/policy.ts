import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, validateEnum, validateLabelSelector } from './validation.ts';
import { validateCountOrPercent } from './workload.ts';

/** How many of some pods may be disturbed at once. */
export const PodDisruptionBudget: Kind<types.PodDisruptionBudget> = defineKind<types.PodDisruptionBudget>('policy/v1/PodDisruptionBudget', {
  validate({ spec }) {
    const causes = validateCountOrPercent(spec.minAvailable, 'spec.minAvailable', 100);
    causes.push(...validateCountOrPercent(spec.maxUnavailable, 'spec.maxUnavailable', 100));
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined)
      causes.push(invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'));
    causes.push(...validateLabelSelector(spec.selector, 'spec.selector'));
    causes.push(...validateEnum(spec.unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget'], 'spec.unhealthyPodEvictionPolicy'));
    return causes;
  },
  validateStatusUpdate: ({ status = {} }) =>
    (['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const).flatMap(field => {
      const count = status[field] ?? 0;
      return count < 0 ? [invalid(`status.${field}`, count, 'must be greater than or equal to 0')] : [];
    }),
  cells: {
    'Min Available': ({ spec }) => String(spec.minAvailable ?? 'N/A'),
    'Max Unavailable': ({ spec }) => String(spec.maxUnavailable ?? 'N/A'),
    'Allowed Disruptions': ({ status }) => status?.disruptionsAllowed ?? 0,
  },
});
export type PodDisruptionBudget = types.PodDisruptionBudget;
