import { parseQuantity } from '#base/quantity.ts';
import type { KubeObject } from './kind.ts';
import type { Container, Pod, PodSpec, PodTemplateSpec } from './types.gen.ts';

const SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead';
const ANNOTATIONS: [prefix: string, why: string][] = [
  ['seccomp.security.alpha.kubernetes.io/pod', SECCOMP],
  ['container.seccomp.security.alpha.kubernetes.io/', SECCOMP],
  ['container.apparmor.security.beta.kubernetes.io/', 'deprecated since v1.30; use the "appArmorProfile" field instead'],
  ['scheduler.alpha.kubernetes.io/critical-pod', 'non-functional in v1.16+; use the "priorityClassName" field instead'],
];
const LABELS: Record<string, string> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};
const VOLUMES: Record<string, string> = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  gitRepo: 'deprecated in v1.11',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};

/** What is allowed in a new pod but most likely not meant. Changes of a pod are not warned of. */
export function podWarnings({ metadata, spec }: Pod, old?: Pod): string[] {
  return old ? [] : templateWarnings({ metadata, spec }, '');
}

/** The same for a workload's pods, when its template is new or changed. */
export function workloadWarnings<T extends KubeObject & { spec: { template?: PodTemplateSpec | undefined } }>(
  { spec }: T,
  old?: T,
): string[] {
  if (old && JSON.stringify(old.spec.template) === JSON.stringify(spec.template)) return [];
  return templateWarnings(spec.template ?? {}, 'spec.template.');
}

/** Warnings about a template whose fields stand below `prefix` (`''`, `spec.template.`). */
export function templateWarnings({ metadata, spec }: Partial<Pick<PodTemplateSpec, 'metadata' | 'spec'>>, prefix: string): string[] {
  if (!spec) return [];
  const warnings = Object.keys(metadata?.annotations ?? {}).flatMap(key => {
    const why = ANNOTATIONS.find(([start]) => key.startsWith(start))?.[1];
    return why ? [`${prefix}metadata.annotations[${key}]: ${why}`] : [];
  });
  return [...warnings, ...specWarnings(spec, `${prefix}spec`)];
}

function specWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {}))
    if (Object.hasOwn(LABELS, key)) warnings.push(`${path}.nodeSelector[${key}]: ${LABELS[key]}`);
  spec.volumes?.forEach((volume, i) => {
    for (const type of Object.keys(volume))
      if (Object.hasOwn(VOLUMES, type)) warnings.push(`${path}.volumes[${i}].${type}: ${VOLUMES[type]}`);
  });
  spec.imagePullSecrets?.forEach(({ name = '' }, i, all) => {
    if (name === '') warnings.push(`${path}.imagePullSecrets[${i}].name: invalid empty name ""`);
    else if (all.findIndex(other => other.name === name) < i)
      warnings.push(`${path}.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(name)}`);
  });
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    warnings.push(`${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`);
  for (const field of ['initContainers', 'containers'] as const)
    spec[field]?.forEach((container, i) => {
      warnings.push(...containerWarnings(container, `${path}.${field}[${i}]`));
    });
  return warnings;
}

function containerWarnings({ env = [], ports = [], resources }: Container, path: string): string[] {
  const warnings: string[] = [];
  const seen = new Set<string>();
  env.forEach(({ name }, i) => {
    if (seen.has(name))
      warnings.push(`${path}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`);
    seen.add(name);
  });
  ports.forEach((port, i) => {
    const isSame = (other: typeof port) =>
      other.containerPort === port.containerPort &&
      (other.protocol ?? 'TCP') === (port.protocol ?? 'TCP') &&
      other.hostPort === port.hostPort &&
      other.hostIP === port.hostIP;
    const first = ports.findIndex(isSame);
    if (first < i) warnings.push(`${path}.ports[${i}]: duplicate port definition with ${path}.ports[${first}]`);
  });
  for (const which of ['requests', 'limits'] as const)
    for (const name of ['memory', 'ephemeral-storage']) {
      const amount = resources?.[which]?.[name];
      if (amount !== undefined && parseQuantity(amount).nano % 1_000_000_000n !== 0n)
        warnings.push(
          `${path}.resources.${which}[${name}]: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`,
        );
    }
  return warnings;
}
