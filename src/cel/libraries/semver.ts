import { CelError } from '../errors.ts';
import { define, type Overload, scan } from '../overload.ts';
import { OpaqueValue } from '../values.ts';

const TYPE = 'kubernetes.Semver';
const SHAPE =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$/;
const LONGEST = 256;

/** A version by Semantic Versioning 2.0. */
class SemverValue extends OpaqueValue {
  readonly typeName = TYPE;
  readonly numbers: readonly bigint[];
  readonly prerelease: readonly string[];
  constructor(numbers: readonly bigint[], prerelease: readonly string[]) {
    super();
    this.numbers = numbers;
    this.prerelease = prerelease;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof SemverValue && compare(this, other) === 0;
  }
  override toString(): string {
    return this.numbers.join('.') + (this.prerelease.length > 0 ? `-${this.prerelease.join('.')}` : '');
  }
}

function parse(text: string): SemverValue | undefined {
  const match = text.length <= LONGEST ? SHAPE.exec(text) : null;
  if (!match) return undefined;
  const prerelease = match[4]?.split('.') ?? [];
  if (prerelease.some(part => /^0\d+$/.test(part))) return undefined;
  return new SemverValue(
    [match[1], match[2], match[3]].map(part => BigInt(part ?? 0)),
    prerelease,
  );
}

/** `v1.2`, `01.2.3` as `1.2.0`, `1.2.3`. */
function normalize(text: string): string {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)$/s.exec(text);
  if (!match || text.length > LONGEST) return text;
  return `${[match[1], match[2], match[3]].map(part => BigInt(part ?? 0)).join('.')}${match[4]}`;
}

function read(text: string, isLoose = false): SemverValue {
  const version = parse(isLoose ? normalize(text) : text);
  if (!version) throw new CelError(`invalid semantic version ${JSON.stringify(text.slice(0, 64))}`);
  return version;
}

function compare(a: SemverValue, b: SemverValue): number {
  for (let at = 0; at < 3; at++) {
    const [left = 0n, right = 0n] = [a.numbers[at], b.numbers[at]];
    if (left !== right) return left < right ? -1 : 1;
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return Math.sign(b.prerelease.length - a.prerelease.length);
  for (let at = 0; at < Math.min(a.prerelease.length, b.prerelease.length); at++) {
    const order = comparePart(a.prerelease[at] ?? '', b.prerelease[at] ?? '');
    if (order !== 0) return order;
  }
  return Math.sign(a.prerelease.length - b.prerelease.length);
}

function comparePart(a: string, b: string): number {
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  const [left, right] = isNumberA ? [BigInt(a), BigInt(b)] : [a, b];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** `semver('1.2.3')` and its members. */
export const semvers: readonly Overload[] = [
  define(`semver(string): ${TYPE}`, (text: string) => read(text), { cost: scan }),
  define(`semver(string, bool): ${TYPE}`, read, { cost: scan }),
  define('isSemver(string): bool', (text: string) => parse(text) !== undefined, { cost: scan }),
  define('isSemver(string, bool): bool', (text: string, isLoose: boolean) => parse(isLoose ? normalize(text) : text) !== undefined, {
    cost: scan,
  }),
  ...['major', 'minor', 'patch'].map((name, at) => define(`${TYPE}.${name}(): int`, ({ numbers }: SemverValue) => numbers[at] ?? 0n)),
  define(`${TYPE}.compareTo(${TYPE}): int`, (a: SemverValue, b: SemverValue) => BigInt(compare(a, b))),
  define(`${TYPE}.isLessThan(${TYPE}): bool`, (a: SemverValue, b: SemverValue) => compare(a, b) < 0),
  define(`${TYPE}.isGreaterThan(${TYPE}): bool`, (a: SemverValue, b: SemverValue) => compare(a, b) > 0),
];
