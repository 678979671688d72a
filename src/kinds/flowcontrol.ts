import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const FlowSchema: Kind<types.FlowSchema> = defineKind('flowcontrol.apiserver.k8s.io/v1/FlowSchema');
export type FlowSchema = types.FlowSchema;

export const PriorityLevelConfiguration: Kind<types.PriorityLevelConfiguration> = defineKind(
  'flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration',
);
export type PriorityLevelConfiguration = types.PriorityLevelConfiguration;
