import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import type { Endpoint, Protocol, ServiceRule } from '#net/index.ts';

/** What a Service and its EndpointSlices mean to this node's kernel; undefined when nothing (headless, external name). Pure. */
export function toServiceRule(service: Service, slices: readonly EndpointSlice[], nodeName: string): ServiceRule | undefined {
  const { metadata, spec } = service;
  const addresses = [...(spec.clusterIPs ?? [spec.clusterIP ?? '']), ...(spec.externalIPs ?? [])].filter(address => /^\d+\./.test(address));
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
    ...(spec.sessionAffinity === 'ClientIP' ? { isSticky: true } : {}),
  };
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
