const TIME =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,30}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Texts that are their own canonical form, whatever the month: nearly all that are written. */
const PLAIN = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

/** An RFC 3339 time in UTC to the second, as `metav1.Time` is written; undefined when it is none. */
export function canonicalTime(text: string): string | undefined {
  return PLAIN.test(text) ? text : readTime(text)?.seconds.concat('Z');
}

/** An RFC 3339 time in UTC to the microsecond, as `metav1.MicroTime` is written; undefined when it is none. */
export function canonicalMicroTime(text: string): string | undefined {
  const read = readTime(text);
  return read && `${read.seconds}.${read.fraction.slice(0, 6).padEnd(6, '0')}Z`;
}

function readTime(text: string): { seconds: string; fraction: string } | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const [, local = '', fraction = '', zone = ''] = match;
  const asUtc = Date.parse(`${local}Z`);
  // 31 February rolls over in Date; it is no time.
  if (Number.isNaN(asUtc) || new Date(asUtc).toISOString().slice(0, 19) !== local) return undefined;
  if (zone === 'Z') return { seconds: local, fraction };
  const iso = new Date(Date.parse(`${local}${zone}`)).toISOString();
  return iso.length === 24 ? { seconds: iso.slice(0, 19), fraction } : undefined;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Base64 without line breaks; undefined when it is none. */
export function canonicalBase64(text: string): string | undefined {
  const joined = /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, '') : text;
  return joined.length % 4 === 0 && BASE64.test(joined) ? joined : undefined;
}
