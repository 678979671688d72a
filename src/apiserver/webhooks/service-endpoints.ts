import type { EndpointSlice, Service } from '#kinds/types.gen.ts';
import { cacheKeyOf, type Resources, type Stored } from '../resources.ts';

/** Where to connect. */
export interface Address {
  host: string;
  port: number;
}

/** Finds an address for a Service's port: by number, by name, or its only one for ''. @throws Error in the words of upstream's resolver */
export type ServiceResolver = (namespace: string, name: string, port: number | string) => Address;

/** Takes a ready endpoint of the Service, at random; a Service without any that has a cluster address is tried there. */
export function serviceResolver(resources: Resources, random: () => number = Math.random): ServiceResolver {
  const services: Stored = resources.stored('', 'v1', 'services');
  const slices: Stored = resources.stored('discovery.k8s.io', 'v1', 'endpointslices');
  return (namespace, name, port) => {
    const service = services.cache.get(cacheKeyOf(namespace, name))?.object<Service>();
    if (!service) throw new Error(`service "${name}" not found`);
    const { spec } = service;
    if (spec.type === 'ExternalName') return { host: spec.externalName ?? '', port: Number(port) || 80 };
    const ports = spec.ports ?? [];
    const wanted = port === '' && ports.length === 1 ? ports[0] : ports.find(each => each.port === Number(port) || each.name === port);
    if (!wanted) throw new Error(`no service port ${JSON.stringify(port)} found for service "${name}"`);
    const found: Address[] = [];
    for (const stored of slices.cache.now.range(`${namespace}/`, `${namespace}0`)) {
      if (stored.projection.labels?.['kubernetes.io/service-name'] !== name) continue;
      found.push(...addressesOf(stored.object<EndpointSlice>(), wanted.name ?? ''));
    }
    const chosen = found[Math.floor(random() * found.length)];
    if (!chosen) throw new Error(`no endpoints available for service "${name}"`);
    return chosen;
  };
}

function addressesOf({ endpoints, ports }: EndpointSlice, portName: string): Address[] {
  const port = ports?.find(({ name }) => (name ?? '') === portName)?.port;
  if (port === undefined) return [];
  return (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses }) => addresses.slice(0, 1).map(host => ({ host, port })));
}
