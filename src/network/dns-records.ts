import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import type { DnsEntry } from '#net/index.ts';

const TTL_SECONDS = 5;

/**
 * The names of one Service, as Kubernetes' DNS specification (1.1.0) has them: the Service's own, `_port._proto` SRV records, the
 * reverse of its addresses, and for a headless one each endpoint's. Pure.
 */
export function toDnsRecords(service: Service, slices: readonly EndpointSlice[], domain: string): Record<string, DnsEntry> {
  const { metadata, spec } = service;
  const base = `${metadata.name}.${metadata.namespace}.svc.${domain}`;
  if (spec.type === 'ExternalName') return spec.externalName ? { [base]: { cname: spec.externalName, ttl: TTL_SECONDS } } : {};
  return spec.clusterIP === 'None' ? headless(base, service, slices) : clustered(base, service);
}

function clustered(base: string, { spec }: Service): Record<string, DnsEntry> {
  const addresses = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(Boolean);
  if (addresses.length === 0) return {};
  const records: Record<string, DnsEntry> = { [base]: addressEntry(addresses) };
  for (const { name, protocol = 'TCP', port } of spec.ports ?? []) {
    if (name) records[`_${name}._${protocol.toLowerCase()}.${base}`] = { srv: [{ port, target: base }], ttl: TTL_SECONDS };
  }
  for (const address of addresses) records[reverseOf(address)] = { ptr: [base], ttl: TTL_SECONDS };
  return records;
}

function headless(base: string, { spec }: Service, slices: readonly EndpointSlice[]): Record<string, DnsEntry> {
  const records: Record<string, DnsEntry> = {};
  const all: string[] = [];
  const targets: { host: string; slice: EndpointSlice }[] = [];
  for (const slice of slices)
    for (const { addresses, conditions, hostname } of slice.endpoints ?? []) {
      const address = addresses[0];
      if (address === undefined || (conditions?.ready === false && !spec.publishNotReadyAddresses)) continue;
      const host = `${hostname || address.replaceAll(/[.:]/g, '-')}.${base}`;
      all.push(address);
      records[host] = addressEntry([address]);
      if (hostname) records[reverseOf(address)] = { ptr: [host], ttl: TTL_SECONDS };
      targets.push({ host, slice });
    }
  if (all.length > 0) records[base] = addressEntry(all);
  for (const { name, protocol = 'TCP' } of spec.ports ?? []) {
    if (!name) continue;
    const srv = targets.flatMap(({ host, slice }) => {
      const port = (slice.ports ?? []).find(each => each.name === name && (each.protocol ?? 'TCP') === protocol)?.port;
      return port === undefined ? [] : [{ port, target: host }];
    });
    if (srv.length > 0) records[`_${name}._${protocol.toLowerCase()}.${base}`] = { srv, ttl: TTL_SECONDS };
  }
  return records;
}

function addressEntry(addresses: readonly string[]): DnsEntry {
  const unique = [...new Set(addresses)];
  const a = unique.filter(address => !address.includes(':'));
  const aaaa = unique.filter(address => address.includes(':'));
  return { ...(a.length > 0 ? { a } : {}), ...(aaaa.length > 0 ? { aaaa } : {}), ttl: TTL_SECONDS };
}

/** `4.3.2.1.in-addr.arpa`, or the nibbles under `ip6.arpa`. */
export function reverseOf(address: string): string {
  if (!address.includes(':')) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => (text ? text.split(':') : []);
  const missing = 8 - groups(head).length - groups(tail).length;
  const full = address.includes('::') ? [...groups(head), ...Array<string>(missing).fill('0'), ...groups(tail)] : groups(address);
  const nibbles = full.map(group => group.padStart(4, '0')).join('');
  return `${[...nibbles].reverse().join('.')}.ip6.arpa`;
}
