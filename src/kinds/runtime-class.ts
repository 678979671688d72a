import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const RuntimeClass: Kind<types.RuntimeClass> = defineKind('node.k8s.io/v1/RuntimeClass');
export type RuntimeClass = types.RuntimeClass;
