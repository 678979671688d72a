import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const PodDisruptionBudget: Kind<types.PodDisruptionBudget> = defineKind<types.PodDisruptionBudget>('policy/v1/PodDisruptionBudget', {
  unattended: 'disruption budgets are not enforced yet',
});
export type PodDisruptionBudget = types.PodDisruptionBudget;
