import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const RuntimeClass: Kind<types.RuntimeClass> = defineKind<types.RuntimeClass>('node.k8s.io/v1/RuntimeClass', {
  unattended: 'pods do not choose their runtime by RuntimeClass yet',
});
export type RuntimeClass = types.RuntimeClass;
