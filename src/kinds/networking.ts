import type { FieldCause } from '#base/errors.ts';
import { orNone, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { validateIngressClassOnce, validateIngressSpec } from './ingress-validation.ts';
import type { Kind } from './kind.ts';
import { validateNetworkPolicySpec } from './network-policy-validation.ts';
import type * as types from './types.gen.ts';
import { forbidden, invalid, isCidr, isIp, required, tooLong, validateEnum, validateImmutable } from './validation.ts';

const GROUP = 'networking.k8s.io';

/** Which controller serves an Ingress. */
export const IngressClass: Kind<types.IngressClass> = defineKind<types.IngressClass>(`${GROUP}/v1/IngressClass`, {
  unattended: 'no ingress controller serves Ingresses yet',
  validate({ spec: { controller, parameters } }) {
    const causes = controller ? [] : [required('spec.controller')];
    if (controller && controller.length > 250) causes.push(tooLong('spec.controller', 250));
    else if (controller && !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/.+$/.test(controller))
      causes.push(invalid('spec.controller', controller, 'must be a domain-prefixed path (such as "acme.io/foo")'));
    if (!parameters) return causes;
    for (const field of ['kind', 'name'] as const) if (!parameters[field]) causes.push(required(`spec.parameters.${field}`));
    causes.push(...validateEnum(parameters.scope, ['Cluster', 'Namespace'], 'spec.parameters.scope'));
    if (parameters.scope === 'Namespace' && !parameters.namespace)
      causes.push(required('spec.parameters.namespace', "`parameters.scope` is set to 'Namespace'"));
    if (parameters.scope === 'Cluster' && parameters.namespace !== undefined)
      causes.push(forbidden('spec.parameters.namespace', "`parameters.scope` is set to 'Cluster'"));
    return causes;
  },
  defaults({ spec }) {
    if (spec.parameters) spec.parameters.scope ??= 'Cluster';
  },
  validateUpdate: ({ spec }, old) => validateImmutable(spec.controller, old.spec.controller, 'spec.controller'),
  cells: {
    Controller: ({ spec }) => spec.controller ?? '',
    Parameters: ({ spec: { parameters } }) =>
      parameters ? `${parameters.kind}${parameters.apiGroup ? `.${parameters.apiGroup}` : ''}/${parameters.name}` : '<none>',
  },
});
export type IngressClass = types.IngressClass;

/** HTTP from outside by host and path. */
export const Ingress: Kind<types.Ingress> = defineKind<types.Ingress>(`${GROUP}/v1/Ingress`, {
  unattended: 'no ingress controller serves Ingresses yet',
  validate: ({ spec }) => validateIngressSpec(spec),
  validateCreate: validateIngressClassOnce,
  cells: {
    Class: ({ spec, metadata }) => orNone(spec.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']),
    Hosts: ({ spec }) => {
      const hosts = (spec.rules ?? []).map(({ host }) => host || '*');
      return hosts.length > 3 ? `${hosts.slice(0, 3).join(',')} + ${hosts.length - 3} more...` : hosts.join(',') || '*';
    },
    Address: ({ status }) => (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').join(','),
    Ports: ({ spec }) => (spec.tls?.length ? '80, 443' : '80'),
  },
});
export type Ingress = types.Ingress;

/** An address that is taken. */
export const IPAddress: Kind<types.IPAddress> = defineKind<types.IPAddress>(`${GROUP}/v1/IPAddress`, {
  checkName: name => (isIp(name) ? [] : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
  validate({ spec: { parentRef } }) {
    if (!parentRef) return [required('spec.parentRef')];
    return (['resource', 'name'] as const).flatMap(field => (parentRef[field] ? [] : [required(`spec.parentRef.${field}`)]));
  },
  validateUpdate: ({ spec }, old) => validateImmutable(spec.parentRef, old.spec.parentRef, 'spec.parentRef'),
  cells: {
    ParentRef: ({ spec: { parentRef } }) => {
      const resource = `${parentRef.resource}${parentRef.group ? `.${parentRef.group}` : ''}`;
      return [resource, parentRef.namespace, parentRef.name].filter(Boolean).join('/');
    },
  },
});
export type IPAddress = types.IPAddress;

/** Who may talk to which pods. */
export const NetworkPolicy: Kind<types.NetworkPolicy> = defineKind<types.NetworkPolicy>(`${GROUP}/v1/NetworkPolicy`, {
  unattended: 'network policies are not enforced yet: traffic is not restricted',
  defaults({ spec }) {
    spec.podSelector ??= {};
    spec.policyTypes ??= spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'];
    for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) for (const port of ports) port.protocol ??= 'TCP';
  },
  validate: ({ spec }) => validateNetworkPolicySpec(spec),
  cells: { 'Pod-Selector': ({ spec }) => selectorText(spec.podSelector) },
});
export type NetworkPolicy = types.NetworkPolicy;

/** A range that Services take their addresses from. */
export const ServiceCIDR: Kind<types.ServiceCIDR> = defineKind<types.ServiceCIDR>(`${GROUP}/v1/ServiceCIDR`, {
  validate({ spec: { cidrs = [] } }) {
    if (cidrs.length === 0) return [required('spec.cidrs', 'at least one CIDR required')];
    const causes = cidrs.flatMap((cidr, i) => validateCidr(cidr, `spec.cidrs[${i}]`));
    if (cidrs.length > 2) return [...causes, invalid('spec.cidrs', cidrs, 'may only hold up to 2 values')];
    if (cidrs.length === 2 && cidrs[0]!.includes(':') === cidrs[1]!.includes(':'))
      causes.push(invalid('spec.cidrs', cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64'));
    return causes;
  },
  validateUpdate: ({ spec }, old) => validateImmutable(spec.cidrs, old.spec.cidrs, 'spec.cidrs'),
  cells: { CIDRs: ({ spec }) => (spec.cidrs ?? []).join(',') },
});
export type ServiceCIDR = types.ServiceCIDR;

function validateCidr(cidr: string, field: string): FieldCause[] {
  return isCidr(cidr) ? [] : [invalid(field, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
}
