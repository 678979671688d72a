import { UmiakError } from '#base/errors.ts';
import type { ProtobufReader } from '#wire/protobuf-reader.ts';
import type { ProtobufWriter } from '#wire/protobuf-writer.ts';
import { parseJson } from '../json-text.ts';
import { readMessage } from './decode.ts';
import { writeMessage } from './encode.ts';
import { messagePlan } from './plan.ts';

/** A type whose JSON is something else than an object of its fields. Fields are written last first, as the writer wants them. */
export interface Form {
  write(writer: ProtobufWriter, value: unknown): void;
  read(reader: ProtobufReader, depth: number): unknown;
}

const CRD = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';

const forms: Record<string, Form> = {
  [`${META}Time`]: timeForm(false),
  [`${META}MicroTime`]: timeForm(true),
  [`${META}FieldsV1`]: jsonForm({}),
  [`${META}Verbs`]: stringsForm(),
  'io.k8s.apimachinery.pkg.runtime.RawExtension': jsonForm({}),
  'io.k8s.apimachinery.pkg.api.resource.Quantity': {
    write: (writer, value) => writer.stringField(1, String(value)),
    read: reader => lastString(reader) || '0',
  },
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': {
    write(writer, value) {
      if (typeof value === 'string') writer.stringField(3, value);
      else writer.integerField(2, Number(value));
      writer.integerField(1, typeof value === 'string' ? 1 : 0);
    },
    read(reader) {
      let [isText, number, text] = [false, 0, ''];
      while (reader.next()) {
        if (reader.number === 1) isText = reader.integer() === 1;
        else if (reader.number === 2) number = reader.integer() | 0;
        else if (reader.number === 3) text = reader.string();
        else reader.skip();
      }
      return isText ? text : number;
    },
  },
  [`${CRD}JSON`]: jsonForm(null),
  [`${CRD}JSONSchemaPropsOrArray`]: {
    write(writer, value) {
      if (Array.isArray(value)) for (const one of value.toReversed()) writeSchema(writer, 2, one);
      else writeSchema(writer, 1, value);
    },
    read(reader, depth) {
      let one: unknown;
      const many: unknown[] = [];
      while (reader.next()) {
        if (reader.number === 1) one = readSchema(reader, depth);
        else if (reader.number === 2) many.push(readSchema(reader, depth));
        else reader.skip();
      }
      return many.length > 0 ? many : one;
    },
  },
  [`${CRD}JSONSchemaPropsOrBool`]: {
    write(writer, value) {
      if (typeof value === 'object') writeSchema(writer, 2, value);
      writer.integerField(1, value === false ? 0 : 1);
    },
    read(reader, depth) {
      let allows = false;
      let schema: unknown;
      while (reader.next()) {
        if (reader.number === 1) allows = reader.integer() !== 0;
        else if (reader.number === 2) schema = readSchema(reader, depth);
        else reader.skip();
      }
      return schema ?? allows;
    },
  },
  [`${CRD}JSONSchemaPropsOrStringArray`]: {
    write(writer, value) {
      if (Array.isArray(value)) for (const one of value.toReversed()) writer.stringField(2, String(one));
      else writeSchema(writer, 1, value);
    },
    read(reader, depth) {
      let schema: unknown;
      const names: string[] = [];
      while (reader.next()) {
        if (reader.number === 1) schema = readSchema(reader, depth);
        else if (reader.number === 2) names.push(reader.string());
        else reader.skip();
      }
      return schema ?? names;
    },
  },
};

/** The form of a type by its full name; undefined for plain messages. */
export function formOf(type: string): Form | undefined {
  return type.endsWith('.ExtraValue') ? stringsForm() : forms[type];
}

function writeSchema(writer: ProtobufWriter, number: number, value: unknown): void {
  const before = writer.length;
  writeMessage(writer, messagePlan(`${CRD}JSONSchemaProps`)!, value);
  writer.closeField(number, before);
}

function readSchema(reader: ProtobufReader, depth: number): unknown {
  return readMessage(reader.message(), messagePlan(`${CRD}JSONSchemaProps`)!, depth + 1);
}

/** Seconds and nanoseconds since 1970; nothing stands for no time. */
function timeForm(isMicro: boolean): Form {
  return {
    write(writer, value) {
      const text = String(value);
      const atMs = Date.parse(text);
      if (Number.isNaN(atMs)) return;
      const seconds = Math.floor(atMs / 1000);
      if (isMicro) {
        const fraction = /\.(\d+)/.exec(text)?.[1] ?? '';
        writer.integerField(2, Number(fraction.slice(0, 6).padEnd(6, '0')) * 1000);
      } else writer.integerField(2, 0);
      writer.integerField(1, seconds);
    },
    read(reader) {
      let seconds: number | undefined;
      let nanos = 0;
      while (reader.next()) {
        if (reader.number === 1) seconds = reader.integer();
        else if (reader.number === 2) nanos = reader.integer() | 0;
        else reader.skip();
      }
      if (seconds === undefined) return undefined;
      if (!(Math.abs(seconds) < 253_402_300_800))
        throw new UmiakError('BadRequest', `the protobuf body has a time ${seconds} s after 1970`);
      const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
      const micros = Math.min(Math.max(0, Math.floor(nanos / 1000)), 999_999);
      return isMicro ? `${whole}.${String(micros).padStart(6, '0')}Z` : `${whole}Z`;
    },
  };
}

/** JSON's text as bytes. */
function jsonForm(empty: unknown): Form {
  return {
    write: (writer, value) => writer.stringField(1, JSON.stringify(value)),
    read(reader) {
      let bytes: Buffer | undefined;
      while (reader.next()) {
        if (reader.number === 1) bytes = reader.bytes();
        else reader.skip();
      }
      return bytes?.length ? parseJson(bytes) : empty;
    },
  };
}

function stringsForm(): Form {
  return {
    write(writer, value) {
      if (Array.isArray(value)) for (let i = value.length - 1; i >= 0; i--) writer.stringField(1, String(value[i]));
    },
    read(reader) {
      const found: string[] = [];
      while (reader.next()) {
        if (reader.number === 1) found.push(reader.string());
        else reader.skip();
      }
      return found;
    },
  };
}

function lastString(reader: ProtobufReader): string {
  let text = '';
  while (reader.next()) {
    if (reader.number === 1) text = reader.string();
    else reader.skip();
  }
  return text;
}
