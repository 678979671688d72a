import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const FlowSchema: Kind<types.FlowSchema> = defineKind<types.FlowSchema>('flowcontrol.apiserver.k8s.io/v1/FlowSchema', {
  unattended: 'requests are not limited by flow schemas yet',
});
export type FlowSchema = types.FlowSchema;

export const PriorityLevelConfiguration: Kind<types.PriorityLevelConfiguration> = defineKind<types.PriorityLevelConfiguration>(
  'flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration',
  { unattended: 'requests are not limited by flow schemas yet' },
);
export type PriorityLevelConfiguration = types.PriorityLevelConfiguration;
