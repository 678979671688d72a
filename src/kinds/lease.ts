import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Lease: Kind<types.Lease> = defineKind('coordination.k8s.io/v1/Lease');
export type Lease = types.Lease;
