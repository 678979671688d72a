import type { FieldCause } from '#base/errors.ts';
import { checkReachable } from './endpoints-validation.ts';
import type { ServiceSpec } from './types.gen.ts';
import { checkPortNumber, checkQualifiedName, duplicate, forbidden, invalid, isIpv6, notSupported, validateEnum } from './validation.ts';

const FAMILIES = ['IPv4', 'IPv6'];
const POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
const KUBELET_PORT = 10250;

/** What a Service says of IP families, and the addresses that must follow it. */
export function validateFamilies({ type, clusterIPs = [], ipFamilies = [], ipFamilyPolicy }: ServiceSpec): FieldCause[] {
  if (type === 'ExternalName') {
    const given = { clusterIPs: clusterIPs.length, ipFamilies: ipFamilies.length, ipFamilyPolicy };
    return Object.entries(given).flatMap(([field, value]) =>
      value ? [forbidden(`spec.${field}`, 'may not be set for ExternalName services')] : [],
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

/** What a Service says of those who come from outside. */
export function validateExternal(spec: ServiceSpec): FieldCause[] {
  const {
    type,
    ports = [],
    externalIPs = [],
    externalTrafficPolicy,
    healthCheckNodePort: healthPort,
    loadBalancerSourceRanges = [],
  } = spec;
  const causes: FieldCause[] = externalIPs.flatMap((ip, i) => checkReachable(ip).map(why => invalid(`spec.externalIPs[${i}]`, ip, why)));
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
export function serviceWarnings({
  type,
  clusterIP,
  loadBalancerIP,
  externalIPs = [],
  sessionAffinity,
  externalName,
}: ServiceSpec): string[] {
  const warnings: string[] = [];
  if (type !== 'ExternalName' && externalName) warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  if (clusterIP !== 'None' || type === 'ExternalName') return warnings;
  const ignored = 'is ignored for headless services';
  if (loadBalancerIP) warnings.push(`spec.loadBalancerIP ${ignored}`);
  if (externalIPs.length > 0) warnings.push(`spec.externalIPs ${ignored}`);
  if (sessionAffinity !== undefined && sessionAffinity !== 'None') warnings.push(`spec.SessionAffinity ${ignored}`);
  return warnings;
}
