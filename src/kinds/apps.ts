import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const ControllerRevision: Kind<types.ControllerRevision> = defineKind('apps/v1/ControllerRevision');
export type ControllerRevision = types.ControllerRevision;

export const DaemonSet: Kind<types.DaemonSet> = defineKind<types.DaemonSet>('apps/v1/DaemonSet', {
  unattended: 'no controller makes pods for DaemonSets yet',
});
export type DaemonSet = types.DaemonSet;

export const StatefulSet: Kind<types.StatefulSet> = defineKind<types.StatefulSet>('apps/v1/StatefulSet', {
  unattended: 'no controller makes pods for StatefulSets yet',
});
export type StatefulSet = types.StatefulSet;
