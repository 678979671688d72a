import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const EndpointSlice: Kind<types.EndpointSlice> = defineKind('discovery.k8s.io/v1/EndpointSlice');
export type EndpointSlice = types.EndpointSlice;
