import { type TarEntryType, type TarHeader, typeFlags, xattrPrefix } from './tar-format.ts';
import { checkedName, damaged } from './tar-header.ts';

/** Records of one pax header, in their order: GNU's first sparse format repeats keys. Values are bytes. */
export type PaxRecords = readonly (readonly [key: string, value: Buffer])[];

/** What stood before an entry's own header. */
export interface Extended {
  /** Of global headers: for all entries from there on. */
  global: Map<string, Buffer>;
  records: Map<string, Buffer>;
  /** GNU's long names. */
  name?: string;
  linkName?: string;
}

export interface ExtendedHeader extends TarHeader {
  /** The part of `mtime` below a second, exactly; absent where the archive gave whole seconds. */
  mtimeNanos?: number;
}

/** libarchive's own form of extended attributes: names percent-encoded, values in base64. */
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.';
/** They describe one entry; said of all they would make no sense. */
const NEVER_GLOBAL = new Set(['path', 'linkpath', 'size']);
const TYPES = new Map<string, TarEntryType>(Object.entries(typeFlags).map(([type, flag]) => [flag, type as TarEntryType]));

/** Pax records: `<length of the whole record> <key>=<value>\n`, values any bytes. @throws TarDamage */
export function parsePax(bytes: Buffer): PaxRecords {
  const records: [string, Buffer][] = [];
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space > at && space - at <= 10 ? Number(bytes.toString('latin1', at, space)) : Number.NaN;
    const equals = bytes.indexOf(0x3d, space);
    const end = at + length;
    if (!Number.isInteger(length) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a)
      throw damaged('an extended header is malformed');
    records.push([bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

/** Whether a global record counts. */
export function isGlobalKey(key: string): boolean {
  return !NEVER_GLOBAL.has(key) && !key.startsWith('GNU.sparse.');
}

/** The entry as header and extended headers together describe it; undefined is a type that is not known. @throws TarDamage */
export function applyExtended(header: TarHeader, flag: string, { global, records, ...long }: Extended): ExtendedHeader | undefined {
  const text = (key: string) => (records.get(key) ?? global.get(key))?.toString('latin1');
  const name = checkedName(text('GNU.sparse.name') ?? text('path') ?? long.name ?? header.name);
  const linkName = checkedName(text('linkpath') ?? long.linkName ?? header.linkName);
  const type = flag === 'S' ? 'file' : flag === '0' && name.endsWith('/') ? 'directory' : TYPES.get(flag);
  if (type === undefined) return undefined;
  return {
    ...header,
    name,
    type,
    linkName,
    sizeBytes: type === 'file' ? whole(decimal(text('size'), 'size') ?? header.sizeBytes, 'size') : 0,
    uid: id(decimal(text('uid'), 'uid') ?? header.uid, 'uid'),
    gid: id(decimal(text('gid'), 'gid') ?? header.gid, 'gid'),
    ...timeOf(header, text('mtime')),
    xattrs: new Map([...xattrsOf(global), ...xattrsOf(records)]),
  };
}

function timeOf(header: TarHeader, text: string | undefined): { mtime: number; mtimeNanos?: number } {
  const mtime = decimal(text, 'mtime');
  if (mtime === undefined) return { mtime: header.mtime };
  if (!Number.isSafeInteger(Math.trunc(mtime))) throw damaged(`the mtime ${text} is out of range`);
  const digits = /\.(\d+)/.exec(text ?? '')?.[1];
  if (digits === undefined || /^0*$/.test(digits)) return { mtime };
  const nanos = Number(digits.slice(0, 9).padEnd(9, '0'));
  return { mtime, mtimeNanos: mtime < 0 && nanos > 0 ? 1_000_000_000 - nanos : nanos };
}

function* xattrsOf(records: ReadonlyMap<string, Buffer>): Generator<[string, Buffer]> {
  for (const [key, value] of records) if (key.startsWith(xattrPrefix)) yield [key.slice(xattrPrefix.length), value];
  for (const [key, value] of records) {
    if (!key.startsWith(LIBARCHIVE_XATTR)) continue;
    const name = decoded(key.slice(LIBARCHIVE_XATTR.length));
    if (!records.has(xattrPrefix + name)) yield [name, Buffer.from(value.toString('latin1'), 'base64')];
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw damaged(`the name of the attribute ${name} is malformed`);
  }
}

/** An empty value takes back what a header before it said. */
function decimal(value: string | undefined, key: string): number | undefined {
  if (value === undefined || value === '') return undefined;
  if (!/^-?\d+(\.\d*)?$/.test(value)) throw damaged(`the extended header ${key} is not a number`);
  return Number(value);
}

function whole(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw damaged(`the ${what} ${value} is out of range`);
  return value;
}

function id(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xfffffffe) throw damaged(`the ${what} ${value} is out of range`);
  return value;
}
