import { defaultBehavior, validateBehavior, validateMetrics } from './autoscaling-validation.ts';
import { defineKind } from './define-kind.ts';
import type { Kind, KubeObject } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, required } from './validation.ts';

/** What version 1 has no fields for travels in annotations. */
const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';

/** Follows a load with a number of replicas. */
export const HorizontalPodAutoscaler: Kind<types.HorizontalPodAutoscaler> = defineKind<types.HorizontalPodAutoscaler>(
  'autoscaling/v2/HorizontalPodAutoscaler',
  {
    defaults({ spec }) {
      spec.minReplicas ??= 1;
      if (!spec.metrics?.length) spec.metrics = [cpuMetric(80)];
      if (spec.behavior) defaultBehavior(spec.behavior);
    },
    validate: ({ spec }) => [
      ...validateBounds(spec),
      ...validateMetrics(spec.metrics ?? []),
      ...(spec.behavior ? validateBehavior(spec.behavior) : []),
    ],
    cells: {
      Reference: ({ spec: { scaleTargetRef } }) => `${scaleTargetRef.kind}/${scaleTargetRef.name}`,
      Targets: targetsText,
      MinPods: ({ spec }) => String(spec.minReplicas ?? '<unset>'),
      MaxPods: ({ spec }) => String(spec.maxReplicas),
      Replicas: ({ status }) => String(status?.currentReplicas ?? 0),
    },
  },
);
export type HorizontalPodAutoscaler = types.HorizontalPodAutoscaler;

/** The older face of the same autoscalers: kept as version 2. */
export const AutoscalingV1HorizontalPodAutoscaler: Kind<types.AutoscalingV1HorizontalPodAutoscaler> =
  defineKind<types.AutoscalingV1HorizontalPodAutoscaler>('autoscaling/v1/HorizontalPodAutoscaler', {
    storage: { kind: HorizontalPodAutoscaler, toStored, fromStored },
    defaults({ spec }) {
      spec.minReplicas ??= 1;
    },
    validate: ({ spec }) => validateBounds(spec),
    cells: {
      Reference: ({ spec: { scaleTargetRef } }) => `${scaleTargetRef.kind}/${scaleTargetRef.name}`,
      Targets: autoscaler => targetsText(toStored(autoscaler)),
      MinPods: ({ spec }) => String(spec.minReplicas ?? '<unset>'),
      MaxPods: ({ spec }) => String(spec.maxReplicas),
      Replicas: ({ status }) => String(status?.currentReplicas ?? 0),
    },
  });
export type AutoscalingV1HorizontalPodAutoscaler = types.AutoscalingV1HorizontalPodAutoscaler;

function validateBounds({
  minReplicas = 1,
  maxReplicas,
  scaleTargetRef,
}: {
  minReplicas?: number | undefined;
  maxReplicas: number;
  scaleTargetRef: types.CrossVersionObjectReference;
}) {
  const causes = [];
  if (minReplicas < 1) causes.push(invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1'));
  if (maxReplicas < 1) causes.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than 0'));
  else if (maxReplicas < minReplicas)
    causes.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`'));
  for (const key of ['kind', 'name'] as const) if (!scaleTargetRef[key]) causes.push(required(`spec.scaleTargetRef.${key}`));
  return causes;
}

function cpuMetric(averageUtilization: number): types.MetricSpec {
  return { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } };
}

function cpuTarget({ type, resource }: types.MetricSpec): number | undefined {
  return type === 'Resource' && resource?.name === 'cpu' ? resource.target.averageUtilization : undefined;
}

function toStored({ metadata, spec, status, ...rest }: types.AutoscalingV1HorizontalPodAutoscaler): types.HorizontalPodAutoscaler {
  const { targetCPUUtilizationPercentage: target, ...kept } = spec;
  const { [METRICS]: metricsText, [BEHAVIOR]: behaviorText, ...annotations } = metadata.annotations ?? {};
  const others = parsed<types.MetricSpec[]>(metricsText);
  const metrics = [...(target === undefined ? [] : [cpuMetric(target)]), ...(Array.isArray(others) ? others : [])];
  const behavior = parsed<types.HorizontalPodAutoscalerBehavior>(behaviorText);
  const { currentCPUUtilizationPercentage: _, ...counts } = status ?? { desiredReplicas: 0 };
  return {
    ...rest,
    apiVersion: 'autoscaling/v2',
    metadata: { ...metadata, ...(metadata.annotations && { annotations }) },
    spec: { ...kept, ...(metrics.length > 0 && { metrics }), ...(behavior && { behavior }) },
    ...(status && { status: counts }),
  };
}

function fromStored(stored: KubeObject): types.AutoscalingV1HorizontalPodAutoscaler {
  const { metadata, spec, status, ...rest } = stored as types.HorizontalPodAutoscaler;
  const { metrics = [], behavior, ...kept } = spec;
  const target = metrics.map(cpuTarget).find(percentage => percentage !== undefined);
  const others = metrics.filter(metric => cpuTarget(metric) === undefined);
  const annotations = {
    ...metadata.annotations,
    ...(others.length > 0 && { [METRICS]: JSON.stringify(others) }),
    ...(behavior && { [BEHAVIOR]: JSON.stringify(behavior) }),
  };
  return {
    ...rest,
    apiVersion: 'autoscaling/v1',
    metadata: { ...metadata, ...(Object.keys(annotations).length > 0 && { annotations }) },
    spec: { ...kept, ...(target !== undefined && { targetCPUUtilizationPercentage: target }) },
    ...(status && { status: statusToV1(status) }),
  };
}

function statusToV1(status: types.HorizontalPodAutoscalerStatus): types.AutoscalingV1HorizontalPodAutoscalerStatus {
  const { conditions: _, currentMetrics = [], ...kept } = status;
  const cpu = currentMetrics.find(({ resource }) => resource?.name === 'cpu')?.resource?.current.averageUtilization;
  return { ...kept, currentReplicas: status.currentReplicas ?? 0, ...(cpu !== undefined && { currentCPUUtilizationPercentage: cpu }) };
}

function parsed<T>(text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

function targetsText({ spec: { metrics = [] }, status }: types.HorizontalPodAutoscaler): string {
  if (metrics.length === 0) return '<none>';
  const shown = metrics.slice(0, 2).map((metric, i) => {
    const source = metric.resource ?? metric.containerResource;
    const current = status?.currentMetrics?.[i];
    const now = (current?.resource ?? current?.containerResource ?? current?.pods ?? current?.external ?? current?.object)?.current;
    const target = source?.target ?? metric.pods?.target ?? metric.external?.target ?? metric.object?.target;
    const name = source ? `${source.name}: ` : '';
    if (target?.averageUtilization !== undefined)
      return `${name}${now?.averageUtilization === undefined ? '<unknown>' : `${now.averageUtilization}%`}/${target.averageUtilization}%`;
    return `${name}${now?.averageValue ?? now?.value ?? '<unknown>'}/${target?.averageValue ?? target?.value ?? '<auto>'}`;
  });
  return metrics.length > 2 ? `${shown.join(', ')} + ${metrics.length - 2} more...` : shown.join(', ');
}
