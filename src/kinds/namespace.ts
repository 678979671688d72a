import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Namespace: Kind<types.Namespace> = defineKind('v1/Namespace');
export type Namespace = types.Namespace;
