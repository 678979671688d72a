import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const ConfigMap: Kind<types.ConfigMap> = defineKind('v1/ConfigMap');
export type ConfigMap = types.ConfigMap;
