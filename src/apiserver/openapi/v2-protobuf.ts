import { ProtobufWriter } from '#wire/protobuf-writer.ts';
import { fieldHead } from '../protobuf/envelope.ts';

type Json = Record<string, unknown>;
type Write = (writer: ProtobufWriter, value: never) => void;

/** Numbers of `openapi.v2.Schema`, by JSON name. */
const SCHEMA_TEXTS = { $ref: 1, format: 2, title: 3, description: 4, pattern: 13 };
const SCHEMA_DOUBLES = { multipleOf: 6, maximum: 7, minimum: 9 };
const SCHEMA_INTEGERS = { maxLength: 11, minLength: 12, maxItems: 14, minItems: 15, maxProperties: 17, minProperties: 18 };
const SCHEMA_BOOLEANS = { exclusiveMaximum: 8, exclusiveMinimum: 10, uniqueItems: 16 };

/** `openapi.v2.NamedSchema`: one definition. */
export function encodeDefinition(name: string, schema: object): Buffer {
  return finish(writer => named(writer, name, schema, writeSchema));
}

/** `openapi.v2.NamedPathItem`: one path with its operations and parameters. */
export function encodePath(path: string, item: object): Buffer {
  return finish(writer =>
    named(writer, path, item, (inner, { parameters, ...operations }: Json) => {
      messages(inner, 9, parameters, writeParameter);
      for (const [method, number] of [
        ['patch', 8],
        ['delete', 5],
        ['post', 4],
        ['put', 3],
        ['get', 2],
      ] as const)
        if (operations[method]) message(inner, number, operations[method], writeOperation);
    }),
  );
}

/** `openapi.v2.Document` around paths and definitions, each encoded, in pieces: nothing is copied. */
export function* encodeDocument(info: { title: string; version: string }, paths: Buffer[], definitions: Buffer[]): Generator<Buffer> {
  yield finish(writer => {
    message(writer, 2, info, inner => {
      inner.stringField(2, info.version);
      inner.stringField(1, info.title);
    });
    writer.stringField(1, '2.0');
  });
  yield* encodeFields(8, 2, paths);
  yield* encodeFields(9, 1, definitions);
}

/** A message whose fields all have the same number. */
function* encodeFields(number: number, inner: number, parts: Buffer[]): Generator<Buffer> {
  const heads = parts.map(part => fieldHead(inner, part.length));
  const length = [...heads, ...parts].reduce((sum, part) => sum + part.length, 0);
  yield fieldHead(number, length);
  for (const [i, part] of parts.entries()) {
    yield heads[i]!;
    yield part;
  }
}

function finish(write: (writer: ProtobufWriter) => void): Buffer {
  const writer = new ProtobufWriter(8192);
  write(writer);
  return writer.finish();
}

function message(writer: ProtobufWriter, number: number, value: unknown, write: Write): void {
  const before = writer.length;
  write(writer, value as never);
  writer.closeField(number, before);
}

function messages(writer: ProtobufWriter, number: number, values: unknown, write: Write): void {
  if (Array.isArray(values)) for (const value of values.toReversed()) message(writer, number, value, write);
}

function named(writer: ProtobufWriter, name: string, value: unknown, write: Write): void {
  message(writer, 2, value, write);
  writer.stringField(1, name);
}

function texts(writer: ProtobufWriter, number: number, values: unknown): void {
  if (Array.isArray(values)) for (const value of values.toReversed()) writer.stringField(number, String(value));
}

/** `Any`: a value as YAML, which JSON is. */
function writeAny(writer: ProtobufWriter, value: unknown): void {
  writer.stringField(2, JSON.stringify(value));
}

function extensions(writer: ProtobufWriter, number: number, value: Json): void {
  for (const [name, each] of Object.entries(value).toReversed())
    if (name.startsWith('x-')) message(writer, number, each, inner => named(inner, name, each, writeAny));
}

function writeSchema(writer: ProtobufWriter, schema: Json): void {
  extensions(writer, 31, schema);
  if (schema.properties) {
    const properties = Object.entries(schema.properties as Json).toReversed();
    message(writer, 25, properties, inner => {
      for (const [name, each] of properties) message(inner, 1, each, entry => named(entry, name, each, writeSchema));
    });
  }
  messages(writer, 24, schema.allOf, writeSchema);
  if (schema.items)
    message(writer, 23, schema.items, (inner, items: unknown) => messages(inner, 1, Array.isArray(items) ? items : [items], writeSchema));
  if (schema.type) message(writer, 22, schema.type, (inner, type: unknown) => texts(inner, 1, Array.isArray(type) ? type : [type]));
  if (schema.additionalProperties !== undefined)
    message(writer, 21, schema.additionalProperties, (inner, value: unknown) => {
      if (typeof value === 'boolean') inner.integerField(2, value ? 1 : 0);
      else message(inner, 1, value, writeSchema);
    });
  messages(writer, 20, schema.enum, writeAny);
  texts(writer, 19, schema.required);
  for (const [name, number] of Object.entries(SCHEMA_INTEGERS))
    if (schema[name] !== undefined) writer.integerField(number, Number(schema[name]));
  for (const [name, number] of Object.entries(SCHEMA_BOOLEANS)) if (schema[name]) writer.integerField(number, 1);
  for (const [name, number] of Object.entries(SCHEMA_DOUBLES))
    if (schema[name] !== undefined) writer.doubleField(number, Number(schema[name]));
  if (schema.default !== undefined) message(writer, 5, schema.default, writeAny);
  for (const [name, number] of Object.entries(SCHEMA_TEXTS))
    if (schema[name] !== undefined) writer.stringField(number, String(schema[name]));
}

function writeOperation(writer: ProtobufWriter, operation: Json): void {
  extensions(writer, 13, operation);
  texts(writer, 10, operation.schemes);
  message(writer, 9, operation.responses, (inner, responses: Json) => {
    for (const [code, response] of Object.entries(responses).toReversed())
      message(inner, 1, response, entry => named(entry, code, response, writeResponse));
  });
  messages(writer, 8, operation.parameters, writeParameter);
  texts(writer, 7, operation.consumes);
  texts(writer, 6, operation.produces);
  writer.stringField(5, String(operation.operationId));
  writer.stringField(3, String(operation.description ?? ''));
  texts(writer, 1, operation.tags);
}

/** `ResponseValue`, of which we have the inline form alone. */
function writeResponse(writer: ProtobufWriter, response: Json): void {
  message(writer, 1, response, inner => {
    if (response.schema) message(inner, 2, response.schema, (item, schema: Json) => message(item, 1, schema, writeSchema));
    inner.stringField(1, String(response.description));
  });
}

/** `ParametersItem` { `Parameter` { body, or one of the others } }. */
function writeParameter(writer: ProtobufWriter, parameter: Json): void {
  message(writer, 1, parameter, inner => {
    if (parameter.in === 'body') message(inner, 1, parameter, writeBodyParameter);
    else message(inner, 2, parameter, other => message(other, parameter.in === 'path' ? 4 : 3, parameter, writePlainParameter));
  });
}

function writeBodyParameter(writer: ProtobufWriter, { name, schema, required }: Json): void {
  message(writer, 5, schema, writeSchema);
  if (required) writer.integerField(4, 1);
  writer.stringField(3, 'body');
  writer.stringField(2, String(name));
}

/** In queries the type stands one number higher, after `allowEmptyValue`. */
function writePlainParameter(writer: ProtobufWriter, { name, in: place, type, required, uniqueItems, description }: Json): void {
  const isPath = place === 'path';
  if (uniqueItems) writer.integerField(isPath ? 19 : 20, 1);
  writer.stringField(isPath ? 5 : 6, String(type));
  writer.stringField(4, String(name));
  if (description) writer.stringField(3, String(description));
  writer.stringField(2, String(place));
  if (required) writer.integerField(1, 1);
}
