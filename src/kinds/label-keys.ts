import type { FieldCause } from '#base/errors.ts';
import type { LabelSelector, PodSpec } from './types.gen.ts';
import { checkQualifiedName, forbidden, invalid } from './validation.ts';

/** Who selects pods by values that the pod itself bears: a spread constraint, a term of pod affinity. */
interface KeyedSelector {
  labelSelector?: LabelSelector | undefined;
  matchLabelKeys?: string[] | undefined;
  mismatchLabelKeys?: string[] | undefined;
}

/** Writes what `matchLabelKeys` and `mismatchLabelKeys` mean for this pod into the selectors beside them, once, at its creation. */
export function mergeLabelKeys({ affinity, topologySpreadConstraints }: PodSpec, labels: Record<string, string> = {}): void {
  for (const constraint of topologySpreadConstraints ?? []) mergeInto(constraint, labels);
  for (const key of ['podAffinity', 'podAntiAffinity'] as const) {
    const { requiredDuringSchedulingIgnoredDuringExecution: hard, preferredDuringSchedulingIgnoredDuringExecution: soft } =
      affinity?.[key] ?? {};
    for (const term of hard ?? []) mergeInto(term, labels);
    for (const { podAffinityTerm } of soft ?? []) mergeInto(podAffinityTerm, labels);
  }
}

/** A selector that is absent matches nothing, whatever the keys. */
function mergeInto({ labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] }: KeyedSelector, labels: Record<string, string>): void {
  if (!labelSelector) return;
  for (const [operator, keys] of [
    ['In', matchLabelKeys],
    ['NotIn', mismatchLabelKeys],
  ] as const)
    for (const key of keys) {
      if (!Object.hasOwn(labels, key)) continue;
      labelSelector.matchExpressions ??= [];
      labelSelector.matchExpressions.push({ key, operator, values: [labels[key] as string] });
    }
}

/** The keys are names of labels, and none of them is asked for twice: by the selector, or by both lists. */
export function validateLabelKeys(
  { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] }: KeyedSelector,
  path: string,
): FieldCause[] {
  if (matchLabelKeys.length === 0 && mismatchLabelKeys.length === 0) return [];
  const causes: FieldCause[] = [];
  for (const [field, keys] of Object.entries({ matchLabelKeys, mismatchLabelKeys })) {
    if (keys.length === 0) continue;
    if (!labelSelector) causes.push(forbidden(`${path}.${field}`, 'must not be specified when labelSelector is not set'));
    else
      keys.forEach((key, i) => {
        causes.push(...checkQualifiedName(key).map(why => invalid(`${path}.${field}[${i}]`, key, why)));
      });
  }
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) {
    const index = matchLabelKeys.lastIndexOf(key);
    if (index >= 0 && selected.has(key)) causes.push(invalid(`${path}[${index}]`, key, 'exists in both matchLabelKeys and labelSelector'));
    selected.add(key);
  }
  matchLabelKeys.forEach((key, i) => {
    if (mismatchLabelKeys.includes(key))
      causes.push(invalid(`${path}.matchLabelKeys[${i}]`, key, 'exists in both matchLabelKeys and mismatchLabelKeys'));
  });
  return causes;
}
