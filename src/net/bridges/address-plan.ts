import { UmiakError } from '#base/errors.ts';
import { formatIp, lastOf, networkContains, parseIp, parseIpNetwork } from '#base/ip-address.ts';

/** One subnet of a network, and which addresses of it containers may get. */
export interface AddressSpace {
  subnet: string;
  /** Only addresses in here are given by themselves. */
  range?: string;
  /** The gateway's and those kept for others. */
  reserved: readonly string[];
}

/**
 * An address for a container: the one it wants, or the lowest that is free. The network's own address and the broadcast address are nobody's. Pure.
 * @throws UmiakError in docker's words when it is taken, lies elsewhere, or none is left
 */
export function planAddress({ subnet, range, reserved }: AddressSpace, taken: ReadonlySet<string>, wanted?: string): string {
  const network = parseIpNetwork(subnet)!;
  if (wanted !== undefined) {
    const address = parseIp(wanted);
    if (!address || !networkContains(network, address))
      throw new UmiakError('BadRequest', `invalid address ${wanted}: It does not belong to any of this network's subnets`);
    const text = formatIp(address);
    if (taken.has(text) || reserved.includes(text))
      throw new UmiakError('Forbidden', 'Address already in use', { details: { name: text } });
    return text;
  }
  const within = (range && parseIpNetwork(range)) || network;
  const isTiny = network.family === 4 && network.prefixLength >= 31;
  const first = within.base === network.base && !isTiny ? within.base + 1n : within.base;
  const last = lastOf(within) === lastOf(network) && network.family === 4 && !isTiny ? lastOf(within) - 1n : lastOf(within);
  const used = new Set([...taken, ...reserved]);
  for (let value = first; value <= last; value++) {
    const text = formatIp({ family: network.family, value });
    if (!used.has(text)) return text;
  }
  throw new UmiakError('ServiceUnavailable', `no available IPv${network.family} addresses on this network's address pools: ${subnet}`, {
    hint: 'Remove containers, or make a network with a larger subnet.',
  });
}

/** The first address of a subnet, or of its range, that is not kept for others: a network's gateway when nobody chose it. Pure. */
export function planGateway(subnet: string, reserved: readonly string[] = []): string {
  return planAddress({ subnet, reserved }, new Set());
}
