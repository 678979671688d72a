import type { Endpoints } from '#kinds/core.ts';
import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Draft } from '#kinds/kind.ts';
import type { Service } from '#kinds/service.ts';

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];
type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

const ENDPOINTS_MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const ENDPOINTS_MANAGER = 'endpoint-controller';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
/** Of more, the rest is left out, and an annotation says so. */
const MOST_ADDRESSES = 1000;

/** The old form of a Service's EndpointSlices: one subset for each set of ports, who is ready apart from who is not. Pure. */
export function planEndpoints({ metadata, spec }: Service, slices: readonly EndpointSlice[]): Draft<Endpoints> {
  const subsets = new Map<string, Subset>();
  let room = MOST_ADDRESSES;
  let isTruncated = false;
  for (const { ports = [], endpoints = [], addressType } of slices) {
    if (addressType !== 'IPv4' || endpoints.length === 0) continue;
    const sorted = ports.map(toPort).sort((a, b) => compare(a.name ?? '', b.name ?? '') || a.port - b.port);
    const id = JSON.stringify(sorted);
    const subset: Subset = subsets.get(id) ?? { ...(sorted.length > 0 ? { ports: sorted } : {}) };
    for (const endpoint of endpoints) {
      const list = listOf(endpoint);
      if (!list) continue;
      if (room === 0) isTruncated = true;
      else {
        const addresses = subset[list] ?? [];
        addresses.push(toAddress(endpoint));
        subset[list] = addresses;
      }
      room = Math.max(0, room - 1);
    }
    if (subset.addresses || subset.notReadyAddresses) subsets.set(id, subset);
  }
  const byAddress = (a: Address, b: Address) => compare(a.ip, b.ip);
  for (const { addresses, notReadyAddresses } of subsets.values()) {
    addresses?.sort(byAddress);
    notReadyAddresses?.sort(byAddress);
  }
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      labels: {
        ...metadata.labels,
        [ENDPOINTS_MANAGED_BY]: ENDPOINTS_MANAGER,
        ...(spec.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {}),
      },
      ...(isTruncated ? { annotations: { [OVER_CAPACITY]: 'truncated' } } : {}),
    },
    ...(subsets.size > 0 ? { subsets: [...subsets].sort(([a], [b]) => compare(a, b)).map(([, subset]) => subset) } : {}),
  };
}

/** Whether what is there says the same; what others noted on it does not count. */
export function saysTheSame(present: Endpoints, wanted: Draft<Endpoints>): boolean {
  const said = ({ metadata, subsets = [] }: Draft<Endpoints> | Endpoints) =>
    JSON.stringify([
      Object.entries(metadata.labels ?? {}).sort(([a], [b]) => compare(a, b)),
      metadata.annotations?.[OVER_CAPACITY],
      subsets.map(({ ports = [], addresses = [], notReadyAddresses = [] }) => [
        ports.map(toPort),
        addresses.map(sameOrder),
        notReadyAddresses.map(sameOrder),
      ]),
    ]);
  return said(present) === said(wanted);
}

/** Pods that end are no addresses any more, ready or not. */
function listOf({ conditions }: SliceEndpoint): 'addresses' | 'notReadyAddresses' | undefined {
  if (conditions?.ready !== false) return 'addresses';
  return conditions.terminating ? undefined : 'notReadyAddresses';
}

function toAddress({ addresses, hostname, nodeName, targetRef }: SliceEndpoint): Address {
  return sameOrder({
    ip: addresses[0] ?? '',
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  });
}

/** One order of fields, so that equal addresses are equal as text. */
function sameOrder({ ip, hostname, nodeName, targetRef }: Address): Address {
  const { kind, namespace, name, uid } = targetRef ?? {};
  return {
    ip,
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef: { kind, namespace, name, uid } } : {}),
  };
}

function toPort({ name, port, protocol = 'TCP', appProtocol }: NonNullable<EndpointSlice['ports']>[number]) {
  return { ...(name ? { name } : {}), port: port ?? 0, protocol, ...(appProtocol ? { appProtocol } : {}) };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
