import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** Who a pod is to the API. */
export const ServiceAccount: Kind<types.ServiceAccount> = defineKind('v1/ServiceAccount');
export type ServiceAccount = types.ServiceAccount;
