import { CelError } from '../errors.ts';
import { add, compareValues, divide, isEqual, isIn, modulo, multiply, negate, subtract } from '../operators.ts';
import { define, type Overload, type OverloadSizes, scanBoth, scanShorter } from '../overload.ts';
import type { CelList, CelMap, CelValue } from '../values.ts';
import { sizeOf } from '../values.ts';
import { codePointCount } from './text.ts';

type Binary = (a: CelValue, b: CelValue) => CelValue | undefined;

const must =
  (operator: Binary) =>
  (a: CelValue, b: CelValue): CelValue => {
    const value = operator(a, b);
    if (value === undefined) throw new CelError('no such overload');
    return value;
  };
const sameTypes = (sign: string, types: string, operator: Binary, sizes: OverloadSizes = {}) =>
  types.split(' ').map(type => define(`_${sign}_(${type}, ${type}): ${type}`, must(operator), sizes));
const joined: OverloadSizes = { cost: scanBoth, resultSize: (a = 0, b = 0) => a + b };
const ordered = ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'];
const numbers = ['int', 'uint', 'double'];

function comparison(sign: string, holds: (order: number) => boolean): Overload[] {
  const compare = (a: CelValue, b: CelValue) => {
    const order = compareValues(a, b);
    return order !== undefined && holds(order);
  };
  const sized: OverloadSizes = { cost: scanShorter };
  const alike = ordered.map(type =>
    define(`_${sign}_(${type}, ${type}): bool`, compare, type === 'string' || type === 'bytes' ? sized : {}),
  );
  const mixed = numbers.flatMap(a => numbers.filter(b => b !== a).map(b => define(`_${sign}_(${a}, ${b}): bool`, compare)));
  return [...alike, ...mixed];
}

/** Operators, `size`, `type`, `dyn` and the plain tests of texts. */
export const core: readonly Overload[] = [
  define('_==_(A, B): bool', (a: CelValue, b: CelValue) => isEqual(a, b), { cost: scanShorter }),
  define('_!=_(A, B): bool', (a: CelValue, b: CelValue) => !isEqual(a, b), { cost: scanShorter }),
  ...comparison('<', order => order < 0),
  ...comparison('<=', order => order <= 0),
  ...comparison('>', order => order > 0),
  ...comparison('>=', order => order >= 0),
  define('@in(A, list<A>): bool', (a: CelValue, b: CelValue) => isIn(a, b) === true, { cost: (_, size = 0) => size }),
  define('@in(A, map<A, B>): bool', (a: CelValue, b: CelValue) => isIn(a, b) === true),
  define('!_(bool): bool', (value: boolean) => !value),
  ...['int', 'double'].map(type => define(`-_(${type}): ${type}`, (value: CelValue) => negate(value) as CelValue)),
  ...sameTypes('+', 'int uint double duration', add),
  ...sameTypes('+', 'string bytes list<A>', add, joined),
  define('_+_(timestamp, duration): timestamp', must(add)),
  define('_+_(duration, timestamp): timestamp', must(add)),
  ...sameTypes('-', 'int uint double duration', subtract),
  define('_-_(timestamp, timestamp): duration', must(subtract)),
  define('_-_(timestamp, duration): timestamp', must(subtract)),
  ...sameTypes('*', 'int uint double', multiply),
  ...sameTypes('/', 'int uint double', divide),
  ...sameTypes('%', 'int uint', modulo),
  define('size(string): int', (text: string) => BigInt(codePointCount(text))),
  define('string.size(): int', (text: string) => BigInt(codePointCount(text))),
  ...['bytes', 'list<A>', 'map<A, B>'].flatMap(type => [
    define(`size(${type}): int`, (value: Uint8Array | CelList | CelMap) => BigInt(sizeOf(value))),
    define(`${type}.size(): int`, (value: Uint8Array | CelList | CelMap) => BigInt(sizeOf(value))),
  ]),
  define('string.contains(string): bool', (text: string, part: string) => text.includes(part), {
    cost: (size = 0, part = 0) => Math.ceil(size * 0.1) * Math.ceil(Math.max(1, part * 0.1)),
  }),
  define('string.startsWith(string): bool', (text: string, part: string) => text.startsWith(part), {
    cost: (_, size = 0) => Math.ceil(size * 0.1),
  }),
  define('string.endsWith(string): bool', (text: string, part: string) => text.endsWith(part), {
    cost: (_, size = 0) => Math.ceil(size * 0.1),
  }),
];
