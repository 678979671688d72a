import { Duration, Timestamp } from './time.ts';
import { type CelField, type CelType, DYN, formatType, type ObjectType } from './types.ts';

/** JSON's numbers from here on are no 64-bit integers. */
const INT64 = 2 ** 63;

/** An unsigned integer; signed ones are plain `bigint`. */
export class Uint {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}

/** A value that may be absent. */
export class Optional {
  static readonly NONE = new Optional(undefined);
  readonly #value: CelValue | undefined;
  private constructor(value: CelValue | undefined) {
    this.#value = value;
  }
  static of(value: CelValue): Optional {
    return new Optional(value);
  }
  get value(): CelValue | undefined {
    return this.#value;
  }
}

/** What `type(x)` gives. */
export class TypeValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A value of a library's own type. */
export abstract class OpaqueValue {
  abstract readonly typeName: string;
  abstract equals(other: OpaqueValue): boolean;
}

/** A list, of values or over JSON. */
export abstract class CelList {
  abstract readonly length: number;
  abstract at(index: number): CelValue;
  *[Symbol.iterator](): Iterator<CelValue> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}

/** A map or an object, of values or over JSON. */
export abstract class CelMap {
  abstract readonly size: number;
  abstract get(key: CelValue): CelValue | undefined;
  abstract keys(): Iterable<CelValue>;
}

/** Any value of the language. Doubles are numbers, integers are bigints. */
export type CelValue =
  | null
  | boolean
  | string
  | bigint
  | number
  | Uint
  | Uint8Array
  | Timestamp
  | Duration
  | TypeValue
  | Optional
  | OpaqueValue
  | CelList
  | CelMap;

/** A list that an expression made. */
export class ValueList extends CelList {
  readonly items: readonly CelValue[];
  constructor(items: readonly CelValue[]) {
    super();
    this.items = items;
  }
  get length(): number {
    return this.items.length;
  }
  at(index: number): CelValue {
    return this.items[index] as CelValue;
  }
}

/** Two lists as one, without copying. */
export class JoinedList extends CelList {
  readonly #left: CelList;
  readonly #right: CelList;
  readonly length: number;
  constructor(left: CelList, right: CelList) {
    super();
    this.#left = left;
    this.#right = right;
    this.length = left.length + right.length;
  }
  at(index: number): CelValue {
    const { length } = this.#left;
    return index < length ? this.#left.at(index) : this.#right.at(index - length);
  }
}

/** A list over JSON: elements are wrapped as they are read. */
export class JsonList extends CelList {
  readonly raw: readonly unknown[];
  readonly #element: CelType;
  constructor(raw: readonly unknown[], element: CelType) {
    super();
    this.raw = raw;
    this.#element = element;
  }
  get length(): number {
    return this.raw.length;
  }
  at(index: number): CelValue {
    return toValue(this.raw[index], this.#element);
  }
}

/** A map that an expression made. */
export class ValueMap extends CelMap {
  readonly #entries = new Map<unknown, [CelValue, CelValue]>();
  constructor(entries: Iterable<readonly [CelValue, CelValue]>) {
    super();
    for (const [key, value] of entries) this.#entries.set(mapKey(key), [key, value]);
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: CelValue): CelValue | undefined {
    return this.#entries.get(mapKey(key))?.[1];
  }
  *keys(): Iterable<CelValue> {
    for (const [key] of this.#entries.values()) yield key;
  }
}

/** A map over a JSON object. */
export class JsonMap extends CelMap {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #value: CelType;
  #size = -1;
  constructor(raw: Readonly<Record<string, unknown>>, value: CelType) {
    super();
    this.raw = raw;
    this.#value = value;
  }
  get size(): number {
    if (this.#size < 0) this.#size = Object.keys(this.raw).length;
    return this.#size;
  }
  get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(this.raw, key)) return undefined;
    const raw = this.raw[key];
    return raw === undefined ? undefined : toValue(raw, this.#value);
  }
  keys(): Iterable<CelValue> {
    return Object.keys(this.raw);
  }
}

/** An object over JSON with declared fields. */
export class JsonObject extends CelMap {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly type: ObjectType;
  constructor(raw: Readonly<Record<string, unknown>>, type: ObjectType) {
    super();
    this.raw = raw;
    this.type = type;
  }
  get size(): number {
    return [...this.keys()].length;
  }
  get(key: CelValue): CelValue | undefined {
    const field = typeof key === 'string' ? this.type.fields.get(key) : undefined;
    return field && this.read(field);
  }
  read(field: CelField): CelValue | undefined {
    const raw = Object.hasOwn(this.raw, field.property) ? this.raw[field.property] : undefined;
    return raw === undefined ? undefined : toValue(raw, field.type);
  }
  *keys(): Iterable<CelValue> {
    for (const [name, { property }] of this.type.fields) if (this.raw[property] !== undefined) yield name;
  }
}

/** An object that an expression built: `Object.spec{replicas: 1}`. */
export class StructValue extends ValueMap {
  readonly typeName: string;
  constructor(typeName: string, entries: Iterable<readonly [CelValue, CelValue]>) {
    super(entries);
    this.typeName = typeName;
  }
}

/** JSON as a value of its type, without copying; what is a value already stays itself. */
export function toValue(raw: unknown, type: CelType): CelValue {
  switch (typeof raw) {
    case 'string':
      return type.kind === 'string' || type.kind === 'dyn' ? raw : stringAs(raw, type);
    case 'boolean':
    case 'bigint':
      return raw;
    case 'number':
      if (type.kind === 'double') return raw;
      if (type.kind === 'uint') return new Uint(BigInt(raw));
      return Number.isInteger(raw) && Math.abs(raw) < INT64 ? BigInt(raw) : raw;
    case 'object':
      return raw === null ? null : objectAs(raw, type);
    default:
      return null;
  }
}

function stringAs(raw: string, type: CelType): CelValue {
  if (type.kind === 'timestamp') return Timestamp.parse(raw.length === 10 ? `${raw}T00:00:00Z` : raw);
  if (type.kind === 'duration') return Duration.parse(raw);
  if (type.kind === 'bytes') return Buffer.from(raw, 'base64');
  return raw;
}

function objectAs(raw: object, type: CelType): CelValue {
  if (Array.isArray(raw)) return new JsonList(raw, type.kind === 'list' ? type.element : DYN);
  if (isCelObject(raw)) return raw;
  const record = raw as Record<string, unknown>;
  if (type.kind === 'object') return new JsonObject(record, type);
  return new JsonMap(record, type.kind === 'map' ? type.value : DYN);
}

function isCelObject(raw: object): raw is Exclude<CelValue, null> & object {
  return (
    raw instanceof CelList ||
    raw instanceof CelMap ||
    raw instanceof OpaqueValue ||
    raw instanceof Optional ||
    raw instanceof Timestamp ||
    raw instanceof Duration ||
    raw instanceof Uint ||
    raw instanceof Uint8Array ||
    raw instanceof TypeValue
  );
}

/** A value as JSON; timestamps, durations and library values as their text. */
export function toJson(value: CelValue): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof JsonList || value instanceof JsonMap || value instanceof JsonObject) return value.raw;
  if (value instanceof CelList) return [...value].map(toJson);
  if (value instanceof CelMap) {
    const json: Record<string, unknown> = {};
    for (const key of value.keys()) {
      const entry = toJson(value.get(key) as CelValue);
      Object.defineProperty(json, String(toJson(key)), { value: entry, enumerable: true, writable: true, configurable: true });
    }
    return json;
  }
  if (value instanceof Uint) return Number(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Optional) return value.value === undefined ? null : toJson(value.value);
  return String(value);
}

/** The number of characters, bytes, elements or entries; 1 for all else. */
export function sizeOf(value: CelValue): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof CelList || value instanceof Uint8Array) return value.length;
  if (value instanceof CelMap) return value.size;
  return 1;
}

/** The type's name as `type()` and messages show it. */
export function typeNameOf(value: CelValue): string {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return 'double';
  }
  if (value === null) return 'null_type';
  if (value instanceof Uint) return 'uint';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Timestamp) return 'google.protobuf.Timestamp';
  if (value instanceof Duration) return 'google.protobuf.Duration';
  if (value instanceof CelList) return 'list';
  if (value instanceof StructValue) return value.typeName;
  if (value instanceof JsonObject) return formatType(value.type);
  if (value instanceof CelMap) return 'map';
  if (value instanceof Optional) return 'optional_type';
  return value instanceof OpaqueValue ? value.typeName : 'type';
}

/** True when a value fits a type at run time: how overloads are chosen for `dyn`. */
export function fits(value: CelValue, type: CelType): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'param':
      return true;
    case 'bool':
      return typeof value === 'boolean';
    case 'int':
      return typeof value === 'bigint';
    case 'uint':
      return value instanceof Uint;
    case 'double':
      return typeof value === 'number';
    case 'string':
      return typeof value === 'string';
    case 'bytes':
      return value instanceof Uint8Array;
    case 'timestamp':
      return value instanceof Timestamp;
    case 'duration':
      return value instanceof Duration;
    case 'null':
      return value === null;
    case 'type':
      return value instanceof TypeValue;
    case 'list':
      return value instanceof CelList && (value.length === 0 || fits(value.at(0), type.element));
    case 'map':
      return value instanceof CelMap;
    case 'object':
      return value instanceof CelMap;
    case 'optional':
      return value instanceof Optional;
    case 'opaque':
      return value instanceof OpaqueValue && value.typeName === type.name;
  }
}

/** Equal numbers are one key, whatever their type. */
function mapKey(key: CelValue): unknown {
  if (key instanceof Uint) return key.value;
  return typeof key === 'number' && Number.isInteger(key) ? BigInt(key) : key;
}
