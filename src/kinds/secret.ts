import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Secret: Kind<types.Secret> = defineKind('v1/Secret');
export type Secret = types.Secret;
