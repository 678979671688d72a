import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import type { Endpoint, Protocol, ServiceRule } from '#net/index.ts';

/** What a Service and its EndpointSlices mean to this node's kernel; undefined when nothing (headless, external name). Pure. */
export function toServiceRule(service: Service, slices: readonly EndpointSlice[], nodeName: string): ServiceRule | undefined {
  const { metadata, spec } = service;
  const balanced = balancerAddresses(service);
  const addresses = [...(spec.clusterIPs ?? [spec.clusterIP ?? '']), ...(spec.externalIPs ?? []), ...balanced].filter(isIpv4);
  if (addresses.length === 0 || spec.type === 'ExternalName') return undefined;
  return {
    id: `${metadata.namespace}/${metadata.name}`,
    addresses,
    ports: (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port, nodePort }) => ({
      protocol: protocol.toLowerCase() as Protocol,
      port,
      ...(nodePort ? { nodePort } : {}),
      endpoints: endpointsOf(slices, name, protocol, nodeName, spec.internalTrafficPolicy === 'Local'),
    })),
    ...(spec.externalTrafficPolicy === 'Local' ? { externalPolicyLocal: true } : {}),
    ...sourcesOf(spec.loadBalancerSourceRanges, balanced),
    ...(spec.sessionAffinity === 'ClientIP' ? { isSticky: true } : {}),
  };
}

const isIpv4 = (address: string) => /^\d+\./.test(address);

/** The addresses at which a load balancer leads packets to the nodes as they came. */
function balancerAddresses({ spec, status }: Service): string[] {
  if (spec.type !== 'LoadBalancer') return [];
  const ingress = status?.loadBalancer?.ingress ?? [];
  return [...new Set(ingress.flatMap(({ ip, ipMode }) => (ip && isIpv4(ip) && ipMode !== 'Proxy' ? [ip] : [])))];
}

/** Who may come to a load balancer's addresses, where not everybody may. */
function sourcesOf(ranges: readonly string[] = [], addresses: readonly string[]): Pick<ServiceRule, 'restricted'> {
  const sources = ranges.map(range => range.trim()).filter(isIpv4);
  if (ranges.length === 0 || addresses.length === 0 || sources.some(range => range.endsWith('/0'))) return {};
  return { restricted: { addresses, sources } };
}

/** Ready endpoints of one port; when none is ready, those that are ending but still serve. */
function endpointsOf(
  slices: readonly EndpointSlice[],
  portName: string,
  protocol: string,
  nodeName: string,
  localOnly: boolean,
): Endpoint[] {
  const ready: Endpoint[] = [];
  const ending: Endpoint[] = [];
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const port = (slice.ports ?? []).find(each => (each.name ?? '') === portName && (each.protocol ?? 'TCP') === protocol)?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions, nodeName: on } of slice.endpoints ?? []) {
      const isLocal = on === nodeName;
      const address = addresses[0];
      if (address === undefined || (localOnly && !isLocal)) continue;
      if (conditions?.ready !== false) ready.push({ address, port, isLocal });
      else if (conditions.serving && conditions.terminating) ending.push({ address, port, isLocal });
    }
  }
  const chosen = ready.length > 0 ? ready : ending;
  return chosen.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port));
}
