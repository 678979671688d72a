import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const APIService: Kind<types.APIService> = defineKind('apiregistration.k8s.io/v1/APIService');
export type APIService = types.APIService;
