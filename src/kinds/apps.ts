import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const ControllerRevision: Kind<types.ControllerRevision> = defineKind('apps/v1/ControllerRevision');
export type ControllerRevision = types.ControllerRevision;

export const DaemonSet: Kind<types.DaemonSet> = defineKind('apps/v1/DaemonSet');
export type DaemonSet = types.DaemonSet;

export const StatefulSet: Kind<types.StatefulSet> = defineKind('apps/v1/StatefulSet');
export type StatefulSet = types.StatefulSet;
