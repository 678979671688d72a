import type { FieldCause } from '#base/errors.ts';
import { formatLabelSelector, requirementsOf, selectorMatches } from '#base/label-selector.ts';
import { isMeaningEqual } from './json-equal.ts';
import type { Kind, KubeObject } from './kind.ts';
import type { IntOrString, LabelSelector, PodSpec, PodTemplateSpec, RollingUpdateDeployment } from './types.gen.ts';
import { forbidden, invalid, required, validateEnum, validateLabelSelector } from './validation.ts';

/** What `25%` or `3` means of a total. */
export function percentOrCount(value: IntOrString, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const share = (Number.parseInt(value, 10) * total) / 100;
  return round === 'up' ? Math.ceil(share) : Math.floor(share);
}

/** A selector that selects something, and the template's pods among it. */
export function validateSelectorOfTemplate(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec,
  path = 'spec',
  what = 'deployment',
): FieldCause[] {
  const labels = template.metadata?.labels;
  const mismatch = invalid(`${path}.template.metadata.labels`, labels ?? {}, '`selector` does not match template `labels`');
  if (!selector) return [required(`${path}.selector`), mismatch];
  const causes = validateLabelSelector(selector, `${path}.selector`);
  if (requirementsOf(selector).length === 0)
    return [...causes, invalid(`${path}.selector`, selector, `empty selector is invalid for ${what}`)];
  if (causes.length > 0) return [...causes, invalid(`${path}.selector`, selector, 'invalid label selector')];
  return selectorMatches(selector, labels) ? [] : [mismatch];
}

/** A selector stays as it is. */
export function validateSameSelector(selector: LabelSelector | undefined, old: LabelSelector | undefined): FieldCause[] {
  return isMeaningEqual(selector, old) ? [] : [invalid('spec.selector', selector ?? null, 'field is immutable')];
}

/** `maxSurge` and `maxUnavailable`: counts or percentages, not both zero. */
export function validateSurge({ maxSurge, maxUnavailable }: RollingUpdateDeployment, path: string): FieldCause[] {
  const causes = [
    ...validateCountOrPercent(maxUnavailable, `${path}.maxUnavailable`, 100),
    ...validateCountOrPercent(maxSurge, `${path}.maxSurge`),
  ];
  if (isZero(maxUnavailable) && isZero(maxSurge))
    causes.push(invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  return causes;
}

/** A count that is not negative, or a percentage. */
export function validateCountOrPercent(
  value: IntOrString | undefined,
  field: string,
  mostPercent = Number.POSITIVE_INFINITY,
): FieldCause[] {
  if (value === undefined) return [];
  if (typeof value === 'number') return value < 0 ? [invalid(field, value, 'must be greater than or equal to 0')] : [];
  if (!/^[0-9]{1,9}%$/.test(value))
    return [
      invalid(
        field,
        value,
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      ),
    ];
  return Number.parseInt(value, 10) > mostPercent ? [invalid(field, value, `must not be greater than ${mostPercent}%`)] : [];
}

/** Nothing, as a count or as a percentage. */
export function isZero(value: IntOrString | undefined): boolean {
  return value === 0 || value === '0%' || value === undefined;
}

/** A template that a selector needs, where the schema lets it be absent. */
export function requireTemplate(template: PodTemplateSpec | undefined, path: string): FieldCause[] {
  return template ? [] : [required(path)];
}

/** What no pod that is kept running may have: an end of its own. */
export function validateEndlessPod({ restartPolicy, activeDeadlineSeconds }: PodSpec, path: string, kind: string): FieldCause[] {
  const causes = validateEnum(restartPolicy, ['Always'], `${path}.restartPolicy`);
  if (activeDeadlineSeconds !== undefined)
    causes.push(forbidden(`${path}.activeDeadlineSeconds`, `activeDeadlineSeconds in ${kind} is not Supported`));
  return causes;
}

interface Replicated extends KubeObject {
  spec: { replicas?: number | undefined };
  status?: { replicas?: number | undefined } | undefined;
}

/** The `scale` of a workload that has its replicas where most have them. */
export function replicasScale<T extends Replicated>(selectorOf: (object: T) => LabelSelector | undefined): NonNullable<Kind<T>['scale']> {
  return {
    specReplicas: ({ spec }) => spec.replicas ?? 0,
    setSpecReplicas({ spec }, replicas) {
      spec.replicas = replicas;
    },
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: object => formatLabelSelector(requirementsOf(selectorOf(object) ?? {})),
  };
}
