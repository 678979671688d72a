import { UmiakError } from '#base/errors.ts';
import { typeNameOf } from '#kinds/schema-data.ts';
import { ProtobufReader } from '#wire/protobuf-reader.ts';
import { ProtobufWriter } from '#wire/protobuf-writer.ts';
import { parseJson } from '../json-text.ts';
import { readMessage } from './decode.ts';
import { writeMessage } from './encode.ts';
import { type MessagePlan, messagePlan } from './plan.ts';

const MAGIC = Buffer.from('k8s\0');
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const DISCOVERY = 'io.k8s.api.apidiscovery.v2.';
const UNKNOWN = 'io.k8s.apimachinery.pkg.runtime.Unknown';

interface Unknown {
  typeMeta?: { apiVersion?: string; kind?: string };
  raw?: string;
  contentType?: string;
}

const writer = new ProtobufWriter(64 << 10);

/** The JSON value of a body in `application/vnd.kubernetes.protobuf`. @throws `BadRequest`, or `UnsupportedMediaType` for kinds that have no such form */
export function parseProtobuf(bytes: Buffer): unknown {
  if (!bytes.subarray(0, 4).equals(MAGIC)) throw new UmiakError('BadRequest', 'the protobuf body does not begin with "k8s\\0"');
  const envelope = readMessage(new ProtobufReader(bytes, 4), messagePlan(UNKNOWN)!, 0) as Unknown;
  const { apiVersion = '', kind = '' } = envelope.typeMeta ?? {};
  const raw = Buffer.from(envelope.raw ?? '', 'base64');
  if (envelope.contentType?.startsWith('application/json')) return parseJson(raw);
  const plan = protobufPlanOf(apiVersion, kind);
  if (!plan) throw new UmiakError('UnsupportedMediaType', `${apiVersion} ${kind} has no protobuf form here; send it as application/json`);
  return { apiVersion, kind, ...(readMessage(new ProtobufReader(raw), plan, 0) as object) };
}

/** How objects of this kind stand on the wire; undefined for custom resources. */
export function protobufPlanOf(apiVersion: string, kind: string): MessagePlan | undefined {
  if (apiVersion === 'apidiscovery.k8s.io/v2') return messagePlan(DISCOVERY + kind);
  const type = typeNameOf(`${apiVersion}/${kind}`);
  if (type) return messagePlan(type);
  const item = kind.endsWith('List') ? typeNameOf(`${apiVersion}/${kind.slice(0, -4)}`) : undefined;
  // Every group version has Status, DeleteOptions, WatchEvent and the like.
  return messagePlan(item ? `${item}List` : META + kind);
}

/** The message alone, without its envelope: what lists hold. */
export function toMessage(plan: MessagePlan, value: unknown): Buffer {
  try {
    writeMessage(writer, plan, value);
  } catch (error) {
    writer.finish(); // nothing of this one stands in the next
    throw error;
  }
  return writer.finish();
}

/** One object in its envelope. @throws `NotAcceptable` when its kind has no protobuf form */
export function toProtobuf(value: unknown): Buffer {
  const { apiVersion = '', kind = '' } = value as { apiVersion?: string; kind?: string };
  const version = apiVersion || 'v1';
  const plan = protobufPlanOf(version, kind);
  if (!plan) throw new UmiakError('NotAcceptable', `${version} ${kind} has no protobuf form; ask for application/json`);
  const message = toMessage(plan, value);
  return Buffer.concat([envelopeOf(version, kind, message.length), message, TAIL]);
}

/** `contentEncoding` and `contentType`, both empty. */
export const TAIL = Buffer.from([0x1a, 0, 0x22, 0]);

/** What stands before a message of that length: `k8s\0` and the beginning of a `runtime.Unknown`; `TAIL` follows it. */
export function envelopeOf(apiVersion: string, kind: string, messageBytes: number): Buffer {
  return Buffer.concat([MAGIC, typeMetaOf(apiVersion, kind), fieldHead(2, messageBytes)]);
}

const typeMetas = new Map<string, Buffer>();

function typeMetaOf(apiVersion: string, kind: string): Buffer {
  const key = `${apiVersion} ${kind}`;
  let made = typeMetas.get(key);
  if (!made) {
    const own = new ProtobufWriter(256);
    own.stringField(2, kind);
    own.stringField(1, apiVersion);
    own.closeField(1, 0);
    made = own.finish();
    if (typeMetas.size < 1000) typeMetas.set(key, made);
  }
  return made;
}

/** Tag and length of a field of bytes that follow. */
export function fieldHead(number: number, lengthBytes: number): Buffer {
  const head = [(number << 3) | 2];
  let rest = lengthBytes;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) head.push((rest % 128) | 0x80);
  head.push(rest);
  return Buffer.from(head);
}
