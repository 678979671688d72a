import { addQuantities, formatQuantity, isQuantity, parseQuantity, type Quantity } from '#base/quantity.ts';
import { CelError } from '../errors.ts';
import { define, type Overload, scan } from '../overload.ts';
import { OpaqueValue } from '../values.ts';

const TYPE = 'kubernetes.Quantity';
const NANO = 1_000_000_000n;
const INT64 = 2n ** 63n;

/** An exact amount of a resource. */
class QuantityValue extends OpaqueValue {
  readonly typeName = TYPE;
  readonly quantity: Quantity;
  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }
  get nano(): bigint {
    return this.quantity.nano;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof QuantityValue && other.nano === this.nano;
  }
  override toString(): string {
    return formatQuantity(this.quantity);
  }
}

function read(text: string): QuantityValue {
  if (!isQuantity(text)) throw new CelError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  return new QuantityValue(parseQuantity(text));
}

function plus(a: QuantityValue, b: QuantityValue | bigint, sign: 1n | -1n): QuantityValue {
  const other: Quantity = typeof b === 'bigint' ? { nano: b * NANO, format: a.quantity.format } : b.quantity;
  return new QuantityValue(addQuantities(a.quantity, { ...other, nano: other.nano * sign }));
}

const isInteger = ({ nano }: QuantityValue) => nano % NANO === 0n && nano / NANO < INT64 && nano / NANO >= -INT64;
const compare = (a: QuantityValue, b: QuantityValue) => (a.nano < b.nano ? -1n : a.nano > b.nano ? 1n : 0n);

/** `quantity('1.5Gi')` and its members. */
export const quantities: readonly Overload[] = [
  define(`quantity(string): ${TYPE}`, read, { cost: scan }),
  define('isQuantity(string): bool', (text: string) => isQuantity(text), { cost: scan }),
  define(`${TYPE}.sign(): int`, ({ nano }: QuantityValue) => (nano > 0n ? 1n : nano < 0n ? -1n : 0n)),
  define(`${TYPE}.isInteger(): bool`, isInteger),
  define(`${TYPE}.asInteger(): int`, (quantity: QuantityValue) => {
    if (!isInteger(quantity)) throw new CelError('cannot convert value to integer');
    return quantity.nano / NANO;
  }),
  define(`${TYPE}.asApproximateFloat(): double`, ({ nano }: QuantityValue) => Number(nano) / 1e9),
  define(`${TYPE}.add(${TYPE}): ${TYPE}`, (a: QuantityValue, b: QuantityValue) => plus(a, b, 1n)),
  define(`${TYPE}.add(int): ${TYPE}`, (a: QuantityValue, b: bigint) => plus(a, b, 1n)),
  define(`${TYPE}.sub(${TYPE}): ${TYPE}`, (a: QuantityValue, b: QuantityValue) => plus(a, b, -1n)),
  define(`${TYPE}.sub(int): ${TYPE}`, (a: QuantityValue, b: bigint) => plus(a, b, -1n)),
  define(`${TYPE}.compareTo(${TYPE}): int`, compare),
  define(`${TYPE}.isLessThan(${TYPE}): bool`, (a: QuantityValue, b: QuantityValue) => compare(a, b) < 0n),
  define(`${TYPE}.isGreaterThan(${TYPE}): bool`, (a: QuantityValue, b: QuantityValue) => compare(a, b) > 0n),
];
