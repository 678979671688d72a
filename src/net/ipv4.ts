import { UmiakError } from '#base/errors.ts';
import { formatIp, parseIp, parseIpNetwork } from '#base/ip-address.ts';

/** An IPv4 network in numbers that can be counted with; `#base/ip-address.ts` reads and writes it. */
export interface Network {
  /** First address as a number. */
  base: number;
  prefixLength: number;
  /** How many addresses it spans. */
  size: number;
}

/**
 * Parses `10.42.0.0/24`.
 * @throws UmiakError `Invalid`
 */
export function parseCidr(cidr: string): Network {
  const network = parseIpNetwork(cidr);
  if (network?.family !== 4)
    throw new UmiakError('Invalid', `${JSON.stringify(cidr)} is no IPv4 network`, { hint: 'Write it like 10.42.0.0/16.' });
  const { base, prefixLength } = network;
  return { base: Number(base), prefixLength, size: 2 ** (32 - prefixLength) };
}

/** @throws UmiakError `Invalid` */
export function toNumber(address: string): number {
  const parsed = parseIp(address);
  if (parsed?.family !== 4) throw new UmiakError('Invalid', `${JSON.stringify(address)} is no IPv4 address`);
  return Number(parsed.value);
}

export function toAddress(number: number): string {
  return formatIp({ family: 4, value: BigInt(number) });
}

export function contains(network: Network, address: string): boolean {
  const number = toNumber(address);
  return number >= network.base && number < network.base + network.size;
}

/** The first usable address of a network: the gateway of its pods. */
export function gatewayOf(cidr: string): string {
  return toAddress(parseCidr(cidr).base + 1);
}
