import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const HorizontalPodAutoscaler: Kind<types.HorizontalPodAutoscaler> = defineKind<types.HorizontalPodAutoscaler>(
  'autoscaling/v2/HorizontalPodAutoscaler',
  { unattended: 'nothing scales by HorizontalPodAutoscalers yet' },
);
export type HorizontalPodAutoscaler = types.HorizontalPodAutoscaler;

export const AutoscalingV1HorizontalPodAutoscaler: Kind<types.AutoscalingV1HorizontalPodAutoscaler> =
  defineKind<types.AutoscalingV1HorizontalPodAutoscaler>('autoscaling/v1/HorizontalPodAutoscaler', {
    unattended: 'nothing scales by HorizontalPodAutoscalers yet',
  });
export type AutoscalingV1HorizontalPodAutoscaler = types.AutoscalingV1HorizontalPodAutoscaler;
