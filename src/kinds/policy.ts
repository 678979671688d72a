import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const PodDisruptionBudget: Kind<types.PodDisruptionBudget> = defineKind('policy/v1/PodDisruptionBudget');
export type PodDisruptionBudget = types.PodDisruptionBudget;
