import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const PriorityClass: Kind<types.PriorityClass> = defineKind('scheduling.k8s.io/v1/PriorityClass');
export type PriorityClass = types.PriorityClass;
