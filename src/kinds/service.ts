import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Service: Kind<types.Service> = defineKind('v1/Service');
export type Service = types.Service;
