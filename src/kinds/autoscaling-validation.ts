import type { FieldCause } from '#base/errors.ts';
import { quantityMilliValue } from '#base/quantity.ts';
import type * as types from './types.gen.ts';
import { forbidden, invalid, notSupported, required } from './validation.ts';

const SOURCES = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'];
const FIELDS = ['containerResource', 'external', 'object', 'pods', 'resource'] as const;
const LONGEST_WINDOW_S = 3_600;
const LONGEST_PERIOD_S = 1_800;

/** What autoscalers follow: each metric with the one source that its type names, and a target above nothing. */
export function validateMetrics(metrics: readonly types.MetricSpec[], path = 'spec.metrics'): FieldCause[] {
  return metrics.flatMap((metric, i) => validateMetric(metric, `${path}[${i}]`));
}

function validateMetric(metric: types.MetricSpec, path: string): FieldCause[] {
  if (!metric.type) return [required(`${path}.type`, 'must specify a metric source type')];
  if (!SOURCES.includes(metric.type)) return [notSupported(`${path}.type`, metric.type, SOURCES)];
  const expected = FIELDS[SOURCES.indexOf(metric.type)]!;
  const causes: FieldCause[] = [];
  for (const field of FIELDS)
    if (field !== expected && metric[field] !== undefined)
      causes.push(forbidden(`${path}.${field}`, 'must populate the given metric source only'));
  if (metric[expected] === undefined)
    return [...causes, required(`${path}.${expected}`, 'must populate information for the given metric source')];
  const at = `${path}.${expected}`;
  const { resource, containerResource, pods, object, external } = metric;
  if (expected === 'resource' && resource) causes.push(...validateResource(resource, at));
  if (expected === 'containerResource' && containerResource) {
    if (!containerResource.container) causes.push(required(`${at}.container`, 'must specify a container'));
    causes.push(...validateResource(containerResource, at));
  }
  if (expected === 'pods' && pods) {
    causes.push(...validateIdentifier(pods.metric, at), ...validateTarget(pods.target, at));
    if (pods.target.averageValue === undefined)
      causes.push(required(`${at}.target.averageValue`, 'must specify a positive target averageValue'));
  }
  if (expected === 'object' && object) {
    for (const key of ['kind', 'name'] as const) if (!object.describedObject[key]) causes.push(required(`${at}.describedObject.${key}`));
    causes.push(...validateIdentifier(object.metric, at), ...validateTarget(object.target, at));
    causes.push(...validateOneTarget(object.target, at, 'must set either a target value or averageValue'));
  }
  if (expected === 'external' && external) {
    causes.push(...validateIdentifier(external.metric, at), ...validateTarget(external.target, at));
    causes.push(...validateOneTarget(external.target, at, 'must set either a target value for metric or a per-pod target'));
    if (external.target.value !== undefined && external.target.averageValue !== undefined)
      causes.push(forbidden(`${at}.target.value`, 'may not set both a target value for metric and a per-pod target'));
  }
  return causes;
}

function validateResource({ name, target }: types.ResourceMetricSource, path: string): FieldCause[] {
  const causes = name ? [] : [required(`${path}.name`, 'must specify a resource name')];
  causes.push(...validateTarget(target, path));
  const { averageUtilization, averageValue } = target;
  if (averageUtilization === undefined && averageValue === undefined)
    causes.push(required(`${path}.target.averageUtilization`, 'must set either a target raw value or a target utilization'));
  if (averageUtilization !== undefined && averageValue !== undefined)
    causes.push(forbidden(`${path}.target.averageValue`, 'may not set both a target raw value and a target utilization'));
  return causes;
}

function validateIdentifier({ name }: types.MetricIdentifier, path: string): FieldCause[] {
  return name ? [] : [required(`${path}.metric.name`, 'must specify a metric name')];
}

function validateOneTarget({ value, averageValue }: types.MetricTarget, path: string, why: string): FieldCause[] {
  return value === undefined && averageValue === undefined ? [required(`${path}.target.averageValue`, why)] : [];
}

function validateTarget({ type, value, averageValue, averageUtilization }: types.MetricTarget, path: string): FieldCause[] {
  const at = `${path}.target`;
  const causes: FieldCause[] = [];
  if (!type) causes.push(required(`${at}.type`, 'must specify a metric target type'));
  else if (!['Utilization', 'Value', 'AverageValue'].includes(type))
    causes.push(invalid(`${at}.type`, type, 'must be either Utilization, Value, or AverageValue'));
  if (value !== undefined && quantityMilliValue(value) <= 0) causes.push(invalid(`${at}.value`, value, 'must be positive'));
  if (averageValue !== undefined && quantityMilliValue(averageValue) <= 0)
    causes.push(invalid(`${at}.averageValue`, averageValue, 'must be positive'));
  if (averageUtilization !== undefined && averageUtilization < 1)
    causes.push(invalid(`${at}.averageUtilization`, averageUtilization, 'must be greater than 0'));
  return causes;
}

/** How fast it may go up and down. */
export function validateBehavior({ scaleUp, scaleDown }: types.HorizontalPodAutoscalerBehavior, path = 'spec.behavior'): FieldCause[] {
  return [
    ...(scaleUp ? validateRules(scaleUp, `${path}.scaleUp`) : []),
    ...(scaleDown ? validateRules(scaleDown, `${path}.scaleDown`) : []),
  ];
}

function validateRules(rules: types.HPAScalingRules, path: string): FieldCause[] {
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [], tolerance } = rules;
  const causes: FieldCause[] = [];
  if (window !== undefined && window < 0)
    causes.push(invalid(`${path}.stabilizationWindowSeconds`, window, 'must be greater than or equal to zero'));
  if (window !== undefined && window > LONGEST_WINDOW_S)
    causes.push(invalid(`${path}.stabilizationWindowSeconds`, window, `must be less than or equal to ${LONGEST_WINDOW_S}`));
  if (selectPolicy !== undefined && !['Disabled', 'Max', 'Min'].includes(selectPolicy))
    causes.push(notSupported(`${path}.selectPolicy`, selectPolicy, ['Disabled', 'Max', 'Min']));
  if (policies.length === 0) causes.push(required(`${path}.policies`, 'must specify at least one Policy'));
  policies.forEach(({ type, value, periodSeconds }, i) => {
    const at = `${path}.policies[${i}]`;
    if (type !== 'Percent' && type !== 'Pods') causes.push(notSupported(`${at}.type`, type, ['Percent', 'Pods']));
    if (value <= 0) causes.push(invalid(`${at}.value`, value, 'must be greater than zero'));
    if (periodSeconds <= 0) causes.push(invalid(`${at}.periodSeconds`, periodSeconds, 'must be greater than zero'));
    if (periodSeconds > LONGEST_PERIOD_S)
      causes.push(invalid(`${at}.periodSeconds`, periodSeconds, `must be less than or equal to ${LONGEST_PERIOD_S}`));
  });
  if (tolerance !== undefined && quantityMilliValue(tolerance) < 0)
    causes.push(invalid(`${path}.tolerance`, tolerance, 'must be greater than or equal to 0'));
  return causes;
}

/** Fills in what a behaviour leaves open; none at all stays none. */
export function defaultBehavior(behavior: types.HorizontalPodAutoscalerBehavior): void {
  const up = { stabilizationWindowSeconds: 0, selectPolicy: 'Max' };
  behavior.scaleUp = { ...up, ...behavior.scaleUp };
  behavior.scaleDown = { selectPolicy: 'Max', ...behavior.scaleDown };
  if (!behavior.scaleUp.policies)
    behavior.scaleUp.policies = [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ];
  behavior.scaleDown.policies ??= [{ type: 'Percent', value: 100, periodSeconds: 15 }];
}
