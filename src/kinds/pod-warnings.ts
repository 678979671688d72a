import { ipWarnings } from './address-warnings.ts';
import { fractionWarnings } from './fraction-warnings.ts';
import { jsonEqual } from './json-equal.ts';
import type { KubeObject } from './kind.ts';
import { checkDnsLabel } from './names.ts';
import { nodeLabelWarning, nodeTermWarnings } from './node-label-warnings.ts';
import { APPARMOR_ANNOTATION } from './pod-apparmor.ts';
import { portWarnings } from './port-warnings.ts';
import type { Affinity, Container, Pod, PodSpec, PodTemplateSpec } from './types.gen.ts';
import { volumeWarnings } from './volume-warnings.ts';

const SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead';
const APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead';
const POD_SECCOMP = 'seccomp.security.alpha.kubernetes.io/pod';
const CONTAINER_SECCOMP = 'container.seccomp.security.alpha.kubernetes.io/';
const ANNOTATIONS: Record<string, string> = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
};

/** What is allowed in a new pod but most likely not meant. Changes of a pod are not warned of. */
export function podWarnings({ metadata, spec }: Pod, old?: Pod): string[] {
  if (old) return [];
  const wrong = metadata.name ? checkDnsLabel(metadata.name) : [];
  const why = `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${wrong.join(' ')}]`;
  const warnings = templateWarnings({ metadata, spec }, '');
  return wrong.length > 0 ? [why, ...warnings] : warnings;
}

/** A Job's name becomes part of its pods' names and hostnames. */
export function podNameWarnings(name: string | undefined): string[] {
  const wrong = name ? checkDnsLabel(name) : [];
  if (wrong.length === 0) return [];
  const why = 'this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended';
  return [`metadata.name: ${why}: [${wrong.join(' ')}]`];
}

/** The same for a workload's pods, when the workload is new or changed. */
export function workloadWarnings<T extends KubeObject & { spec: { template?: PodTemplateSpec | undefined } }>(
  { spec }: T,
  old?: T,
): string[] {
  if (old && jsonEqual(old.spec, spec)) return [];
  return templateWarnings(spec.template ?? {}, 'spec.template.');
}

/** Warnings about a template whose fields stand below `prefix` (`''`, `spec.template.`). */
export function templateWarnings({ metadata, spec }: Partial<Pick<PodTemplateSpec, 'metadata' | 'spec'>>, prefix: string): string[] {
  if (!spec) return [];
  const warnings = metadata?.annotations ? annotationWarnings(metadata.annotations, spec, prefix) : [];
  return [...warnings, ...specWarnings(spec, `${prefix}spec`)];
}

function annotationWarnings(annotations: Record<string, string>, spec: PodSpec, prefix: string): string[] {
  const { seccompProfile, appArmorProfile } = spec.securityContext ?? {};
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  const lacks = (start: string, key: string, field: 'seccompProfile' | 'appArmorProfile') =>
    key.startsWith(start) && containers.some(one => start + one.name === key && !one.securityContext?.[field]);
  return Object.keys(annotations).flatMap(key => {
    const at = `${prefix}metadata.annotations[${key}]`;
    if (Object.hasOwn(ANNOTATIONS, key)) return [`${at}: ${ANNOTATIONS[key]}`];
    if (key === POD_SECCOMP && !seccompProfile) return [`${at}: ${SECCOMP}`];
    if (lacks(CONTAINER_SECCOMP, key, 'seccompProfile')) return [`${at}: ${SECCOMP}`];
    // A pod's own has been brought into the field by now.
    const isAdopted = prefix === '' && containers.some(one => APPARMOR_ANNOTATION + one.name === key);
    return isAdopted || (!appArmorProfile && lacks(APPARMOR_ANNOTATION, key, 'appArmorProfile')) ? [`${at}: ${APPARMOR}`] : [];
  });
}

function specWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const key in spec.nodeSelector) {
    const why = nodeLabelWarning(key);
    if (why) warnings.push(`${path}.nodeSelector[${key}]: ${why}`);
  }
  if (spec.affinity) warnings.push(...affinityWarnings(spec.affinity, `${path}.affinity`));
  spec.topologySpreadConstraints?.forEach(({ topologyKey, labelSelector }, i) => {
    const why = nodeLabelWarning(topologyKey);
    if (why) warnings.push(`${path}.topologySpreadConstraints[${i}].topologyKey: ${topologyKey} is ${why}`);
    if (!labelSelector) warnings.push(`${path}.topologySpreadConstraints[${i}].labelSelector: ${NULL_SELECTOR}`);
  });
  if (spec.volumes) warnings.push(...volumeWarnings(spec.volumes, `${path}.volumes`));
  spec.hostAliases?.forEach(({ ip }, i, all) => {
    if (all.findIndex(other => other.ip === ip) < i) warnings.push(`${path}.hostAliases[${i}].ip: duplicate ip ${JSON.stringify(ip)}`);
    warnings.push(...ipWarnings(ip, `${path}.hostAliases[${i}].ip`));
  });
  spec.dnsConfig?.nameservers?.forEach((ip, i) => {
    warnings.push(...ipWarnings(ip, `${path}.dnsConfig.nameservers[${i}]`));
  });
  spec.imagePullSecrets?.forEach(({ name = '' }, i, all) => {
    const at = `${path}.imagePullSecrets[${i}].name`;
    if (all.findIndex(other => (other.name ?? '') === name) < i) warnings.push(`${at}: duplicate name ${JSON.stringify(name)}`);
    if (name === '') warnings.push(`${at}: invalid empty name ""`);
  });
  warnings.push(...fractionWarnings(spec.overhead, `${path}.overhead`));
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    warnings.push(`${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`);
  for (const field of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    spec[field]?.forEach((container: Container, i) => {
      warnings.push(...containerWarnings(container, `${path}.${field}[${i}]`));
    });
  return [...warnings, ...portWarnings(spec, path)];
}

const NULL_SELECTOR = 'a null labelSelector results in matching no pod';

function affinityWarnings(affinity: Affinity, path: string): string[] {
  const warnings: string[] = [];
  const { requiredDuringSchedulingIgnoredDuringExecution: needed, preferredDuringSchedulingIgnoredDuringExecution: liked } =
    affinity.nodeAffinity ?? {};
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
  needed?.nodeSelectorTerms.forEach((term, i) => {
    warnings.push(...nodeTermWarnings(term, `${path}.nodeAffinity.${required}.nodeSelectorTerms[${i}]`));
  });
  liked?.forEach(({ preference }, i) => {
    warnings.push(...nodeTermWarnings(preference, `${path}.nodeAffinity.${preferred}[${i}].preference`, true));
  });
  for (const key of ['podAffinity', 'podAntiAffinity'] as const) {
    affinity[key]?.[required]?.forEach(({ labelSelector }, i) => {
      if (!labelSelector) warnings.push(`${path}.${key}.${required}[${i}].labelSelector: ${NULL_SELECTOR}`);
    });
    affinity[key]?.[preferred]?.forEach(({ podAffinityTerm }, i) => {
      if (!podAffinityTerm.labelSelector)
        warnings.push(`${path}.${key}.${preferred}[${i}].podAffinityTerm.labelSelector: ${NULL_SELECTOR}`);
    });
  }
  return warnings;
}

function containerWarnings({ env = [], resources }: Container, path: string): string[] {
  const warnings = resources
    ? [
        ...fractionWarnings(resources.limits, `${path}.resources.limits`),
        ...fractionWarnings(resources.requests, `${path}.resources.requests`),
      ]
    : [];
  if (env.length < 2) return warnings;
  const seen = new Set<string>();
  env.forEach(({ name, value = '', valueFrom }, i) => {
    // A value may build on the one before of the same name.
    const builds = !valueFrom && value !== `$(${name})` && value.includes(`$(${name})`);
    if (seen.has(name) && !builds)
      warnings.push(`${path}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`);
    seen.add(name);
  });
  return warnings;
}
