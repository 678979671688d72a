import { blockBytes, type TarHeader, toText } from './tar-format.ts';

/** What is wrong with an archive; the reader adds where. */
export class TarDamage extends Error {}

export function damaged(why: string): TarDamage {
  return new TarDamage(why);
}

/** The longest path that the kernel takes. */
const MAX_NAME_BYTES = 4096;

/** One header block, of ustar, GNU or the oldest tar: what it says before extended headers, and the flag of its kind. @throws TarDamage */
export function parseHeader(block: Buffer): { header: TarHeader; flag: string } {
  const text = (from: number, length: number) => cString(block.subarray(from, from + length));
  const number = (from: number, length: number, field: string) => parseNumber(block.subarray(from, from + length), field);
  if (!isChecksum(block, number(148, 8, 'checksum'))) throw damaged('a header’s checksum is wrong');
  const flag = block[156] === 0 ? '0' : String.fromCharCode(block[156]!);
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(345, 155) : '';
  const name = text(0, 100);
  return {
    flag: flag === '7' ? '0' : flag,
    header: {
      name: prefix === '' ? name : `${prefix}/${name}`,
      type: 'file',
      mode: number(100, 8, 'mode') & 0o7777,
      uid: number(108, 8, 'uid'),
      gid: number(116, 8, 'gid'),
      sizeBytes: number(124, 12, 'size'),
      mtime: number(136, 12, 'mtime'),
      linkName: text(157, 100),
      devMajor: flag === '3' || flag === '4' ? number(329, 8, 'device') : 0,
      devMinor: flag === '3' || flag === '4' ? number(337, 8, 'device') : 0,
      xattrs: new Map(),
    },
  };
}

/** Octal digits, or base-256 when the first byte's high bit is set. @throws TarDamage */
export function parseNumber(field: Buffer, what: string): number {
  const first = field[0]!;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    for (const [i, byte] of field.entries()) value = (value << 8n) | BigInt(i === 0 ? (first & 0x40 ? byte : byte & 0x7f) : byte);
    const number = Number(BigInt.asIntN(field.length * 8, value));
    if (!Number.isSafeInteger(number)) throw damaged(`the ${what} is out of range`);
    return number;
  }
  const trimmed = field
    .toString('latin1')
    .replace(/^[\0 ]+/, '')
    .replace(/[\0 ].*$/s, '');
  if (trimmed === '') return 0;
  if (!/^[0-7]+$/.test(trimmed)) throw damaged(`the ${what} is not a number`);
  return Number.parseInt(trimmed, 8);
}

/** @throws TarDamage for names that no file can have */
export function checkedName(name: string): string {
  if (name.includes('\0')) throw damaged('a name has a zero byte in it');
  if (name.length > MAX_NAME_BYTES) throw damaged(`the name ${toText(name.slice(0, 60))}… is too long: ${name.length} bytes`);
  return name;
}

export function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

/** Some old programs added the bytes up as signed ones. */
function isChecksum(block: Buffer, expected: number): boolean {
  let [unsigned, signed] = [8 * 0x20, 8 * 0x20];
  for (let i = 0; i < blockBytes; i++) {
    if (i >= 148 && i < 156) continue;
    unsigned += block[i]!;
    signed += (block[i]! << 24) >> 24;
  }
  return unsigned === expected || signed === expected;
}
