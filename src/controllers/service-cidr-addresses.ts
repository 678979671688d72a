import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import { IPAddress } from '#kinds/networking.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';

const MANAGED_BY = 'ipaddress.kubernetes.io/managed-by';
const ALLOCATOR = 'ipallocator.k8s.io';

/** Shows each address that a Service has as an IPAddress. What is handed out is decided by the API server, in the Service's own transaction. */
export function ipAddressController(): Controller<IPAddress> {
  const holders = new Map<string, Key>();
  return defineController<IPAddress>({
    name: 'ipaddress-repair-controller',
    watches: IPAddress,
    alsoWatches: [
      alsoWatch(Service, service => {
        const { namespace, name } = service.metadata;
        const addresses = addressesOf(service);
        for (const address of addresses) holders.set(address, { namespace, name });
        return addresses.map(address => ({ name: address }));
      }),
    ],
    async reconcile({ name: ip }, { client }) {
      const present = client.cached(IPAddress).get({ name: ip });
      const holder = holders.get(ip);
      const service = holder && client.cached(Service).get(holder);
      const isHeld = service !== undefined && addressesOf(service).includes(ip);
      if (!isHeld) {
        holders.delete(ip);
        if (present?.metadata.labels?.[MANAGED_BY] === ALLOCATOR) await ignoreAbsent(client.delete(IPAddress, present.metadata));
      } else if (!present) await ignorePresent(client.create(IPAddress, toIpAddress(ip, holder!)));
      else if (present.metadata.labels?.[MANAGED_BY] === ALLOCATOR && !isOf(present, holder!)) {
        // The address has passed to another Service; what stands there can't be changed.
        await ignoreAbsent(client.delete(IPAddress, present.metadata));
      }
      return done;
    },
  });
}

/** The IPv4 addresses that a Service has of the cluster. */
function addressesOf({ spec }: Service): string[] {
  if (spec.type === 'ExternalName') return [];
  return (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(address => /^\d+\./.test(address));
}

function isOf({ spec: { parentRef } }: IPAddress, { namespace, name }: Key): boolean {
  return parentRef.namespace === namespace && parentRef.name === name;
}

function toIpAddress(ip: string, { namespace, name }: Key): Draft<IPAddress> {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IPAddress',
    metadata: { name: ip, labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv4', [MANAGED_BY]: ALLOCATOR } },
    spec: { parentRef: { group: '', resource: 'services', namespace, name } },
  };
}
