import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, validateImmutable, validateName } from './validation.ts';

/** Which runtime a pod's containers take. */
export const RuntimeClass: Kind<types.RuntimeClass> = defineKind<types.RuntimeClass>('node.k8s.io/v1/RuntimeClass', {
  unattended: 'pods do not choose their runtime by RuntimeClass yet',
  validate: ({ handler }) => validateName(handler, checkDnsLabel, 'handler'),
  validateUpdate: ({ handler }, old) => validateImmutable(handler, old.handler, 'handler'),
  cells: { Handler: ({ handler }) => handler },
});
export type RuntimeClass = types.RuntimeClass;
