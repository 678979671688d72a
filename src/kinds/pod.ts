import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Pod: Kind<types.Pod> = defineKind('v1/Pod');
export type Pod = types.Pod;
