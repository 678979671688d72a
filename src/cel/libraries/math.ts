import { CelError } from '../errors.ts';
import { compareValues, int } from '../operators.ts';
import { define, type Overload, walk } from '../overload.ts';
import { type CelList, type CelValue, Uint } from '../values.ts';

const NUMBERS = ['int', 'uint', 'double'];

function pick(values: Iterable<CelValue>, sign: 1 | -1): CelValue {
  let best: CelValue | undefined;
  for (const value of values) if (best === undefined || (compareValues(value, best) ?? 0) * sign > 0) best = value;
  if (best === undefined) throw new CelError('math.@max(list) argument must not be empty');
  return best;
}

function shift(value: bigint, by: bigint, isLeft: boolean): bigint {
  if (by < 0n) throw new CelError(`math.bitShift${isLeft ? 'Left' : 'Right'}() negative offset: ${by}`);
  if (by >= 64n) return 0n;
  return isLeft ? BigInt.asIntN(64, value << by) : BigInt.asIntN(64, BigInt.asUintN(64, value) >> by);
}

function extremes(name: string, sign: 1 | -1): Overload[] {
  return [
    ...NUMBERS.map(type => define(`math.${name}(${type}): ${type}`, (value: CelValue) => value)),
    ...NUMBERS.map(type => define(`math.${name}(list<${type}>): ${type}`, (list: CelList) => pick(list, sign), { cost: walk })),
    ...NUMBERS.map(type => define(`math.${name}(${type}, ${type}): ${type}`, (a: CelValue, b: CelValue) => pick([a, b], sign))),
    ...NUMBERS.flatMap(a =>
      NUMBERS.filter(b => b !== a).map(b => define(`math.${name}(${a}, ${b}): dyn`, (x: CelValue, y: CelValue) => pick([x, y], sign))),
    ),
  ];
}

const rounded = (value: number) => Math.sign(value) * Math.round(Math.abs(value));
const magnitude = (value: CelValue): CelValue => {
  if (typeof value === 'bigint') return value < 0n ? int(-value) : value;
  return typeof value === 'number' ? Math.abs(value) : value;
};
const signOf = (value: CelValue): CelValue => {
  if (typeof value === 'bigint') return value > 0n ? 1n : value < 0n ? -1n : 0n;
  return value instanceof Uint ? new Uint(value.value > 0n ? 1n : 0n) : Math.sign(value as number);
};

/** The math extension. */
export const math: readonly Overload[] = [
  ...extremes('greatest', 1),
  ...extremes('least', -1),
  ...NUMBERS.map(type => define(`math.abs(${type}): ${type}`, magnitude)),
  ...NUMBERS.map(type => define(`math.sign(${type}): ${type}`, signOf)),
  ...NUMBERS.map(type =>
    define(`math.sqrt(${type}): double`, (value: CelValue) => Math.sqrt(Number(value instanceof Uint ? value.value : value))),
  ),
  define('math.ceil(double): double', (value: number) => Math.ceil(value)),
  define('math.floor(double): double', (value: number) => Math.floor(value)),
  define('math.round(double): double', rounded),
  define('math.trunc(double): double', (value: number) => Math.trunc(value)),
  define('math.isNaN(double): bool', (value: number) => Number.isNaN(value)),
  define('math.isInf(double): bool', (value: number) => Math.abs(value) === Infinity),
  define('math.isFinite(double): bool', (value: number) => Number.isFinite(value)),
  define('math.bitAnd(int, int): int', (a: bigint, b: bigint) => a & b),
  define('math.bitOr(int, int): int', (a: bigint, b: bigint) => a | b),
  define('math.bitXor(int, int): int', (a: bigint, b: bigint) => a ^ b),
  define('math.bitNot(int): int', (a: bigint) => ~a),
  define('math.bitShiftLeft(int, int): int', (a: bigint, by: bigint) => shift(a, by, true)),
  define('math.bitShiftRight(int, int): int', (a: bigint, by: bigint) => shift(a, by, false)),
];
