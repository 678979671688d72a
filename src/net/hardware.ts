import { createHash } from 'node:crypto';
import { bytesOfIp, ipOfBytes } from '#base/ip-address.ts';

/** A locally administered hardware address that follows from a name. */
export function macOfId(id: string): string {
  return formatMac([0x02, 0x75, ...createHash('sha256').update(id).digest().subarray(0, 4)]);
}

/** A locally administered hardware address that follows from an IPv4 address, so that an address used again is the same neighbour to all. */
export function macOf(address: string): string {
  return formatMac([0x02, 0x75, ...bytesOfIp(address)]);
}

/** A container's hardware address as docker makes it of its address. */
export function macOfAddress(address: string): string {
  const bytes = bytesOfIp(address);
  return formatMac([0x02, 0x42, ...bytes.subarray(bytes.length - 4)]);
}

/** The link-local IPv6 address of a hardware address (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map(byte => Number.parseInt(byte, 16));
  return ipOfBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}

/** `02:42:ac:12:00:02` of any spelling of a unicast hardware address; undefined when it is none. */
export function parseMac(text: string): string | undefined {
  const match = /^([0-9a-f]{2})[:-]?([0-9a-f]{2})[:-]?([0-9a-f]{2})[:-]?([0-9a-f]{2})[:-]?([0-9a-f]{2})[:-]?([0-9a-f]{2})$/i.exec(text);
  return match?.slice(1).join(':').toLowerCase();
}

function formatMac(bytes: Iterable<number>): string {
  return [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join(':');
}
