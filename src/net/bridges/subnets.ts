import { createHash } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';
import { formatIpNetwork, type IpNetwork, networksOverlap, parseIpNetwork } from '#base/ip-address.ts';

/** Docker's own pools for networks whose subnet nobody chose: `size` is the prefix length of each. */
export const DEFAULT_POOLS: readonly { base: string; size: number }[] = [
  ...Array.from({ length: 14 }, (_, i) => ({ base: `172.${18 + i}.0.0/16`, size: 16 })),
  { base: '192.168.0.0/16', size: 20 },
];

/**
 * The first subnet of the pools that overlaps with nothing taken: other networks, the machine's routes, pods and Services. Pure.
 * @throws InvalidAddressPool in docker's words when none is left
 */
export function planSubnet(taken: readonly string[], pools = DEFAULT_POOLS): string {
  const others = read(taken);
  for (const { base, size } of pools) {
    const pool = parseIpNetwork(base)!;
    const step = 1n << BigInt(32 - size);
    for (let n = 0n; n < 1n << BigInt(size - pool.prefixLength); n++) {
      const candidate: IpNetwork = { family: 4, base: pool.base + n * step, prefixLength: size };
      if (!others.some(other => networksOverlap(candidate, other))) return formatIpNetwork(candidate);
    }
  }
  throw new UmiakError('BadRequest', 'all predefined address pools have been fully subnetted', {
    hint: 'Choose a subnet by --subnet, or remove networks that nobody uses: docker network prune.',
  });
}

/** A unique local IPv6 /64 (RFC 4193) of a machine's own /48, free of overlaps. Pure. */
export function planIpv6Subnet(taken: readonly string[], machine: string): string {
  const others = read(taken);
  const digits = createHash('sha256').update(machine).digest('hex').slice(0, 10);
  const base = BigInt(`0xfd${digits}`) << 80n;
  for (let n = 0n; n < 65_536n; n++) {
    const candidate: IpNetwork = { family: 6, base: base + (n << 64n), prefixLength: 64 };
    if (!others.some(other => networksOverlap(candidate, other))) return formatIpNetwork(candidate);
  }
  throw new UmiakError('BadRequest', 'all predefined IPv6 address pools have been fully subnetted');
}

/** What of `taken` a subnet overlaps with. Pure. */
export function overlapWith(subnet: string, taken: readonly string[]): string | undefined {
  const wanted = parseIpNetwork(subnet);
  return wanted && taken.find(other => read([other]).some(each => networksOverlap(wanted, each)));
}

function read(networks: readonly string[]): IpNetwork[] {
  return networks.flatMap(text => parseIpNetwork(text) ?? []);
}
