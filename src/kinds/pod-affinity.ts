import { type LabelRequirement, matchesLabels, requirementsOf } from '#base/label-selector.ts';
import type { LabelSelector, Pod, PodAffinityTerm } from './types.gen.ts';

/** Which pods a term means, and over which topology. */
export interface AffinityTerm {
  /** The same for terms that mean the same pods. */
  id: string;
  topologyKey: string;
  requirements: readonly LabelRequirement[];
  namespaces: readonly string[];
  /** Namespaces by their labels, besides those named. */
  namespaceRequirements?: readonly LabelRequirement[];
}

/** What a pod says of pods beside it. */
export interface AffinityTerms {
  required: readonly AffinityTerm[];
  requiredAnti: readonly AffinityTerm[];
  /** Weights of anti-affinity are negative. */
  preferred: readonly { weight: number; term: AffinityTerm }[];
}

/** A namespace's labels; undefined: there is no such namespace. */
export type NamespaceLabels = (namespace: string) => Record<string, string> | undefined;

/** The terms of a pod's affinity and anti-affinity to pods; undefined when it has none. */
export function affinityTermsOf(pod: Pod): AffinityTerms | undefined {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  if (!podAffinity && !podAntiAffinity) return undefined;
  const read = (term: PodAffinityTerm) => readTerm(pod, term);
  const required = (podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(read);
  const requiredAnti = (podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(read);
  const weighted = (of: typeof podAffinity, sign: number) =>
    (of?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      weight: sign * weight,
      term: read(podAffinityTerm),
    }));
  const preferred = [...weighted(podAffinity, 1), ...weighted(podAntiAffinity, -1)];
  return required.length + requiredAnti.length + preferred.length > 0 ? { required, requiredAnti, preferred } : undefined;
}

/** True when `term` means `pod`. */
export function termMeans(term: AffinityTerm, pod: Pod, namespaceLabels: NamespaceLabels): boolean {
  const { namespace = '', labels } = pod.metadata;
  const isInReach =
    term.namespaces.includes(namespace) ||
    (term.namespaceRequirements !== undefined && matchesLabels(term.namespaceRequirements, namespaceLabels(namespace)));
  return isInReach && matchesLabels(term.requirements, labels);
}

/** A selector narrowed to pods that have the same value as `labels` under `same` keys, and another under `other` keys. */
export function narrowed(
  selector: LabelSelector | undefined,
  labels: Record<string, string> = {},
  same: readonly string[] = [],
  other: readonly string[] = [],
): LabelRequirement[] {
  const requirements = requirementsOf(selector);
  if (!selector) return requirements;
  for (const key of same) if (Object.hasOwn(labels, key)) requirements.push({ key, operator: 'in', values: [labels[key]!] });
  for (const key of other) if (Object.hasOwn(labels, key)) requirements.push({ key, operator: 'notin', values: [labels[key]!] });
  return requirements;
}

function readTerm({ metadata }: Pod, term: PodAffinityTerm): AffinityTerm {
  const requirements = narrowed(term.labelSelector, metadata.labels, term.matchLabelKeys, term.mismatchLabelKeys);
  const namespaces = term.namespaces?.length || term.namespaceSelector ? (term.namespaces ?? []) : [metadata.namespace ?? ''];
  const namespaceRequirements = term.namespaceSelector && requirementsOf(term.namespaceSelector);
  const id = JSON.stringify([requirements, namespaces, namespaceRequirements]);
  return { id, topologyKey: term.topologyKey, requirements, namespaces, ...(namespaceRequirements ? { namespaceRequirements } : {}) };
}
