import { UmiakError } from '#base/errors.ts';
import { blockBytes, paddingOf, type TarHeader, toText, typeFlags, xattrPrefix } from './tar-format.ts';
import { type SparseMap, sparseRecords } from './tar-sparse.ts';

/** An archive's end: two zero blocks. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

/** Zero bytes that fill up the last block of a content of that size. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc(paddingOf(sizeBytes));
}

/** The header blocks of one entry: ustar, with a pax header before it where ustar has no room. The same header gives the same bytes. */
export function tarHeader(header: TarHeader & { mtimeNanos?: number }, sparse?: SparseMap): Buffer {
  const records: [string, Buffer][] = [];
  const text = (key: string, value: string) => void records.push([key, Buffer.from(value, 'latin1')]);
  if (sparse) for (const [key, value] of sparseRecords(header.name, sparse)) text(key, value);
  else if (header.name.length > 100 || !isAscii(header.name)) text('path', header.name);
  if (header.linkName.length > 100 || !isAscii(header.linkName)) text('linkpath', header.linkName);
  if (header.sizeBytes >= 8 ** 11) text('size', String(header.sizeBytes));
  if (header.uid >= 8 ** 7) text('uid', String(header.uid));
  if (header.gid >= 8 ** 7) text('gid', String(header.gid));
  if (header.mtimeNanos) text('mtime', exactTime(header.mtime, header.mtimeNanos));
  else if (!Number.isInteger(header.mtime) || header.mtime < 0 || header.mtime >= 8 ** 11) text('mtime', String(header.mtime));
  for (const [key, value] of [...header.xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) records.push([xattrPrefix + key, value]);
  if (records.length === 0) return ustar(header, typeFlags[header.type]);
  const pax = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const before = ustar({ ...header, name: `PaxHeaders/${header.name.slice(-80)}`, linkName: '', mode: 0o644, sizeBytes: pax.length }, 'x');
  return Buffer.concat([before, pax, tarPadding(pax.length), ustar(header, typeFlags[header.type])]);
}

/** Seconds before the epoch count backwards, with all of their fraction. */
function exactTime(mtime: number, nanos: number): string {
  const seconds = Math.floor(mtime);
  const [whole, fraction] = seconds < 0 ? [seconds + 1, 1_000_000_000 - nanos] : [seconds, nanos];
  const digits = String(fraction).padStart(9, '0').replace(/0+$/, '');
  return `${seconds < 0 && whole === 0 ? '-' : ''}${whole}.${digits}`;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + String(rest.length).length;
  if (rest.length + String(length).length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function ustar(header: TarHeader, flag: string): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number) => {
    const fits = Number.isInteger(value) && value >= 0 && value < 8 ** (length - 1);
    block.write((fits ? value : 0).toString(8).padStart(length - 1, '0'), at, 'latin1');
  };
  if (header.devMajor >= 8 ** 7 || header.devMinor >= 8 ** 7)
    throw new UmiakError('Invalid', `${JSON.stringify(toText(header.name))}: its device numbers do not fit a tar archive`);
  block.write(header.name.slice(0, 100), 0, 'latin1');
  octal(header.mode & 0o7777, 100, 8);
  octal(header.uid, 108, 8);
  octal(header.gid, 116, 8);
  octal(header.sizeBytes, 124, 12);
  octal(header.mtime, 136, 12);
  block.write(flag, 156, 'latin1');
  block.write(header.linkName.slice(0, 100), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(header.devMajor, 329, 8);
  octal(header.devMinor, 337, 8);
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function isAscii(bytes: string): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes.charCodeAt(i) > 0x7e) return false;
  return true;
}

/** A header with sane values for what is not given. */
export function tarHeaderOf(header: Partial<TarHeader> & Pick<TarHeader, 'name' | 'type'>): TarHeader {
  const mode = header.type === 'directory' ? 0o755 : header.type === 'symlink' ? 0o777 : 0o644;
  return { mode, uid: 0, gid: 0, sizeBytes: 0, mtime: 0, linkName: '', devMajor: 0, devMinor: 0, xattrs: new Map(), ...header };
}
