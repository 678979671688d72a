import type { FieldCause } from '#base/errors.ts';
import { cidrWarnings, ipWarnings } from './address-warnings.ts';
import { checkReachable } from './endpoints-validation.ts';
import type { LoadBalancerStatus, ServiceSpec } from './types.gen.ts';
import {
  checkDnsSubdomain,
  checkIp,
  checkPortNumber,
  checkQualifiedName,
  duplicate,
  forbidden,
  invalid,
  isIp,
  isIpv6,
  notSupported,
  validateEnum,
} from './validation.ts';

const FAMILIES = ['IPv4', 'IPv6'];
const POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
const IP_MODES = ['Proxy', 'VIP'];
const KUBELET_PORT = 10250;

/** What a Service says of IP families, and the addresses that must follow it. */
export function validateFamilies({ type, clusterIPs = [], ipFamilies = [], ipFamilyPolicy }: ServiceSpec): FieldCause[] {
  if (type === 'ExternalName') {
    const given = { clusterIPs: clusterIPs.length > 0, ipFamilies: ipFamilies.length > 0, ipFamilyPolicy: ipFamilyPolicy !== undefined };
    return Object.entries(given).flatMap(([field, isGiven]) =>
      isGiven ? [forbidden(`spec.${field}`, 'may not be set for ExternalName services')] : [],
    );
  }
  const causes: FieldCause[] = [];
  ipFamilies.forEach((family, i) => {
    if (!FAMILIES.includes(family)) causes.push(notSupported(`spec.ipFamilies[${i}]`, family, FAMILIES));
    if (ipFamilies.indexOf(family) < i) causes.push(duplicate(`spec.ipFamilies[${i}]`, family));
  });
  causes.push(...validateEnum(ipFamilyPolicy, POLICIES, 'spec.ipFamilyPolicy'));
  const isHeadless = clusterIPs[0] === 'None';
  if (isHeadless && clusterIPs.length > 1) causes.push(invalid('spec.clusterIPs', clusterIPs, "'None' must be the first and only value"));
  if (clusterIPs.length > 2) causes.push(invalid('spec.clusterIPs', clusterIPs, 'may only hold up to 2 values'));
  if (isHeadless) return causes;
  const wrong = clusterIPs.flatMap((ip, i) => checkIp(ip).map(why => invalid(`spec.clusterIPs[${i}]`, ip, why)));
  if (wrong.length > 0) return [...causes, ...wrong];
  const sixes = clusterIPs.filter(isIpv6).length;
  if (clusterIPs.length > 1 && (sixes === 0 || sixes === clusterIPs.length))
    causes.push(invalid('spec.clusterIPs', clusterIPs, 'may specify no more than one IP for each IP family'));
  clusterIPs.forEach((ip, i) => {
    const family = ipFamilies[i];
    if (family !== undefined && (family === 'IPv6') !== isIpv6(ip))
      causes.push(invalid(`spec.clusterIPs[${i}]`, ip, `expected an ${family} value as indicated by \`ipFamilies[${i}]\``));
  });
  return causes;
}

/** A Service keeps its addresses and their families, unless it is or becomes an alias. */
export function validateClusterAddresses(spec: ServiceSpec, old: ServiceSpec): FieldCause[] {
  // Addresses that can't be are refused before they are compared.
  const isAlias = spec.type === 'ExternalName' || old.type === 'ExternalName';
  if (isAlias || validateFamilies(spec).length > 0) return [];
  const isHeadless = ({ clusterIPs = [] }: ServiceSpec) => clusterIPs.length === 1 && clusterIPs[0] === 'None';
  const [now, before] = [isHeadless(spec), isHeadless(old)];
  const causes: FieldCause[] = [];
  if (!now || !before) {
    const { clusterIPs = [] } = spec;
    const { clusterIPs: kept = [] } = old;
    const most = clusterIPs.length === kept.length ? kept.length : 1;
    for (let i = 0; i < most; i++)
      if (kept[i] !== undefined && clusterIPs[i] !== kept[i])
        causes.push(
          clusterIPs.length === 0
            ? invalid('spec.clusterIPs[0]', clusterIPs, 'primary clusterIP can not be unset')
            : invalid(`spec.clusterIPs[${i}]`, clusterIPs, 'may not change once set'),
        );
  }
  const [family, first] = [spec.ipFamilies?.[0], old.ipFamilies?.[0]];
  if (!now && !before && first !== undefined && family !== first)
    causes.push(invalid('spec.ipFamilies[0]', spec.ipFamilies, 'may not change once set'));
  return causes;
}

/** Where a balancer says that it listens. */
export function validateLoadBalancer({ ingress = [] }: LoadBalancerStatus = {}, { type }: ServiceSpec): FieldCause[] {
  const path = 'status.loadBalancer.ingress';
  if (type !== 'LoadBalancer') return ingress.length > 0 ? [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")] : [];
  return ingress.flatMap(({ ip, ipMode, hostname }, i) => {
    const at = `${path}[${i}]`;
    const causes = ip ? checkIp(ip).map(why => invalid(`${at}.ip`, ip, why)) : [];
    if (ipMode !== undefined && !ip) causes.push(forbidden(`${at}.ipMode`, 'may not be specified when `ip` is not set'));
    else if (ipMode !== undefined && !IP_MODES.includes(ipMode)) causes.push(notSupported(`${at}.ipMode`, ipMode, IP_MODES));
    if (!hostname) return causes;
    causes.push(...checkDnsSubdomain(hostname).map(why => invalid(`${at}.hostname`, hostname, why)));
    if (isIp(hostname)) causes.push(invalid(`${at}.hostname`, hostname, 'must be a DNS name, not an IP address'));
    return causes;
  });
}

/** What a Service says of those who come from outside. */
export function validateExternal(spec: ServiceSpec): FieldCause[] {
  const {
    type,
    ports = [],
    externalIPs = [],
    externalTrafficPolicy,
    healthCheckNodePort: healthPort,
    loadBalancerSourceRanges = [],
    loadBalancerClass,
  } = spec;
  const causes: FieldCause[] = externalIPs.flatMap((ip, i) => checkReachable(ip).map(why => invalid(`spec.externalIPs[${i}]`, ip, why)));
  if (type === 'LoadBalancer' && loadBalancerClass !== undefined)
    causes.push(...checkQualifiedName(loadBalancerClass).map(why => invalid('spec.loadBalancerClass', loadBalancerClass, why)));
  if (type !== 'LoadBalancer' && loadBalancerSourceRanges.length > 0)
    causes.push(forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"));
  const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
  if (healthPort && (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local'))
    causes.push(invalid('spec.healthCheckNodePort', healthPort, why));
  else if (healthPort) causes.push(...checkPortNumber(healthPort).map(wrong => invalid('spec.healthCheckNodePort', healthPort, wrong)));
  ports.forEach(({ port, appProtocol }, i) => {
    if (type === 'LoadBalancer' && port === KUBELET_PORT)
      causes.push(invalid(`spec.ports[${i}]`, port, `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`));
    if (appProtocol !== undefined)
      causes.push(...checkQualifiedName(appProtocol).map(wrong => invalid(`spec.ports[${i}].appProtocol`, appProtocol, wrong)));
  });
  return causes;
}

/** What a Service is better off without. */
export function serviceWarnings(spec: ServiceSpec, annotations: Record<string, string> = {}): string[] {
  const { type, clusterIP, loadBalancerIP, externalIPs = [], sessionAffinity, externalName, trafficDistribution } = spec;
  const warnings: string[] = [];
  if (Object.hasOwn(annotations, OLD_HINTS)) warnings.push(`annotation ${OLD_HINTS} is deprecated, please use ${TOPOLOGY_MODE} instead`);
  if (clusterIP && clusterIP !== 'None')
    warnings.push(...(spec.clusterIPs ?? []).flatMap((ip, i) => ipWarnings(ip, `spec.clusterIPs[${i}]`)));
  const isHeadless = clusterIP === 'None' && type === 'ClusterIP';
  if (isHeadless) {
    const ignored = 'is ignored for headless services';
    if (loadBalancerIP) warnings.push(`spec.loadBalancerIP ${ignored}`);
    if (externalIPs.length > 0) warnings.push(`spec.externalIPs ${ignored}`);
    if (sessionAffinity !== undefined && sessionAffinity !== 'None') warnings.push(`spec.SessionAffinity ${ignored}`);
  }
  warnings.push(...externalIPs.flatMap((ip, i) => ipWarnings(ip, `spec.externalIPs[${i}]`)));
  if (externalIPs.length > 0 && !isHeadless && type !== 'ExternalName')
    warnings.push('spec.externalIPs is deprecated and may no longer be implemented in some clusters');
  if (loadBalancerIP) warnings.push(...ipWarnings(loadBalancerIP, 'spec.loadBalancerIP'));
  spec.loadBalancerSourceRanges?.forEach((range, i) => {
    warnings.push(...cidrWarnings(range, `spec.loadBalancerSourceRanges[${i}]`));
  });
  if (type === 'ExternalName' && externalIPs.length > 0) warnings.push('spec.externalIPs is ignored when spec.type is "ExternalName"');
  if (type !== 'ExternalName' && externalName) warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  if (trafficDistribution === 'PreferClose') warnings.push('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"');
  return warnings;
}

const OLD_HINTS = 'service.kubernetes.io/topology-aware-hints';
const TOPOLOGY_MODE = 'service.kubernetes.io/topology-mode';
