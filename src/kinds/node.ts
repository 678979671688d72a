import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import {
  checkLabelValue,
  checkQualifiedName,
  duplicate,
  forbidden,
  invalid,
  isCidr,
  jsonEqual,
  validateEnum,
  validateName,
} from './validation.ts';

const ROLE = 'node-role.kubernetes.io/';

/** A machine that runs pods. */
export const Node: Kind<types.Node> = defineKind<types.Node>('v1/Node', {
  defaults({ spec, status }) {
    if (spec.podCIDR) spec.podCIDRs ??= [spec.podCIDR];
    else if (spec.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0];
    if (status?.capacity) status.allocatable ??= { ...status.capacity };
  },
  validate({ spec }) {
    const causes = validateTaints(spec.taints ?? []);
    const { podCIDRs = [] } = spec;
    const sixes = podCIDRs.filter(cidr => cidr.includes(':')).length;
    if (podCIDRs.length > 2 || (podCIDRs.length === 2 && sixes !== 1))
      causes.push(invalid('spec.podCIDRs', podCIDRs, 'may specify no more than one CIDR for each IP family'));
    podCIDRs.forEach((cidr, i) => {
      if (!isCidr(cidr))
        causes.push(invalid(`spec.podCIDRs[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'));
    });
    return causes;
  },
  validateUpdate({ spec }, old) {
    const causes: FieldCause[] = [];
    if (old.spec.podCIDRs?.length && !jsonEqual(spec.podCIDRs, old.spec.podCIDRs))
      causes.push(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
    if (old.spec.providerID && spec.providerID !== old.spec.providerID)
      causes.push(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
    return causes;
  },
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

function validateTaints(taints: types.Taint[]): FieldCause[] {
  const seen = new Set<string>();
  return taints.flatMap(({ key, value = '', effect }, i) => {
    const at = `spec.taints[${i}]`;
    const causes = validateName(key, checkQualifiedName, `${at}.key`);
    causes.push(...checkLabelValue(value).map(why => invalid(`${at}.value`, value, why)));
    causes.push(...validateEnum(effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], `${at}.effect`, true));
    if (seen.has(`${key}:${effect}`)) causes.push(duplicate(at, { key, effect }));
    seen.add(`${key}:${effect}`);
    return causes;
  });
}
