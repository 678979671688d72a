import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const HorizontalPodAutoscaler: Kind<types.HorizontalPodAutoscaler> = defineKind('autoscaling/v2/HorizontalPodAutoscaler');
export type HorizontalPodAutoscaler = types.HorizontalPodAutoscaler;

export const AutoscalingV1HorizontalPodAutoscaler: Kind<types.AutoscalingV1HorizontalPodAutoscaler> = defineKind(
  'autoscaling/v1/HorizontalPodAutoscaler',
);
export type AutoscalingV1HorizontalPodAutoscaler = types.AutoscalingV1HorizontalPodAutoscaler;
