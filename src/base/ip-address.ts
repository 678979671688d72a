import { isIPv4, isIPv6 } from 'node:net';

/** An IP address as a number of its family. */
export interface IpAddress {
  family: 4 | 6;
  value: bigint;
}

/** A network in CIDR notation, parsed. */
export interface IpNetwork {
  family: 4 | 6;
  /** Its first address. */
  base: bigint;
  prefixLength: number;
}

/** Reads an address without zone; undefined when it is none. */
export function parseIp(text: string): IpAddress | undefined {
  if (isIPv4(text)) return { family: 4, value: numberOf(text.split('.').map(Number), 8n) };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = dotted?.slice(2).map(Number) ?? [];
  const groups = dotted ? `${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}` : text;
  const [head = '', tail] = groups.split('::');
  const read = (part: string) => (part ? part.split(':').map(group => Number.parseInt(group, 16)) : []);
  const [front, back] = [read(head), read(tail ?? '')];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => 0);
  return { family: 6, value: numberOf([...front, ...zeros, ...back], 16n) };
}

/** The usual spelling: dotted, or RFC 5952's. */
export function formatIp({ family, value }: IpAddress): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map(shift => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (value >> BigInt(16 * (7 - i))) & 0xffffn);
  const text = groups.map(group => group.toString(16)).join(':');
  const zeros = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].map(match => match[0]);
  const longest = zeros.reduce((best, each) => (each.split('0').length > best.split('0').length ? each : best), '');
  if (!longest) return text;
  const at = text.search(new RegExp(`${longest}(?=:|$)`));
  return `${text.slice(0, at)}::${text.slice(at + longest.length).replace(/^:/, '')}`;
}

/** The address in the order of the wire: 4 or 16 bytes. @throws TypeError when it is none */
export function bytesOfIp(text: string): Buffer {
  const address = parseIp(text);
  if (!address) throw new TypeError(`${JSON.stringify(text)} is no IP address`);
  return Buffer.from(address.value.toString(16).padStart(address.family === 4 ? 8 : 32, '0'), 'hex');
}

/** The address of 4 or 16 bytes. */
export function ipOfBytes(bytes: Uint8Array): string {
  return formatIp({ family: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${Buffer.from(bytes).toString('hex')}`) });
}

/** Reads `10.1.0.0/16` or `fd00::/64`; bits behind the prefix are dropped. Undefined when it is none. */
export function parseIpNetwork(text: string): IpNetwork | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const address = match && parseIp(match[1]!);
  const prefixLength = Number(match?.[2]);
  if (!address || prefixLength > bitsOf(address.family)) return undefined;
  const hostBits = BigInt(bitsOf(address.family) - prefixLength);
  return { family: address.family, base: (address.value >> hostBits) << hostBits, prefixLength };
}

export function formatIpNetwork({ family, base, prefixLength }: IpNetwork): string {
  return `${formatIp({ family, value: base })}/${prefixLength}`;
}

/** The last address of a network. */
export function lastOf({ family, base, prefixLength }: IpNetwork): bigint {
  return base + (1n << BigInt(bitsOf(family) - prefixLength)) - 1n;
}

export function networkContains(network: IpNetwork, { family, value }: IpAddress): boolean {
  return family === network.family && value >= network.base && value <= lastOf(network);
}

export function networksOverlap(one: IpNetwork, other: IpNetwork): boolean {
  return one.family === other.family && one.base <= lastOf(other) && other.base <= lastOf(one);
}

function bitsOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function numberOf(parts: readonly number[], bits: bigint): bigint {
  return parts.reduce((value, part) => (value << bits) | BigInt(part), 0n);
}
