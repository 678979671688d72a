import { UmiakError } from '#base/errors.ts';
import { setOwn } from '#base/json-object.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

/** `optional`: its zero is a value (proto3 `optional`, members of a `oneof`). */
type Row = [name: string, type: string, what?: 'list' | 'map' | 'optional'];

/** What `tools/generate-grpc.ts` writes: messages by name with their fields by number, enums, services. */
export interface ProtobufTable {
  messages: Record<string, Record<string, Row>>;
  enums: Record<string, Record<string, number>>;
  /** Full service names; of each method its request, its response, and which of the two are streams. */
  services: Record<string, Record<string, [request: string, response: string, streams?: 'request' | 'response' | 'both']>>;
}

type Scalar = 'string' | 'bytes' | 'bool' | 'int32' | 'int64' | 'uint32' | 'uint64' | 'double';

const SCALARS = new Set<string>(['string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'double'] satisfies Scalar[]);
const MOST_DEPTH = 100;
/** Values of one message together: an empty one takes two bytes on the wire and hundreds in memory. */
const MOST_VALUES = 500_000;

interface FieldPlan {
  number: number;
  name: string;
  what: Row[2];
  scalar?: Scalar;
  enumeration?: EnumPlan;
  /** Of a message type, made when it is first met: types may hold themselves. */
  message?: () => MessagePlan;
}

interface EnumPlan {
  name: string;
  numbers: ReadonlyMap<string, number>;
  names: ReadonlyMap<number, string>;
}

interface MessagePlan {
  name: string;
  /** The highest number first: messages are written from their end. */
  fields: readonly FieldPlan[];
  byNumber: ReadonlyMap<number, FieldPlan>;
}

/**
 * Messages of one proto3 package as plain objects: names in lowerCamelCase, enums by their values' names, 64-bit numbers as numbers (exact
 * to 2⁵³), bytes as `Uint8Array`. What is zero may be absent, when writing and after reading.
 */
export class ProtobufSchema {
  readonly #table: ProtobufTable;
  readonly #messages = new Map<string, MessagePlan>();
  readonly #enums = new Map<string, EnumPlan>();
  readonly #writer = new ProtobufWriter();

  constructor(table: ProtobufTable) {
    this.#table = table;
  }

  get services(): ProtobufTable['services'] {
    return this.#table.services;
  }

  /** Whether an enum has a value of that name. */
  hasValue(type: string, name: string): boolean {
    return this.#enum(type).numbers.has(name);
  }

  /** Fields that nobody knows are passed over; bytes are views of what was given. @throws `BadRequest` for what is no such message */
  decode<T>(type: string, bytes: Buffer): T {
    return readMessage(new ProtobufReader(bytes), this.#message(type), { depth: 0, values: 0 }) as T;
  }

  encode(type: string, value: object): Buffer {
    try {
      writeMessage(this.#writer, this.#message(type), value as Record<string, unknown>);
      return this.#writer.finish();
    } catch (error) {
      this.#writer.finish(); // nothing of this one stands in the next
      throw error;
    }
  }

  #message(type: string): MessagePlan {
    const known = this.#messages.get(type);
    if (known) return known;
    const rows = this.#table.messages[type];
    if (!rows) throw new Error(`there is no message ${type}`);
    const fields = Object.entries(rows)
      .map(([number, row]) => this.#field(Number(number), row))
      .sort((a, b) => b.number - a.number);
    const plan = { name: type, fields, byNumber: new Map(fields.map(field => [field.number, field])) };
    this.#messages.set(type, plan);
    return plan;
  }

  #field(number: number, [name, type, what]: Row): FieldPlan {
    if (SCALARS.has(type)) return { number, name, what, scalar: type as Scalar };
    if (this.#table.enums[type]) return { number, name, what, enumeration: this.#enum(type) };
    return { number, name, what, message: () => this.#message(type) };
  }

  #enum(type: string): EnumPlan {
    const known = this.#enums.get(type);
    if (known) return known;
    const values = Object.entries(this.#table.enums[type] ?? {});
    // Of several names for a number the first is the one that is read.
    const names = new Map(values.toReversed().map(([name, number]) => [number, name]));
    const plan = { name: type, numbers: new Map(values), names };
    this.#enums.set(type, plan);
    return plan;
  }
}

interface Reading {
  depth: number;
  values: number;
}

function readMessage(reader: ProtobufReader, plan: MessagePlan, reading: Reading): Record<string, unknown> {
  if (++reading.depth > MOST_DEPTH) throw new UmiakError('BadRequest', `the protobuf body is nested more than ${MOST_DEPTH} levels deep`);
  const object: Record<string, unknown> = {};
  while (reader.next()) {
    const field = plan.byNumber.get(reader.number);
    if (!field) {
      reader.skip();
      continue;
    }
    if (++reading.values > MOST_VALUES) throw new UmiakError('BadRequest', `the protobuf body has more than ${MOST_VALUES} values`);
    const { name, what } = field;
    if (what === 'list') {
      object[name] ??= [];
      readIntoList(object[name] as unknown[], reader, field, reading);
    } else if (what === 'map') {
      object[name] ??= {};
      readEntry(object[name] as Record<string, unknown>, reader.message(), field, reading);
    } else object[name] = readValue(reader, field, reading);
  }
  reading.depth--;
  return object;
}

function readIntoList(list: unknown[], reader: ProtobufReader, field: FieldPlan, reading: Reading): void {
  const { scalar, enumeration } = field;
  if (field.message || scalar === 'string' || scalar === 'bytes' || scalar === 'double') {
    list.push(readValue(reader, field, reading));
    return;
  }
  const numbers: number[] = [];
  reader.integersInto(numbers, { signed: scalar !== 'uint32' && scalar !== 'uint64', most: MOST_VALUES - list.length });
  for (const number of numbers) list.push(enumeration ? nameOf(number, enumeration) : scalar === 'bool' ? number !== 0 : number);
}

function readEntry(map: Record<string, unknown>, reader: ProtobufReader, field: FieldPlan, reading: Reading): void {
  let key = '';
  let value: unknown;
  while (reader.next()) {
    if (reader.number === 1) key = reader.string();
    else if (reader.number === 2) value = readValue(reader, field, reading);
    else reader.skip();
  }
  setOwn(map, key, value ?? zeroOf(field));
}

function zeroOf({ scalar, enumeration, message }: FieldPlan): unknown {
  if (message) return {};
  if (enumeration) return nameOf(0, enumeration);
  return scalar === 'string' ? '' : scalar === 'bytes' ? Buffer.alloc(0) : scalar === 'bool' ? false : 0;
}

function readValue(reader: ProtobufReader, { scalar, enumeration, message }: FieldPlan, reading: Reading): unknown {
  if (message) return readMessage(reader.message(), message(), reading);
  if (enumeration) return nameOf(reader.integer() | 0, enumeration);
  switch (scalar) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes();
    case 'bool':
      return reader.unsigned() !== 0;
    case 'int32':
      return reader.integer() | 0;
    case 'int64':
      return reader.integer();
    case 'double':
      return reader.double();
    default:
      return reader.unsigned();
  }
}

function nameOf(number: number, { name, names }: EnumPlan): string {
  const found = names.get(number);
  if (found === undefined) throw new UmiakError('BadRequest', `the protobuf body has a ${name} ${number}, which is not known here`);
  return found;
}

function writeMessage(writer: ProtobufWriter, { fields }: MessagePlan, object: Record<string, unknown>): void {
  for (const field of fields) {
    const value = object[field.name];
    if (value === undefined || value === null) continue;
    if (field.what === 'list') writeList(writer, field, value as unknown[]);
    else if (field.what === 'map') writeMap(writer, field, value as Record<string, unknown>);
    else writeValue(writer, field, value, field.what === 'optional');
  }
}

function writeList(writer: ProtobufWriter, field: FieldPlan, list: readonly unknown[]): void {
  const { scalar, enumeration } = field;
  if (list.length === 0) return;
  if (enumeration || (scalar && scalar !== 'string' && scalar !== 'bytes' && scalar !== 'double'))
    writer.integersField(
      field.number,
      list.map(value => (enumeration ? numberOf(value, enumeration) : Number(value))),
    );
  else for (let i = list.length - 1; i >= 0; i--) writeValue(writer, field, list[i], true);
}

/** Sorted by key: the same object gives the same bytes. */
function writeMap(writer: ProtobufWriter, field: FieldPlan, map: Record<string, unknown>): void {
  const entry = { ...field, number: 2 };
  for (const key of Object.keys(map).sort().reverse()) {
    if (map[key] === undefined) continue;
    const before = writer.length;
    writeValue(writer, entry, map[key], true);
    writer.stringField(1, key);
    writer.closeField(field.number, before);
  }
}

function writeValue(writer: ProtobufWriter, field: FieldPlan, value: unknown, evenZero: boolean): void {
  const { number, scalar, enumeration, message } = field;
  if (message) {
    const before = writer.length;
    writeMessage(writer, message(), value as Record<string, unknown>);
    writer.closeField(number, before);
  } else if (scalar === 'string') {
    if (evenZero || value !== '') writer.stringField(number, value as string);
  } else if (scalar === 'bytes') {
    if (evenZero || (value as Uint8Array).length > 0) writer.bytesField(number, value as Uint8Array);
  } else if (scalar === 'double') {
    if (evenZero || value !== 0) writer.doubleField(number, value as number);
  } else {
    const given = enumeration ? numberOf(value, enumeration) : Number(value);
    if (evenZero || given !== 0) writer.integerField(number, given);
  }
}

function numberOf(value: unknown, { name, numbers }: EnumPlan): number {
  const found = numbers.get(value as string);
  if (found === undefined) throw new Error(`${name} has no ${JSON.stringify(value)}`);
  return found;
}
