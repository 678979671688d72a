import type { FieldCause } from '#base/errors.ts';
import { orNone, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, isCidr, isIp, required, validateEnum, validateImmutable, validateLabelSelector } from './validation.ts';

const GROUP = 'networking.k8s.io';

/** Which controller serves an Ingress. */
export const IngressClass: Kind<types.IngressClass> = defineKind<types.IngressClass>(`${GROUP}/v1/IngressClass`, {
  unattended: 'no ingress controller serves Ingresses yet',
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
  validate({ spec }) {
    const causes = validateBackend(spec.defaultBackend, 'spec.defaultBackend');
    if (!spec.rules?.length && !spec.defaultBackend)
      causes.push(invalid('spec', spec, 'either `defaultBackend` or `rules` must be specified'));
    spec.rules?.forEach(({ host, http }, i) => {
      const at = `spec.rules[${i}]`;
      if (host && isIp(host)) causes.push(invalid(`${at}.host`, host, 'must be a DNS name, not an IP address'));
      http?.paths.forEach(({ path = '', pathType, backend }, j) => {
        const field = `${at}.http.paths[${j}]`;
        causes.push(...validateEnum(pathType, ['Exact', 'ImplementationSpecific', 'Prefix'], `${field}.pathType`, true));
        if (pathType !== 'ImplementationSpecific' && !path.startsWith('/'))
          causes.push(invalid(`${field}.path`, path, 'must be an absolute path'));
        causes.push(...validateBackend(backend, `${field}.backend`));
      });
    });
    return causes;
  },
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
  validate({ spec }) {
    const causes = validateLabelSelector(spec.podSelector, 'spec.podSelector');
    spec.policyTypes?.forEach((type, i) => {
      causes.push(...validateEnum(type, ['Egress', 'Ingress'], `spec.policyTypes[${i}]`, true));
    });
    spec.ingress?.forEach(({ from }, i) => {
      causes.push(...validatePeers(from, `spec.ingress[${i}].from`));
    });
    spec.egress?.forEach(({ to }, i) => {
      causes.push(...validatePeers(to, `spec.egress[${i}].to`));
    });
    return causes;
  },
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

function validateBackend(backend: types.IngressBackend | undefined, field: string): FieldCause[] {
  if (!backend) return [];
  const { service, resource } = backend;
  if (!service && !resource) return [required(field, 'must specify a service or a resource')];
  if (service && resource) return [invalid(field, '', 'cannot set both resource and service backends')];
  if (!service) return [];
  const causes = service.name ? [] : [required(`${field}.service.name`)];
  if (!service.port?.name && !service.port?.number) causes.push(required(`${field}.service.port`, 'port name or number is required'));
  return causes;
}

function validatePeers(peers: types.NetworkPolicyPeer[] | undefined, path: string): FieldCause[] {
  return (peers ?? []).flatMap(({ podSelector, namespaceSelector, ipBlock }, i) => {
    const at = `${path}[${i}]`;
    if (!podSelector && !namespaceSelector && !ipBlock) return [required(at, 'must specify a peer')];
    return [
      ...validateLabelSelector(podSelector, `${at}.podSelector`),
      ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
      ...(ipBlock ? validateCidr(ipBlock.cidr, `${at}.ipBlock.cidr`) : []),
    ];
  });
}
