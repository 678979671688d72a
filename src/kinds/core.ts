import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Binding: Kind<types.Binding> = defineKind('v1/Binding');
export type Binding = types.Binding;

export const ComponentStatus: Kind<types.ComponentStatus> = defineKind('v1/ComponentStatus');
export type ComponentStatus = types.ComponentStatus;

export const Endpoints: Kind<types.Endpoints> = defineKind('v1/Endpoints');
export type Endpoints = types.Endpoints;

export const LimitRange: Kind<types.LimitRange> = defineKind('v1/LimitRange');
export type LimitRange = types.LimitRange;

export const PersistentVolumeClaim: Kind<types.PersistentVolumeClaim> = defineKind('v1/PersistentVolumeClaim');
export type PersistentVolumeClaim = types.PersistentVolumeClaim;

export const PersistentVolume: Kind<types.PersistentVolume> = defineKind('v1/PersistentVolume');
export type PersistentVolume = types.PersistentVolume;

export const PodTemplate: Kind<types.PodTemplate> = defineKind('v1/PodTemplate');
export type PodTemplate = types.PodTemplate;

export const ReplicationController: Kind<types.ReplicationController> = defineKind('v1/ReplicationController');
export type ReplicationController = types.ReplicationController;

export const ResourceQuota: Kind<types.ResourceQuota> = defineKind('v1/ResourceQuota');
export type ResourceQuota = types.ResourceQuota;
