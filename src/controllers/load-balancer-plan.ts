import type { Service } from '#kinds/service.ts';
import type { LoadBalancerIngress } from '#kinds/types.gen.ts';

/** Whether this cluster's own load balancer is asked to serve it: a class of its own is somebody else's. */
export function isOurs({ spec, metadata }: Service): boolean {
  return spec.type === 'LoadBalancer' && !spec.loadBalancerClass && !metadata.deletionTimestamp;
}

/**
 * The addresses at which a Service is served from outside: its present one as long as that is of the pool and its ports are nobody
 * else's there, or the first of the pool at which all its ports are free. Several Services share an address by port. Undefined: there is
 * none, or not the one that it wants. Pure.
 */
export function planIngress(service: Service, all: readonly Service[], pool: readonly string[]): LoadBalancerIngress[] | undefined {
  const taken = new Set(all.flatMap(other => (isOurs(other) && other.metadata.uid !== service.metadata.uid ? portsOf(other) : [])));
  const wanted = service.spec.loadBalancerIP;
  const present = service.status?.loadBalancer?.ingress?.[0]?.ip;
  const candidates = wanted ? pool.filter(ip => ip === wanted) : [...pool].sort((a, b) => Number(b === present) - Number(a === present));
  const ports = (service.spec.ports ?? []).map(({ port, protocol = 'TCP' }) => ({ port, protocol }));
  const ip = candidates.find(address => ports.every(({ port, protocol }) => !taken.has(`${address} ${protocol} ${port}`)));
  return ip === undefined ? undefined : [{ ip, ipMode: 'VIP', ports }];
}

/** The ports that a Service has at its addresses. */
function portsOf({ spec, status }: Service): string[] {
  const addresses = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  return addresses.flatMap(ip => (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => `${ip} ${protocol} ${port}`));
}
