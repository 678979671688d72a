/** A type of the expression language, with the largest size its values can have where a schema says so. */
export type CelType = SimpleType | ListType | MapType | ObjectType | OptionalType | OpaqueType | ParamType;

/** The types without parts. */
export interface SimpleType {
  readonly kind: 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'timestamp' | 'duration' | 'null' | 'type' | 'dyn';
  /** Most characters or bytes a value can have (cost estimation). */
  readonly maxSize?: number;
}

/** A list; `maxSize` is its most elements. */
export interface ListType {
  readonly kind: 'list';
  readonly element: CelType;
  readonly maxSize?: number;
}

/** A map; `maxSize` is its most entries. */
export interface MapType {
  readonly kind: 'map';
  readonly key: CelType;
  readonly value: CelType;
  readonly maxSize?: number;
}

/** An object with declared fields, by the names that expressions use (`__dash__` and the like). */
export interface ObjectType {
  readonly kind: 'object';
  readonly name: string;
  readonly fields: ReadonlyMap<string, CelField>;
  readonly maxSize?: number;
}

/** One field: the JSON property it reads, and its type. */
export interface CelField {
  readonly property: string;
  readonly type: CelType;
}

/** A value that may be absent. */
export interface OptionalType {
  readonly kind: 'optional';
  readonly element: CelType;
  readonly maxSize?: number;
}

/** A type of a library: `net.IP`, `kubernetes.Quantity`. */
export interface OpaqueType {
  readonly kind: 'opaque';
  readonly name: string;
  readonly maxSize?: number;
}

/** A type variable of a function's signature. */
export interface ParamType {
  readonly kind: 'param';
  readonly name: string;
  readonly maxSize?: number;
}

export const BOOL: CelType = { kind: 'bool' };
export const INT: CelType = { kind: 'int' };
export const UINT: CelType = { kind: 'uint' };
export const DOUBLE: CelType = { kind: 'double' };
export const STRING: CelType = { kind: 'string' };
export const BYTES: CelType = { kind: 'bytes' };
export const TIMESTAMP: CelType = { kind: 'timestamp' };
export const DURATION: CelType = { kind: 'duration' };
export const NULL: CelType = { kind: 'null' };
export const TYPE: CelType = { kind: 'type' };
export const DYN: CelType = { kind: 'dyn' };

/** A list of `element`. */
export function listOf(element: CelType, maxSize?: number): ListType {
  return { kind: 'list', element, ...(maxSize === undefined ? {} : { maxSize }) };
}

/** A map from `key` to `value`. */
export function mapOf(key: CelType, value: CelType, maxSize?: number): MapType {
  return { kind: 'map', key, value, ...(maxSize === undefined ? {} : { maxSize }) };
}

/** An optional of `element`. */
export function optionalOf(element: CelType): OptionalType {
  return { kind: 'optional', element };
}

/** A library's own type. */
export function opaque(name: string): OpaqueType {
  return { kind: 'opaque', name };
}

/** An object whose fields are named as they stand. */
export function objectOf(name: string, fields: Readonly<Record<string, CelType>>): ObjectType {
  return { kind: 'object', name, fields: new Map(Object.entries(fields).map(([property, type]) => [property, { property, type }])) };
}

/** How upstream's messages write a type. */
export function formatType(type: CelType): string {
  switch (type.kind) {
    case 'list':
      return `list(${formatType(type.element)})`;
    case 'map':
      return `map(${formatType(type.key)}, ${formatType(type.value)})`;
    case 'optional':
      return `optional_type(${formatType(type.element)})`;
    case 'object':
    case 'opaque':
    case 'param':
      return type.name;
    case 'timestamp':
      return 'google.protobuf.Timestamp';
    case 'duration':
      return 'google.protobuf.Duration';
    default:
      return type.kind;
  }
}

/** True when a value of `from` may stand where `to` is wanted; fills in the signature's type variables. */
export function isAssignable(from: CelType, to: CelType, bound?: Map<string, CelType>): boolean {
  if (to.kind === 'param') return bindParam(from, to.name, bound);
  if (from === to || from.kind === 'dyn' || to.kind === 'dyn') return true;
  if (from.kind === 'null') return ['null', 'object', 'opaque', 'optional', 'timestamp', 'duration'].includes(to.kind);
  if (from.kind === 'list' && to.kind === 'list') return isAssignable(from.element, to.element, bound);
  if (from.kind === 'map' && to.kind === 'map') return isAssignable(from.key, to.key, bound) && isAssignable(from.value, to.value, bound);
  if (from.kind === 'optional' && to.kind === 'optional') return isAssignable(from.element, to.element, bound);
  if (from.kind === 'object' && to.kind === 'object') return from.name === to.name;
  if (from.kind === 'opaque' && to.kind === 'opaque') return from.name === to.name;
  return from.kind === to.kind;
}

/** A signature's type with its variables filled in; what stayed open is `dyn`. */
export function substitute(type: CelType, bound: ReadonlyMap<string, CelType>): CelType {
  switch (type.kind) {
    case 'param':
      return bound.get(type.name) ?? DYN;
    case 'list':
      return listOf(substitute(type.element, bound));
    case 'map':
      return mapOf(substitute(type.key, bound), substitute(type.value, bound));
    case 'optional':
      return optionalOf(substitute(type.element, bound));
    default:
      return type;
  }
}

/** The one type that holds both, or undefined when there is none. */
export function joinTypes(a: CelType, b: CelType): CelType | undefined {
  if (a.kind === 'dyn' || b.kind === 'dyn') return a.kind === 'dyn' && b.kind !== 'dyn' ? a : b.kind === 'dyn' ? b : a;
  if (a.kind === 'null' && isAssignable(a, b)) return b;
  if (!isAssignable(b, a) && !isAssignable(a, b)) return undefined;
  return isOpen(a) ? b : a;
}

/** True for the empty list and map literals, and for what has unknown parts. */
function isOpen(type: CelType): boolean {
  if (type.kind === 'list' || type.kind === 'optional') return type.element.kind === 'dyn' || isOpen(type.element);
  return type.kind === 'map' && (type.value.kind === 'dyn' || isOpen(type.value));
}

function bindParam(from: CelType, name: string, bound: Map<string, CelType> | undefined): boolean {
  const before = bound?.get(name);
  if (!before) {
    bound?.set(name, from);
    return true;
  }
  const joined = joinTypes(before, from);
  if (joined) bound?.set(name, joined);
  return joined !== undefined;
}
