import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { hasNodePorts, type Service } from '#kinds/service.ts';
import type { Endpoint as SliceEndpoint } from '#kinds/types.gen.ts';
import type { Endpoint, Protocol, ServiceRule } from '#net/index.ts';
import type { HealthCheck } from './health-check-ports.ts';

/** For how long a client stays with its endpoint, when nothing is said. */
const AFFINITY_S = 10_800;

/** What a Service and its EndpointSlices mean to this node's kernel; undefined when nothing (headless, external name). Pure. */
export function toServiceRule(service: Service, slices: readonly EndpointSlice[], nodeName: string): ServiceRule | undefined {
  const { metadata, spec } = service;
  const balanced = balancerAddresses(service);
  const addresses = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(isIpv4);
  const externalAddresses = [...(spec.externalIPs ?? []), ...balanced].filter(isIpv4);
  if (addresses.length + externalAddresses.length === 0 || spec.type === 'ExternalName') return undefined;
  const internalPolicyLocal = spec.internalTrafficPolicy === 'Local';
  const externalPolicyLocal = isExternallyLocal(service);
  return {
    id: `${metadata.namespace}/${metadata.name}`,
    addresses,
    ...(externalAddresses.length > 0 ? { externalAddresses } : {}),
    ports: (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port, nodePort }) => {
      const offered = offeredAt(slices, name, protocol);
      return {
        protocol: protocol.toLowerCase() as Protocol,
        port,
        ...(nodePort ? { nodePort } : {}),
        endpoints: serving(offered),
        ...(internalPolicyLocal || externalPolicyLocal
          ? { localEndpoints: serving(offered.filter(({ endpoint }) => endpoint.nodeName === nodeName)) }
          : {}),
      };
    }),
    ...(internalPolicyLocal ? { internalPolicyLocal } : {}),
    ...(externalPolicyLocal ? { externalPolicyLocal } : {}),
    ...sourcesOf(spec.loadBalancerSourceRanges, balanced),
    ...(spec.sessionAffinity === 'ClientIP' ? { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_S } : {}),
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

/** True when what comes from outside shall stay on the node at which it arrived. */
function isExternallyLocal({ spec }: Service): boolean {
  return spec.externalTrafficPolicy === 'Local' && (hasNodePorts(spec) || (spec.externalIPs ?? []).length > 0);
}

/** Where load balancers ask whether this node has pods of the Service, and how many are ready; undefined: they need not ask. Pure. */
export function toHealthCheck(service: Service, slices: readonly EndpointSlice[], nodeName: string): HealthCheck | undefined {
  const { spec } = service;
  if (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local' || !spec.healthCheckNodePort) return undefined;
  const ready = slices.flatMap(({ addressType, endpoints = [] }) =>
    addressType === 'IPv4' ? endpoints.filter(({ conditions, nodeName: on }) => on === nodeName && conditions?.ready !== false) : [],
  );
  return { port: spec.healthCheckNodePort, localEndpoints: new Set(ready.flatMap(({ addresses }) => addresses[0] ?? [])).size };
}

interface Offered {
  endpoint: SliceEndpoint;
  at: Endpoint;
}

/** The endpoints of one port, in whatever state. */
function offeredAt(slices: readonly EndpointSlice[], portName: string, protocol: string): Offered[] {
  return slices.flatMap(({ addressType, ports = [], endpoints = [] }) => {
    const port = ports.find(each => (each.name ?? '') === portName && (each.protocol ?? 'TCP') === protocol)?.port;
    if (addressType !== 'IPv4' || port === undefined) return [];
    return endpoints.flatMap(endpoint => {
      const address = endpoint.addresses[0];
      return address === undefined ? [] : [{ endpoint, at: { address, port } }];
    });
  });
}

/** Those that are ready; when none is, those that are ending but still serve. */
function serving(offered: readonly Offered[]): Endpoint[] {
  const ready = offered.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  const ending = offered.filter(({ endpoint: { conditions } }) => conditions?.serving && conditions.terminating);
  return (ready.length > 0 ? ready : ending)
    .map(({ at }) => at)
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port));
}
