import { isIPv4, isIPv6 } from 'node:net';
import { CelError } from '../errors.ts';
import { define, type Overload, scan, scanBoth } from '../overload.ts';
import { OpaqueValue } from '../values.ts';

const IP = 'net.IP';
const CIDR = 'net.CIDR';

/** An address of either family. */
class IpValue extends OpaqueValue {
  readonly typeName = IP;
  readonly bits: bigint;
  readonly family: 4 | 6;
  constructor(bits: bigint, family: 4 | 6) {
    super();
    this.bits = bits;
    this.family = family;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof IpValue && other.family === this.family && other.bits === this.bits;
  }
  /** True when the address lies in `text`'s range. */
  isIn(text: string): boolean {
    return parseCidr(text)?.contains(this) === true;
  }
  override toString(): string {
    return this.family === 4 ? [24n, 16n, 8n, 0n].map(shift => (this.bits >> shift) & 255n).join('.') : formatIpv6(this.bits);
  }
}

/** An address with the length of its network's prefix. */
class CidrValue extends OpaqueValue {
  readonly typeName = CIDR;
  readonly ip: IpValue;
  readonly prefix: number;
  constructor(ip: IpValue, prefix: number) {
    super();
    this.ip = ip;
    this.prefix = prefix;
  }
  get #hostBits(): bigint {
    return BigInt((this.ip.family === 4 ? 32 : 128) - this.prefix);
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof CidrValue && other.prefix === this.prefix && other.ip.equals(this.ip);
  }
  contains(ip: IpValue): boolean {
    return ip.family === this.ip.family && ip.bits >> this.#hostBits === this.ip.bits >> this.#hostBits;
  }
  masked(): CidrValue {
    return new CidrValue(new IpValue((this.ip.bits >> this.#hostBits) << this.#hostBits, this.ip.family), this.prefix);
  }
  override toString(): string {
    return `${this.ip}/${this.prefix}`;
  }
}

function parseIp(text: string): IpValue | undefined {
  if (isIPv4(text))
    return new IpValue(
      text.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n),
      4,
    );
  if (!isIPv6(text) || text.includes('%') || text.includes('.')) return undefined;
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return new IpValue(
    groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n),
    6,
  );
}

function formatIpv6(bits: bigint): string {
  const text = Array.from({ length: 8 }, (_, at) => ((bits >> BigInt(112 - at * 16)) & 0xffffn).toString(16)).join(':');
  const longest = (text.match(/\b0(?::0)+\b/g) ?? []).reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest === ''
    ? text
    : text
        .replace(longest, ':')
        .replace(/^:(?!:)|(?<!:):$/, '::')
        .replace(/:{3,}/, '::');
}

function parseCidr(text: string): CidrValue | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  const prefix = Number(match?.[2]);
  return ip && prefix <= (ip.family === 4 ? 32 : 128) ? new CidrValue(ip, prefix) : undefined;
}

function ip(text: string): IpValue {
  const parsed = parseIp(text);
  if (!parsed) throw new CelError(`IP Address ${JSON.stringify(text.slice(0, 64))} parse error during conversion from string`);
  return parsed;
}

function cidr(text: string): CidrValue {
  const parsed = parseCidr(text);
  if (!parsed) throw new CelError(`network address parse error during conversion from string: ${JSON.stringify(text.slice(0, 64))}`);
  return parsed;
}

const containsCidr = (a: CidrValue, b: CidrValue) => a.prefix <= b.prefix && a.contains(b.ip);
const isMulticast = (at: IpValue) => at.isIn('224.0.0.0/4') || at.isIn('ff00::/8');
const isLinkLocal = (at: IpValue) => at.isIn('169.254.0.0/16') || at.isIn('fe80::/10');
const isLoopback = (at: IpValue) => at.isIn('127.0.0.0/8') || at.isIn('::1/128');
const isGlobalUnicast = (at: IpValue) =>
  at.bits !== 0n && !isLoopback(at) && !isMulticast(at) && !isLinkLocal(at) && !at.isIn('255.255.255.255/32');

/** IP addresses and networks. */
export const network: readonly Overload[] = [
  define(`ip(string): ${IP}`, ip, { cost: scan }),
  define('isIP(string): bool', (text: string) => parseIp(text) !== undefined, { cost: scan }),
  define('ip.isCanonical(string): bool', (text: string) => String(ip(text)) === text, { cost: scanBoth }),
  define(`string(${IP}): string`, String, { resultSize: () => 39 }),
  define(`${IP}.family(): int`, ({ family }: IpValue) => BigInt(family)),
  define(`${IP}.isUnspecified(): bool`, ({ bits }: IpValue) => bits === 0n),
  define(`${IP}.isLoopback(): bool`, isLoopback),
  define(`${IP}.isLinkLocalMulticast(): bool`, (at: IpValue) => at.isIn('224.0.0.0/24') || at.isIn('ff02::/16')),
  define(`${IP}.isLinkLocalUnicast(): bool`, isLinkLocal),
  define(`${IP}.isGlobalUnicast(): bool`, isGlobalUnicast),
  define(`cidr(string): ${CIDR}`, cidr, { cost: scan }),
  define('isCIDR(string): bool', (text: string) => parseCidr(text) !== undefined, { cost: scan }),
  define(`string(${CIDR}): string`, String, { resultSize: () => 43 }),
  define(`${CIDR}.containsIP(${IP}): bool`, (network: CidrValue, at: IpValue) => network.contains(at)),
  define(`${CIDR}.containsIP(string): bool`, (network: CidrValue, text: string) => network.contains(ip(text)), { cost: scanBoth }),
  define(`${CIDR}.containsCIDR(${CIDR}): bool`, containsCidr),
  define(`${CIDR}.containsCIDR(string): bool`, (network: CidrValue, text: string) => containsCidr(network, cidr(text)), { cost: scanBoth }),
  define(`${CIDR}.ip(): ${IP}`, (network: CidrValue) => network.ip),
  define(`${CIDR}.masked(): ${CIDR}`, (network: CidrValue) => network.masked()),
  define(`${CIDR}.prefixLength(): int`, ({ prefix }: CidrValue) => BigInt(prefix)),
];
