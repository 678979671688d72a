import { isCidr, isIpv6 } from './names.ts';

/** An IPv6 address that is not written as RFC 5952 has it, or is IPv4 in disguise. */
export function ipWarnings(text: string, field: string): string[] {
  if (!text.includes(':') || !isIpv6(text)) return [];
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(canonical);
  if (mapped) {
    const bits = [mapped[1]!, mapped[2]!].flatMap(word => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]);
    return [`${field}: non-standard IP address ${JSON.stringify(text)} is invalid: use ${JSON.stringify(bits.join('.'))}`];
  }
  if (canonical === text) return [];
  return [`${field}: IPv6 address ${JSON.stringify(text)} should be in RFC 5952 canonical format (${JSON.stringify(canonical)})`];
}

/** A range whose address lies within it rather than at its start, or that is not written as RFC 5952 has it. */
export function cidrWarnings(text: string, field: string): string[] {
  if (!isCidr(text)) return [];
  const [address = '', bits = ''] = text.split('/');
  const isSix = isIpv6(address);
  const canonical = isSix ? canonicalIpv6(address) : address;
  const first = firstOf(canonical, Number(bits), isSix);
  if (first !== canonical) {
    const [whole, single] = [`${first}/${bits}`, `${canonical}/${isSix ? 128 : 32}`];
    return [
      `${field}: CIDR value ${JSON.stringify(text)} is ambiguous in this context (should be ${JSON.stringify(whole)} or ${JSON.stringify(single)}?)`,
    ];
  }
  if (canonical === address) return [];
  return [
    `${field}: IPv6 CIDR value ${JSON.stringify(text)} should be in RFC 5952 canonical format (${JSON.stringify(`${canonical}/${bits}`)})`,
  ];
}

/** The address with all bits after the prefix at zero. */
function firstOf(address: string, bits: number, isSix: boolean): string {
  const width = isSix ? 16 : 8;
  const masked = wordsOf(address, isSix).map((word, i) => {
    const kept = Math.min(Math.max(bits - i * width, 0), width);
    return word & (((1 << kept) - 1) << (width - kept));
  });
  return isSix ? canonicalIpv6(masked.map(word => word.toString(16)).join(':')) : masked.join('.');
}

function wordsOf(address: string, isSix: boolean): number[] {
  if (!isSix) return address.split('.').map(Number);
  const [head = '', tail] = address.split('::');
  const [left, right] = [head, tail ?? ''].map(part => (part === '' ? [] : part.split(':'))) as [string[], string[]];
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array.from({ length: zeros }, () => '0'), ...right].map(word => Number.parseInt(word, 16));
}

function canonicalIpv6(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}
