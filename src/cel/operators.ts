import { chargeWork } from './budget.ts';
import { CelError } from './errors.ts';
import { Duration, Timestamp } from './time.ts';
import { CelList, CelMap, type CelValue, JoinedList, JsonList, JsonMap, OpaqueValue, Optional, sizeOf, TypeValue, Uint } from './values.ts';

const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);

/** Equality of any two values: numbers by value across their types, lists and maps by content. */
export function isEqual(a: CelValue, b: CelValue): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b) === 0;
  if (typeof a !== 'object' || typeof b !== 'object') return false;
  if (a instanceof CelList) return b instanceof CelList && isEqualList(a, b);
  if (a instanceof CelMap) return b instanceof CelMap && isEqualMap(a, b);
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof OpaqueValue) return b instanceof OpaqueValue && a.typeName === b.typeName && a.equals(b);
  if (a instanceof Optional && b instanceof Optional)
    return a.value === undefined || b.value === undefined ? a.value === b.value : isEqual(a.value, b.value);
  return false;
}

/** Charges for what comparing an element with all of a list takes beyond one unit each, where elements are lists or maps themselves. */
export function chargeDeep(list: CelList, wanted: CelValue): void {
  if (wanted instanceof CelList || wanted instanceof CelMap) chargeWork(list.length * sizeOf(wanted));
}

function isEqualList(a: CelList, b: CelList): boolean {
  if (a instanceof JsonList && b instanceof JsonList && a.raw === b.raw) return true;
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (!isEqual(a.at(index), b.at(index))) return false;
  return true;
}

function isEqualMap(a: CelMap, b: CelMap): boolean {
  if (a instanceof JsonMap && b instanceof JsonMap && a.raw === b.raw) return true;
  if (a.size !== b.size) return false;
  for (const key of a.keys()) {
    const other = b.get(key);
    if (other === undefined || !isEqual(a.get(key) as CelValue, other)) return false;
  }
  return true;
}

/** Negative, zero or positive; undefined when the two have no order (NaN too). */
export function compareValues(a: CelValue, b: CelValue): number | undefined {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Timestamp && b instanceof Timestamp) return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  if (a instanceof Duration && b instanceof Duration) return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return undefined;
}

/** `a + b` for every pair of types that has one. */
export function add(a: CelValue, b: CelValue): CelValue | undefined {
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a + b);
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (typeof a === 'string' && typeof b === 'string') return a + b;
  if (a instanceof CelList && b instanceof CelList) return a.length === 0 ? b : b.length === 0 ? a : new JoinedList(a, b);
  if (a instanceof Uint && b instanceof Uint) return uint(a.value + b.value);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.concat([a, b]);
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos + b.nanos);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos + b.nanos);
  if (a instanceof Duration && b instanceof Timestamp) return new Timestamp(a.nanos + b.nanos);
  return undefined;
}

/** `a - b` for every pair of types that has one. */
export function subtract(a: CelValue, b: CelValue): CelValue | undefined {
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a - b);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (a instanceof Uint && b instanceof Uint) return uint(a.value - b.value);
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos - b.nanos);
  if (a instanceof Timestamp && b instanceof Timestamp) return new Duration(a.nanos - b.nanos);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos - b.nanos);
  return undefined;
}

/** `a * b`. */
export function multiply(a: CelValue, b: CelValue): CelValue | undefined {
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a * b);
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  return a instanceof Uint && b instanceof Uint ? uint(a.value * b.value) : undefined;
}

/** `a / b`. @throws CelError by zero */
export function divide(a: CelValue, b: CelValue): CelValue | undefined {
  if (b === 0n || (b instanceof Uint && b.value === 0n)) throw new CelError('division by zero');
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a / b);
  if (typeof a === 'number' && typeof b === 'number') return a / b;
  return a instanceof Uint && b instanceof Uint ? uint(a.value / b.value) : undefined;
}

/** `a % b`. @throws CelError by zero */
export function modulo(a: CelValue, b: CelValue): CelValue | undefined {
  if (b === 0n || (b instanceof Uint && b.value === 0n)) throw new CelError('modulus by zero');
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a % b);
  return a instanceof Uint && b instanceof Uint ? uint(a.value % b.value) : undefined;
}

/** `-a`. */
export function negate(a: CelValue): CelValue | undefined {
  if (typeof a === 'bigint') return int(-a);
  return typeof a === 'number' ? -a : undefined;
}

/** `a in b`: an element of a list or a key of a map. */
export function isIn(a: CelValue, b: CelValue): boolean | undefined {
  if (b instanceof CelMap) return b.get(a) !== undefined;
  if (!(b instanceof CelList)) return undefined;
  for (const item of b) if (isEqual(a, item)) return true;
  return false;
}

/** A signed integer within 64 bits. @throws CelError */
export function int(value: bigint): bigint {
  if (value > MAX || value < MIN) throw new CelError('integer overflow');
  return value;
}

/** An unsigned integer within 64 bits. @throws CelError */
export function uint(value: bigint): Uint {
  if (value < 0n || value >= 2n ** 64n) throw new CelError('unsigned integer overflow');
  return new Uint(value);
}

function isNumber(value: CelValue): value is bigint | number | Uint {
  return typeof value === 'bigint' || typeof value === 'number' || value instanceof Uint;
}

function compareNumbers(a: bigint | number | Uint, b: bigint | number | Uint): number | undefined {
  const left = a instanceof Uint ? a.value : a;
  const right = b instanceof Uint ? b.value : b;
  return left < right ? -1 : left > right ? 1 : Number.isNaN(Number(left)) || Number.isNaN(Number(right)) ? undefined : 0;
}
