import { UmiakError } from '#base/errors.ts';
import { setOwn } from '#base/json-object.ts';
import type { ProtobufReader } from '#wire/protobuf-reader.ts';
import type { FieldPlan, MessagePlan } from './plan.ts';

const MOST_DEPTH = 100;

/** The JSON value of one message. Fields that nobody knows are passed over. @throws `BadRequest` */
export function readMessage(reader: ProtobufReader, plan: MessagePlan, depth: number): unknown {
  if (depth > MOST_DEPTH) throw new UmiakError('BadRequest', `the protobuf body is nested more than ${MOST_DEPTH} levels deep`);
  if (plan.form) return plan.form.read(reader, depth);
  const object: Record<string, unknown> = {};
  readInto(object, reader, plan, depth);
  return object;
}

function readInto(object: Record<string, unknown>, reader: ProtobufReader, plan: MessagePlan, depth: number): void {
  while (reader.next()) {
    const field = plan.byNumber[reader.number];
    if (!field) {
      reader.skip();
      continue;
    }
    const { name, what, message } = field;
    if (what === 'inline') {
      if (message) readInto(object, reader.message(), message, depth + 1);
    } else if (what === 'list') {
      const list = object[name];
      const value = readValue(reader, field, depth);
      if (list === undefined) object[name] = [value];
      else (list as unknown[]).push(value);
    } else if (what === 'map') {
      object[name] ??= {};
      readEntry(object[name] as Record<string, unknown>, reader.message(), field, depth);
    } else {
      const value = readValue(reader, field, depth);
      // All but pointers are always on the wire: their zero says nothing, and JSON leaves it out.
      if (value !== undefined && (what === 'optional' || (value !== '' && value !== 0 && value !== false))) object[name] = value;
    }
  }
}

function readEntry(map: Record<string, unknown>, reader: ProtobufReader, field: FieldPlan, depth: number): void {
  let key = '';
  let value: unknown;
  while (reader.next()) {
    if (reader.number === 1) key = reader.string();
    else if (reader.number === 2) value = readValue(reader, field, depth);
    else reader.skip();
  }
  setOwn(map, key, value ?? (field.scalar === 'string' || field.scalar === 'bytes' ? '' : field.scalar ? 0 : {}));
}

function readValue(reader: ProtobufReader, { scalar, message }: FieldPlan, depth: number): unknown {
  switch (scalar) {
    case undefined:
      if (message) return readMessage(reader.message(), message, depth + 1);
      reader.skip();
      return undefined;
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes().toString('base64');
    case 'bool':
      return reader.unsigned() !== 0;
    case 'int32':
      return reader.integer() | 0;
    case 'int64':
      return reader.integer();
    case 'uint32':
    case 'uint64':
      return reader.unsigned();
    case 'double':
      return reader.double();
  }
}
