import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const ReplicaSet: Kind<types.ReplicaSet> = defineKind('apps/v1/ReplicaSet');
export type ReplicaSet = types.ReplicaSet;
