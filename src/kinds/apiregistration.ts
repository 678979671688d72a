import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** A part of the API that another server answers. */
export const APIService: Kind<types.APIService> = defineKind<types.APIService>('apiregistration.k8s.io/v1/APIService', {
  refused: 'requests are not forwarded to other API servers yet, so no APIService is stored',
});
export type APIService = types.APIService;
