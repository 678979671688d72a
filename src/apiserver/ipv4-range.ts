import { UmiakError } from '#base/errors.ts';

/** A block of IPv4 addresses. */
export interface Ipv4Range {
  readonly text: string;
  readonly size: number;
  /** The address at an offset from the block's beginning. */
  at(offset: number): string;
  includes(address: string): boolean;
}

/** Reads `10.43.0.0/16`. @throws `BadRequest` */
export function cidrOf(text: string): Ipv4Range {
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(text);
  const address = match ? toNumber(match[1]!) : undefined;
  const bits = Number(match?.[2]);
  if (address === undefined || !(bits >= 8 && bits <= 30))
    throw new UmiakError('BadRequest', `"${text}" is no IPv4 range between /8 and /30`);
  const size = 2 ** (32 - bits);
  const base = address - (address % size);
  return {
    text,
    size,
    at: offset => toText(base + offset),
    includes(candidate) {
      const number = toNumber(candidate);
      return number !== undefined && number >= base && number < base + size;
    },
  };
}

function toNumber(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some(part => !/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map(shift => Math.floor(number / 2 ** shift) % 256).join('.');
}
