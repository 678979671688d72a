import { UmiakError } from './errors.ts';

/** How a quantity was written, and so is written again: `500m` and `2G`, `2Gi`, `2e9`. */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** An exact amount of a resource (`resource.Quantity`), in units of 10⁻⁹. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const NANO = 1_000_000_000n;
/** Upstream caps what is larger. */
const MAX_NANO = (2n ** 63n - 1n) * NANO;
const SHAPE = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/;
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const DECIMAL = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
/** Texts that are their own canonical form: nearly all that people write. */
const PLAIN = /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|T|Ki|Mi|Gi|Ti)?)$/;
const LONGEST = 200;

/** What was read of late: a cluster's quantities are the same few texts. */
const known = new Map<string | number, Quantity>();
const MOST_KNOWN = 1000;

/** Reads `100m`, `1.5Gi`, `2e3`, or a JSON number. Finer than 10⁻⁹ is rounded away from zero. @throws `BadRequest` */
export function parseQuantity(text: string | number): Quantity {
  const before = known.get(text);
  if (before) return before;
  const quantity = readQuantity(text);
  if (known.size >= MOST_KNOWN) known.clear();
  if (String(text).length <= LONGEST) known.set(text, quantity);
  return quantity;
}

function readQuantity(text: string | number): Quantity {
  const given = String(text).trim();
  const match = given.length <= LONGEST ? SHAPE.exec(given) : null;
  if (!match) {
    const why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    throw new UmiakError('BadRequest', why);
  }
  const [, sign, whole = '', fraction = '', bareFraction = '', suffix = ''] = match;
  const places = fraction || bareFraction;
  const digits = BigInt(whole + places || '0');
  const { base, exponent, format } = readSuffix(suffix);
  const magnitude = scaled(digits, places.length, base, exponent);
  return { nano: sign === '-' ? -magnitude : magnitude, format };
}

/** True when `text` is a quantity. */
export function isQuantity(text: string | number): boolean {
  const given = String(text).trim();
  return given.length <= LONGEST && SHAPE.test(given);
}

/** The canonical text: no fraction, the largest suffix that keeps it exact. */
export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return '0';
  const magnitude = nano < 0n ? -nano : nano;
  const sign = nano < 0n ? '-' : '';
  if (format === 'BinarySI' && magnitude >= 1024n * NANO && magnitude % NANO === 0n) {
    const [mantissa, power] = reduce(magnitude / NANO, 1024n, BINARY.length - 1);
    return `${sign}${mantissa}${BINARY[power]}`;
  }
  const [mantissa, power] = reduce(magnitude, 1000n, DECIMAL.length - 1);
  if (format !== 'DecimalExponent') return `${sign}${mantissa}${DECIMAL[power]}`;
  const exponent = (power - 3) * 3;
  return exponent === 0 ? `${sign}${mantissa}` : `${sign}${mantissa}e${exponent}`;
}

/** What the server stores for what a client wrote: `1000m` becomes `1`, `0.5` becomes `500m`. @throws `BadRequest` */
export function canonicalQuantity(text: string | number): string {
  return typeof text === 'string' && PLAIN.test(text) ? text : formatQuantity(parseQuantity(text));
}

/** Negative, zero or positive, as `a` is less than, equal to or more than `b`. */
export function compareQuantities(a: string | number, b: string | number): number {
  const left = parseQuantity(a).nano;
  const right = parseQuantity(b).nano;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The sum, in the format of `a` (or of `b` when `a` is zero). */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** The amount as a whole number, rounded up: bytes of memory. */
export function quantityValue(text: string | number): number {
  return Number(divideUp(parseQuantity(text).nano, NANO));
}

/** The amount in thousandths, rounded up: millicores. */
export function quantityMilliValue(text: string | number): number {
  return Number(divideUp(parseQuantity(text).nano, NANO / 1000n));
}

function readSuffix(suffix: string): { base: bigint; exponent: number; format: QuantityFormat } {
  if (suffix.endsWith('i')) return { base: 1024n, exponent: BINARY.indexOf(suffix), format: 'BinarySI' };
  if (suffix.length > 1) return { base: 10n, exponent: Number(suffix.slice(1)), format: 'DecimalExponent' };
  return { base: 10n, exponent: (DECIMAL.indexOf(suffix) - 3) * 3, format: 'DecimalSI' };
}

/** `digits` × 10^-places × base^exponent in units of 10⁻⁹, rounded up and capped. */
function scaled(digits: bigint, places: number, base: bigint, exponent: number): bigint {
  if (digits === 0n) return 0n;
  if (base === 1024n) return capped(divideUp(digits * NANO * 1024n ** BigInt(exponent), 10n ** BigInt(places)));
  const power = exponent - places + 9;
  if (power > 2 * LONGEST) return MAX_NANO;
  if (power < -2 * LONGEST) return 1n;
  return capped(power >= 0 ? digits * 10n ** BigInt(power) : divideUp(digits, 10n ** BigInt(-power)));
}

function capped(nano: bigint): bigint {
  return nano > MAX_NANO ? MAX_NANO : nano;
}

/** Rounds away from zero. */
function divideUp(amount: bigint, divisor: bigint): bigint {
  const quotient = amount / divisor;
  if (quotient * divisor === amount) return quotient;
  return amount < 0n ? quotient - 1n : quotient + 1n;
}

/** Takes factors of `base` out of `amount`, at most `most` of them. */
function reduce(amount: bigint, base: bigint, most: number): [mantissa: bigint, power: number] {
  let mantissa = amount;
  let power = 0;
  while (power < most && mantissa % base === 0n) {
    mantissa /= base;
    power++;
  }
  return [mantissa, power];
}
