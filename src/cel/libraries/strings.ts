import { CelError } from '../errors.ts';
import { define, type Overload, type OverloadSizes, same, scan, scanBoth } from '../overload.ts';
import { type CelList, ValueList } from '../values.ts';
import { formatText } from './format-text.ts';
import { codePointCount, codePoints } from './text.ts';

const SCANNED: OverloadSizes = { cost: scan, resultSize: same };
const FOUND: OverloadSizes = { cost: (size = 0, part = 0) => Math.ceil(size * 0.1) * Math.ceil(Math.max(1, part * 0.1)) };

function range(at: number, size: number): number {
  if (at < 0 || at > size) throw new CelError(`index out of range: ${at}`);
  return at;
}

function charAt(text: string, index: bigint): string {
  const points = codePoints(text);
  const at = range(Number(index), points?.length ?? text.length);
  return (points ? points[at] : text[at]) ?? '';
}

function indexOf(text: string, part: string, from = 0n): bigint {
  const points = codePoints(text);
  const start = range(Number(from), points?.length ?? text.length);
  if (!points) return BigInt(text.indexOf(part, start));
  const at = text.indexOf(part, points.slice(0, start).join('').length);
  return at < 0 ? -1n : BigInt(codePointCount(text.slice(0, at)));
}

function lastIndexOf(text: string, part: string, from?: bigint): bigint {
  const size = codePointCount(text);
  const start = from === undefined ? size : range(Number(from), size);
  const units = codePoints(text)?.slice(0, start).join('').length ?? start;
  const at = text.lastIndexOf(part, units);
  return at < 0 ? -1n : BigInt(codePointCount(text.slice(0, at)));
}

function substring(text: string, from: bigint, to?: bigint): string {
  const points = codePoints(text);
  const size = points?.length ?? text.length;
  const start = range(Number(from), size);
  const end = to === undefined ? size : range(Number(to), size);
  if (start > end) throw new CelError(`invalid substring range. start: ${start}, end: ${end}`);
  return points ? points.slice(start, end).join('') : text.slice(start, end);
}

function replace(text: string, old: string, by: string, most = -1n): string {
  if (text.length * Math.max(1, by.length) > 8_388_608) throw new CelError('replaced text too large');
  if (old === '') return text.replaceAll('', () => by);
  const parts = text.split(old);
  if (most < 0n) return parts.join(by);
  const count = Number(most);
  if (parts.length <= count + 1) return parts.join(by);
  return `${parts.slice(0, count + 1).join(by)}${old}${parts.slice(count + 1).join(old)}`;
}

function split(text: string, by: string, most = -1n): ValueList {
  if (most === 0n) return new ValueList([]);
  const parts = by === '' ? [...text] : text.split(by);
  const count = Number(most);
  if (count < 0 || parts.length <= count) return new ValueList(parts);
  return new ValueList([...parts.slice(0, count - 1), parts.slice(count - 1).join(by)]);
}

function join(list: CelList, by = ''): string {
  const texts: string[] = [];
  for (const item of list) {
    if (typeof item !== 'string') throw new CelError('no such overload');
    texts.push(item);
  }
  return texts.join(by);
}

const lower = (text: string) => text.replace(/[A-Z]+/g, part => part.toLowerCase());
const upper = (text: string) => text.replace(/[a-z]+/g, part => part.toUpperCase());
const QUOTED: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};
const LONGER: OverloadSizes = { cost: scan, resultSize: (size = 0) => size * 2 + 2 };

/** The strings extension. */
export const strings: readonly Overload[] = [
  define('string.charAt(int): string', charAt, { resultSize: () => 1 }),
  define('string.indexOf(string): int', indexOf, FOUND),
  define('string.indexOf(string, int): int', indexOf, FOUND),
  define('string.lastIndexOf(string): int', lastIndexOf, FOUND),
  define('string.lastIndexOf(string, int): int', lastIndexOf, FOUND),
  define('string.lowerAscii(): string', lower, SCANNED),
  define('string.upperAscii(): string', upper, SCANNED),
  define('string.replace(string, string): string', replace, {
    cost: scan,
    resultSize: (size = 0, _ = 0, by = 0) => size * Math.max(1, by),
  }),
  define('string.replace(string, string, int): string', replace, {
    cost: scan,
    resultSize: (size = 0, _ = 0, by = 0) => size * Math.max(1, by),
  }),
  define('string.split(string): list<string>', split, SCANNED),
  define('string.split(string, int): list<string>', split, SCANNED),
  define('string.substring(int): string', substring, SCANNED),
  define('string.substring(int, int): string', substring, SCANNED),
  define('string.trim(): string', (text: string) => text.trim(), SCANNED),
  define('string.reverse(): string', (text: string) => [...text].reverse().join(''), SCANNED),
  define('list<string>.join(): string', join, SCANNED),
  define('list<string>.join(string): string', join, { cost: scanBoth, resultSize: (size = 0, by = 0) => size * (1 + by) }),
  define('string.format(list<dyn>): string', formatText, { cost: scanBoth, resultSize: (a = 0, b = 0) => a + b * 32 }),
  define('strings.quote(string): string', (text: string) => `"${text.replace(/[\p{Cc}\\"]/gu, c => QUOTED[c] ?? c)}"`, LONGER),
];
