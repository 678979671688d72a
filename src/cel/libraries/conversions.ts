import { CelError } from '../errors.ts';
import { int, uint } from '../operators.ts';
import { define, type Overload, type OverloadSizes, same, scan } from '../overload.ts';
import { Duration, Timestamp } from '../time.ts';
import { type CelValue, Optional, TypeValue, typeNameOf, type Uint } from '../values.ts';

const TRUE = new Set(['1', 't', 'true', 'TRUE', 'True', 'T']);
const FALSE = new Set(['0', 'f', 'false', 'FALSE', 'False', 'F']);
const SCANNED: OverloadSizes = { cost: scan, resultSize: same };
const identity = (value: CelValue) => value;

function readInteger(text: string): bigint {
  if (!/^[+-]?\d{1,20}$/.test(text)) throw new CelError(`strconv.ParseInt: parsing ${JSON.stringify(text.slice(0, 64))}: invalid syntax`);
  return BigInt(text);
}

function wholePart(value: number): bigint {
  if (!Number.isFinite(value)) throw new CelError('integer overflow');
  return BigInt(Math.trunc(value));
}

function readDouble(text: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : SPECIAL[text.toLowerCase().replace(/^\+/, '')];
  if (value === undefined) throw new CelError(`strconv.ParseFloat: parsing ${JSON.stringify(text.slice(0, 64))}: invalid syntax`);
  return value;
}
const SPECIAL: Readonly<Record<string, number>> = {
  inf: Infinity,
  infinity: Infinity,
  '-inf': -Infinity,
  '-infinity': -Infinity,
  nan: NaN,
};

function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CelError('invalid UTF-8 in bytes, cannot convert to string');
  }
}

/** The hands of a timestamp: member functions, with and without a zone. */
const HANDS: Readonly<Record<string, (at: Date) => number>> = {
  getFullYear: at => at.getUTCFullYear(),
  getMonth: at => at.getUTCMonth(),
  getDate: at => at.getUTCDate(),
  getDayOfMonth: at => at.getUTCDate() - 1,
  getDayOfWeek: at => at.getUTCDay(),
  getDayOfYear: at => Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0, 1)) / 86_400_000),
  getHours: at => at.getUTCHours(),
  getMinutes: at => at.getUTCMinutes(),
  getSeconds: at => at.getUTCSeconds(),
  getMilliseconds: at => at.getUTCMilliseconds(),
};
const SPANS: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
  getMilliseconds: 1_000_000n,
};

/** Conversions between types, `type`, `dyn`, time, and optionals. */
export const conversions: readonly Overload[] = [
  define('dyn(A): dyn', identity, { resultSize: same }),
  define('type(A): type', (value: CelValue) => new TypeValue(typeNameOf(value))),
  define('bool(bool): bool', identity),
  define('bool(string): bool', (text: string) => {
    if (TRUE.has(text)) return true;
    if (FALSE.has(text)) return false;
    throw new CelError(`strconv.ParseBool: parsing ${JSON.stringify(text.slice(0, 64))}: invalid syntax`);
  }),
  define('int(int): int', identity),
  define('int(uint): int', (value: Uint) => int(value.value)),
  define('int(double): int', (value: number) => int(wholePart(value))),
  define('int(string): int', (text: string) => int(readInteger(text))),
  define('int(timestamp): int', (at: Timestamp) => at.nanos / 1_000_000_000n),
  define('uint(uint): uint', identity),
  define('uint(int): uint', (value: bigint) => uint(value)),
  define('uint(double): uint', (value: number) => uint(wholePart(value))),
  define('uint(string): uint', (text: string) => uint(readInteger(text))),
  define('double(double): double', identity),
  define('double(int): double', (value: bigint) => Number(value)),
  define('double(uint): double', (value: Uint) => Number(value.value)),
  define('double(string): double', readDouble),
  define('string(string): string', identity, { resultSize: same }),
  define('string(bool): string', String, { resultSize: () => 5 }),
  define('string(int): string', String, { resultSize: () => 20 }),
  define('string(uint): string', (value: Uint) => String(value.value), { resultSize: () => 20 }),
  define('string(double): string', formatDouble, { resultSize: () => 32 }),
  define('string(bytes): string', utf8, SCANNED),
  define('string(timestamp): string', String, { resultSize: () => 30 }),
  define('string(duration): string', String, { resultSize: () => 30 }),
  define('bytes(bytes): bytes', identity, { resultSize: same }),
  define('bytes(string): bytes', (text: string) => Buffer.from(text), SCANNED),
  define('timestamp(timestamp): timestamp', identity),
  define('timestamp(string): timestamp', Timestamp.parse),
  define('timestamp(int): timestamp', (seconds: bigint) => new Timestamp(seconds * 1_000_000_000n)),
  define('duration(duration): duration', identity),
  define('duration(string): duration', Duration.parse),
  define('duration(int): duration', (nanos: bigint) => new Duration(nanos)),
  ...Object.entries(HANDS).flatMap(([name, read]) => [
    define(`timestamp.${name}(): int`, (at: Timestamp) => BigInt(read(at.in()))),
    define(`timestamp.${name}(string): int`, (at: Timestamp, zone: string) => BigInt(read(at.in(zone)))),
  ]),
  ...Object.entries(SPANS).map(([name, unit]) => define(`duration.${name}(): int`, (span: Duration) => span.nanos / unit)),
  define('optional.of(A): optional<A>', (value: CelValue) => Optional.of(value)),
  define('optional.none(): optional<A>', () => Optional.NONE),
  define('optional.ofNonZeroValue(A): optional<A>', (value: CelValue) => (isZero(value) ? Optional.NONE : Optional.of(value))),
  define('optional<A>.hasValue(): bool', (optional: Optional) => optional.value !== undefined),
  define('optional<A>.value(): A', (optional: Optional) => {
    if (optional.value === undefined) throw new CelError('optional.none() dereference');
    return optional.value;
  }),
  define('optional<A>.or(optional<A>): optional<A>', (optional: Optional, other: Optional) =>
    optional.value === undefined ? other : optional,
  ),
  define('optional<A>.orValue(A): A', (optional: Optional, other: CelValue) => (optional.value === undefined ? other : optional.value)),
];

function isZero(value: CelValue): boolean {
  if (value === null || value === false || value === '' || value === 0n || value === 0) return true;
  if (typeof value !== 'object') return false;
  if ('length' in value) return value.length === 0;
  return 'size' in value && value.size === 0;
}
