import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Deployment: Kind<types.Deployment> = defineKind('apps/v1/Deployment');
export type Deployment = types.Deployment;
