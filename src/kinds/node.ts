import type { FieldCause } from '#base/errors.ts';
import { cidrWarnings } from './address-warnings.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { validateQuantity } from './resources-validation.ts';
import type * as types from './types.gen.ts';
import { checkLabelValue, checkQualifiedName, duplicate, forbidden, invalid, isCidr, jsonEqual, validateEnum } from './validation.ts';

const ROLE = 'node-role.kubernetes.io/';

/** A machine that runs pods. */
export const Node: Kind<types.Node> = defineKind<types.Node>('v1/Node', {
  defaults({ spec, status }) {
    if (spec.podCIDR && spec.podCIDR !== spec.podCIDRs?.[0]) spec.podCIDRs = [spec.podCIDR];
    else if (spec.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0];
    if (status?.capacity) status.allocatable ??= { ...status.capacity };
  },
  prepareForCreate({ spec, status }) {
    delete spec.configSource;
    if (status) delete status.config;
  },
  prepareForUpdate({ spec }, { spec: old }) {
    if (!old.configSource) delete spec.configSource;
  },
  warnings: ({ spec }) => [
    ...(spec.configSource ? ['spec.configSource: the feature is removed'] : []),
    ...(spec.externalID ? ['spec.externalID: this field is deprecated, and is unused by Kubernetes'] : []),
    ...(spec.podCIDRs ?? []).flatMap((cidr, i) => cidrWarnings(cidr, `spec.podCIDRs[${i}]`)),
  ],
  prepareForStatusUpdate({ status }, { status: old }) {
    if (status && !old?.config) delete status.config;
  },
  validate: ({ spec, status }) => [
    ...validateTaints(spec.taints ?? [], 'metadata.taints'),
    ...validatePodCidrs(spec.podCIDRs ?? []),
    ...validateStatus(status),
  ],
  validateCreate({ status }) {
    const swap = status?.nodeInfo?.swap?.capacity;
    return swap !== undefined && swap <= 0 ? [invalid('metadata.nodeSwapStatus.capacity', swap, 'must be greater than zero')] : [];
  },
  validateUpdate({ spec, status }, old) {
    const causes: FieldCause[] = [];
    const [now, before] = [spec.podCIDRs ?? [], old.spec.podCIDRs ?? []];
    if (before.length > 0 && !jsonEqual(now, before))
      causes.push(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
    if (old.spec.providerID && spec.providerID !== old.spec.providerID)
      causes.push(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
    if ((spec.externalID ?? '') !== (old.spec.externalID ?? '')) causes.push(forbidden('spec.externalID', 'may not be updated'));
    return [...causes, ...validateNodeAddresses(status)];
  },
  validateStatusUpdate: ({ status }) => [...validateStatus(status), ...validateNodeAddresses(status)],
  cells: {
    Status: statusOf,
    Roles: rolesOf,
    Version: ({ status }) => status?.nodeInfo?.kubeletVersion ?? '',
    'Internal-IP': node => addressOf(node, 'InternalIP'),
    'External-IP': node => addressOf(node, 'ExternalIP'),
    'OS-Image': ({ status }) => status?.nodeInfo?.osImage || '<unknown>',
    'Kernel-Version': ({ status }) => status?.nodeInfo?.kernelVersion || '<unknown>',
    'Container-Runtime': ({ status }) => status?.nodeInfo?.containerRuntimeVersion || '<unknown>',
  },
  selectableFields: { 'spec.unschedulable': ({ spec }) => String(spec.unschedulable ?? false) },
});
export type Node = types.Node;

function statusOf({ spec, status }: types.Node): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const words = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'];
  if (spec.unschedulable) words.push('SchedulingDisabled');
  return words.join(',');
}

function rolesOf({ metadata: { labels = {} } }: types.Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(labels)) {
    if (key.startsWith(ROLE) && key.length > ROLE.length) roles.add(key.slice(ROLE.length));
    else if (key === 'kubernetes.io/role' && value) roles.add(value);
  }
  return [...roles].sort().join(',') || '<none>';
}

function addressOf({ status }: types.Node, type: string): string {
  return status?.addresses?.find(one => one.type === type)?.address ?? '<none>';
}

function validateTaints(taints: types.Taint[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return taints.flatMap(({ key, value = '', effect, timeAdded }, i) => {
    const at = `${path}[${i}]`;
    const causes = checkQualifiedName(key).map(why => invalid(`${at}.key`, key, why));
    causes.push(...checkLabelValue(value).map(why => invalid(`${at}.value`, value, why)));
    causes.push(...validateEnum(effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], `${at}.effect`, true));
    if (seen.has(`${key}:${effect}`)) {
      const { message, ...cause } = duplicate(at, { Key: key, Value: value, Effect: effect, TimeAdded: timeAdded ?? null });
      causes.push({ ...cause, message: `${message}: taints must be unique by key and effect pair` });
    }
    seen.add(`${key}:${effect}`);
    return causes;
  });
}

function validatePodCidrs(podCIDRs: string[]): FieldCause[] {
  const field = 'spec.podCIDRs';
  const causes = podCIDRs.flatMap((cidr, i) =>
    isCidr(cidr) ? [] : [invalid(`${field}[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')],
  );
  const sixes = podCIDRs.filter(cidr => cidr.includes(':')).length;
  if (podCIDRs.length > 2 || (podCIDRs.length === 2 && sixes !== 1))
    causes.push(invalid(field, podCIDRs, 'may specify no more than one CIDR for each IP family'));
  return causes;
}

/** What a machine has and gives out, and what it says that it can do. */
function validateStatus({ capacity = {}, allocatable = {}, declaredFeatures = [] }: types.NodeStatus = {}): FieldCause[] {
  const causes = Object.entries({ capacity, allocatable }).flatMap(([list, amounts]) =>
    Object.entries(amounts).flatMap(([name, amount]) => validateQuantity(name, amount, `status.${list}.${name}`)),
  );
  declaredFeatures.forEach((name, i) => {
    const why =
      "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
    if (!/^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z0-9]+)*$/.test(name))
      causes.push(invalid(`status.declaredFeatures[${i}]`, name, `invalid feature name "${name}": ${why}`));
  });
  return causes;
}

function validateNodeAddresses({ addresses = [] }: types.NodeStatus = {}): FieldCause[] {
  const seen = new Set<string>();
  return addresses.flatMap(({ type, address }, i) => {
    const key = `${type} ${address}`;
    const causes = seen.has(key) ? [duplicate(`status.addresses[${i}]`, { Type: type, Address: address })] : [];
    seen.add(key);
    return causes;
  });
}
