import { UmiakError } from '#base/errors.ts';

/** An IPv4 network in CIDR notation, parsed. */
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
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(cidr);
  const prefixLength = Number(match?.[2]);
  if (!match || prefixLength > 32)
    throw new UmiakError('Invalid', `${JSON.stringify(cidr)} is no IPv4 network`, { hint: 'Write it like 10.42.0.0/16.' });
  const size = 2 ** (32 - prefixLength);
  const address = toNumber(match[1]!);
  return { base: address - (address % size), prefixLength, size };
}

/** @throws UmiakError `Invalid` */
export function toNumber(address: string): number {
  const bytes = address.split('.').map(part => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (bytes.length !== 4 || bytes.some(byte => byte > 255))
    throw new UmiakError('Invalid', `${JSON.stringify(address)} is no IPv4 address`);
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}

export function toAddress(number: number): string {
  return [24, 16, 8, 0].map(shift => (number >>> shift) & 255).join('.');
}

export function contains(network: Network, address: string): boolean {
  const number = toNumber(address);
  return number >= network.base && number < network.base + network.size;
}

/** The first usable address of a network: the gateway of its pods. */
export function gatewayOf(cidr: string): string {
  return toAddress(parseCidr(cidr).base + 1);
}

/** A locally administered hardware address that follows from an address, so that an address reused is the same neighbour to all. */
export function macOf(address: string): string {
  const bytes = [0x02, 0x75, ...address.split('.').map(Number)];
  return bytes.map(byte => byte.toString(16).padStart(2, '0')).join(':');
}
