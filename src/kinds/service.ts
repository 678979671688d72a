import type { FieldCause } from '#base/errors.ts';
import { labelsText, orNone } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import {
  serviceWarnings,
  validateClusterAddresses,
  validateExternal,
  validateFamilies,
  validateLoadBalancer,
} from './service-validation.ts';
import type * as types from './types.gen.ts';
import {
  checkDns1035Label,
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkPortName,
  checkPortNumber,
  duplicate,
  forbidden,
  invalid,
  isCidr,
  jsonEqual,
  required,
  validateEnum,
  validateLabels,
  validateName,
  validateUnique,
} from './validation.ts';

/** One address for a changing set of pods. Addresses and node ports are allocated by the API server. */
export const Service: Kind<types.Service> = defineKind<types.Service>('v1/Service', {
  checkName: checkDns1035Label,
  defaults({ spec, status }) {
    spec.sessionAffinity ||= 'None';
    if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
    else {
      spec.sessionAffinityConfig ??= {};
      spec.sessionAffinityConfig.clientIP ??= {};
      spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10_800;
    }
    spec.type ||= 'ClusterIP';
    for (const port of spec.ports ?? []) {
      port.protocol ||= 'TCP';
      if (port.targetPort === undefined || port.targetPort === '' || port.targetPort === 0) port.targetPort = port.port;
    }
    if (isReachedFromOutside(spec)) spec.externalTrafficPolicy ||= 'Cluster';
    if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
    if (spec.type !== 'ExternalName') {
      spec.internalTrafficPolicy ??= 'Cluster';
      spec.ipFamilyPolicy ??= 'SingleStack';
      if (!spec.ipFamilies?.length) spec.ipFamilies = ['IPv4'];
    } else delete spec.internalTrafficPolicy;
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
    for (const ingress of status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= 'VIP';
  },
  prepareForCreate(service) {
    service.status = { loadBalancer: {} };
  },
  prepareForUpdate({ spec }, { spec: old }) {
    keepAllocated(spec, old);
    dropOfOtherType(spec, old);
  },
  warnings: ({ metadata, spec }) => serviceWarnings(spec, metadata.annotations),
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate({ spec }, old) {
    const causes = validateClusterAddresses(spec, old.spec);
    if (spec.type === 'LoadBalancer' && old.spec.type === 'LoadBalancer' && spec.loadBalancerClass !== old.spec.loadBalancerClass)
      causes.push(invalid('spec.loadBalancerClass', spec.loadBalancerClass ?? null, 'may not change once set'));
    if (needsHealthCheck(spec) && needsHealthCheck(old.spec) && (spec.healthCheckNodePort ?? 0) !== (old.spec.healthCheckNodePort ?? 0))
      causes.push(forbidden('spec.healthCheckNodePort', 'field is immutable'));
    return causes;
  },
  validateStatusUpdate: ({ spec, status }) => validateLoadBalancer(status?.loadBalancer, spec),
  cells: {
    Type: ({ spec }) => spec.type ?? '',
    'Cluster-IP': ({ spec }) => orNone(spec.clusterIPs?.[0] ?? spec.clusterIP),
    'External-IP': externalAddresses,
    'Port(s)': ({ spec }) =>
      orNone((spec.ports ?? []).map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`).join(',')),
    Selector: ({ spec }) => labelsText(spec.selector),
  },
  selectableFields: { 'spec.clusterIP': ({ spec }) => spec.clusterIP ?? '', 'spec.type': ({ spec }) => spec.type ?? '' },
});
export type Service = types.Service;

/** What the server once allocated stays, when the client leaves it out. */
function keepAllocated(spec: types.ServiceSpec, old: types.ServiceSpec): void {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return;
  // Who changes the one address alone means the first of all of them.
  if (spec.clusterIP && spec.clusterIP !== old.clusterIP && jsonEqual(spec.clusterIPs, old.clusterIPs))
    spec.clusterIPs = [spec.clusterIP, ...(spec.clusterIPs ?? []).slice(1)];
  if (!spec.clusterIP) {
    if (old.clusterIP) spec.clusterIP = old.clusterIP;
    if (old.clusterIPs) spec.clusterIPs = old.clusterIPs;
  }
  if (!spec.healthCheckNodePort && old.healthCheckNodePort && needsHealthCheck(spec) && needsHealthCheck(old))
    spec.healthCheckNodePort = old.healthCheckNodePort;
  if (!hasNodePorts(spec) || !hasNodePorts(old)) return;
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const before = old.ports?.find(one => one.port === port.port && one.protocol === port.protocol)?.nodePort;
    if (before && !spec.ports?.some(one => one.nodePort === before && one.protocol === port.protocol)) port.nodePort = before;
  }
}

/** A client that changes the type need not clear what only the old type had: unchanged, it goes. */
function dropOfOtherType(spec: types.ServiceSpec, old: types.ServiceSpec): void {
  const drop = (...keys: (keyof types.ServiceSpec)[]) => {
    for (const key of keys) if (jsonEqual(spec[key], old[key])) delete spec[key];
  };
  if (spec.type === 'ExternalName' && old.type !== 'ExternalName') drop('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy');
  if (old.type === 'ExternalName' && spec.type !== 'ExternalName') drop('externalName');
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') drop('allocateLoadBalancerNodePorts', 'loadBalancerClass');
  if (needsHealthCheck(old) && !needsHealthCheck(spec)) drop('healthCheckNodePort');
  if (!hasNodePorts(old) || hasNodePorts(spec)) return;
  if (!spec.externalIPs?.length) drop('externalTrafficPolicy');
  for (const port of spec.ports ?? []) if (old.ports?.some(({ nodePort }) => nodePort === port.nodePort)) delete port.nodePort;
}

/** True when others than pods reach it: by ports of nodes, or by addresses that lead to them. */
function isReachedFromOutside(spec: types.ServiceSpec): boolean {
  return hasNodePorts(spec) || (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0);
}

/** True for the types whose ports are open on every node. */
export function hasNodePorts({ type }: { type?: string | undefined }): boolean {
  return type === 'NodePort' || type === 'LoadBalancer';
}

/** True when load balancers ask each node whether it has pods of the Service. */
export function needsHealthCheck({ type, externalTrafficPolicy }: types.ServiceSpec): boolean {
  return type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
}

/** True when names resolve to the pods themselves. */
export function isHeadless({ spec }: types.Service): boolean {
  return spec.clusterIP === 'None';
}

function externalAddresses({ spec, status }: types.Service): string {
  if (spec.type === 'ExternalName') return spec.externalName ?? '';
  const external = spec.externalIPs ?? [];
  if (spec.type !== 'LoadBalancer') return orNone(external.join(','));
  const balanced = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').filter(Boolean);
  return [...balanced, ...external].join(',') || '<pending>';
}

function validateSpec(spec: types.ServiceSpec): FieldCause[] {
  const causes = validateEnum(spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'], 'spec.type', true);
  causes.push(...validateEnum(spec.sessionAffinity, ['ClientIP', 'None'], 'spec.sessionAffinity', true));
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (timeout !== undefined && (timeout <= 0 || timeout > 86_400))
    causes.push(invalid('spec.sessionAffinityConfig.clientIP.timeoutSeconds', timeout, 'must be greater than 0 and less than 86400'));
  causes.push(...validatePorts(spec), ...validateLabels(spec.selector, 'spec.selector'), ...validateAddresses(spec));
  if (spec.type === 'ExternalName') {
    const name = spec.externalName?.replace(/\.$/, '');
    causes.push(...validateName(name, checkDnsSubdomain, 'spec.externalName'));
  }
  if (spec.type !== 'LoadBalancer')
    for (const field of ['loadBalancerClass', 'allocateLoadBalancerNodePorts'] as const)
      if (spec[field] !== undefined) causes.push(forbidden(`spec.${field}`, "may only be used when `type` is 'LoadBalancer'"));
  causes.push(...validateEnum(spec.internalTrafficPolicy, ['Cluster', 'Local'], 'spec.internalTrafficPolicy'));
  if (isReachedFromOutside(spec))
    causes.push(...validateEnum(spec.externalTrafficPolicy, ['Cluster', 'Local'], 'spec.externalTrafficPolicy'));
  else if (spec.externalTrafficPolicy)
    causes.push(invalid('spec.externalTrafficPolicy', spec.externalTrafficPolicy, 'may only be set for externally-accessible services'));
  const distributions = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
  causes.push(...validateEnum(spec.trafficDistribution, distributions, 'spec.trafficDistribution'));
  return [...causes, ...validateFamilies(spec), ...validateExternal(spec)];
}

function validateAddresses(spec: types.ServiceSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  const { clusterIP, clusterIPs = [], externalIPs = [], loadBalancerSourceRanges = [] } = spec;
  if (clusterIP === 'None' && hasNodePorts(spec))
    causes.push(invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
  if (spec.type !== 'ExternalName' && clusterIP && clusterIPs.length > 0 && clusterIPs[0] !== clusterIP)
    causes.push(invalid('spec.clusterIPs', clusterIPs, 'first value must match `clusterIP`'));
  if (spec.type !== 'ExternalName' && !clusterIP && clusterIPs.length > 0)
    causes.push(invalid('spec.clusterIPs', clusterIPs, 'must be empty when `clusterIP` is not specified'));
  externalIPs.forEach((ip, i) => {
    causes.push(...checkIp(ip).map(why => invalid(`spec.externalIPs[${i}]`, ip, why)));
  });
  loadBalancerSourceRanges.forEach((range, i) => {
    if (!isCidr(range.trim()))
      causes.push(invalid(`spec.LoadBalancerSourceRanges[${i}]`, range, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'));
  });
  return causes;
}

function validatePorts(spec: types.ServiceSpec): FieldCause[] {
  const { ports = [], type, clusterIP } = spec;
  if (ports.length === 0) return type === 'ExternalName' || clusterIP === 'None' ? [] : [required('spec.ports')];
  const causes: FieldCause[] = [];
  ports.forEach((port, i) => {
    const at = `spec.ports[${i}]`;
    if (!port.name) {
      if (ports.length > 1) causes.push(required(`${at}.name`));
    } else causes.push(...validateName(port.name, checkDnsLabel, `${at}.name`));
    causes.push(...checkPortNumber(port.port).map(why => invalid(`${at}.port`, port.port, why)));
    causes.push(...validateEnum(port.protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`, true));
    const target = port.targetPort;
    if (typeof target === 'number') causes.push(...checkPortNumber(target).map(why => invalid(`${at}.targetPort`, target, why)));
    else if (target !== undefined) causes.push(...checkPortName(target).map(why => invalid(`${at}.targetPort`, target, why)));
    if (port.nodePort && type === 'ClusterIP') causes.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${type}'`));
  });
  causes.push(
    ...validateUnique(
      ports,
      ({ name }) => name,
      i => `spec.ports[${i}].name`,
    ),
  );
  causes.push(
    ...validateUnique(
      ports,
      ({ nodePort, protocol }) => (nodePort ? `${nodePort}/${protocol}` : undefined),
      i => `spec.ports[${i}].nodePort`,
    ),
  );
  const seen = new Set<string>();
  ports.forEach(({ port, protocol }, i) => {
    if (seen.has(`${protocol}/${port}`)) {
      const same = { Name: '', Protocol: protocol, AppProtocol: null, Port: port, TargetPort: 0, NodePort: 0 };
      causes.push(duplicate(`spec.ports[${i}]`, same));
    }
    seen.add(`${protocol}/${port}`);
  });
  return causes;
}
