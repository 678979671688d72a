import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { typeNameOf } from '#kinds/schema-data.ts';
import { readFields, type WireField } from '#wire/protobuf-reader.ts';
import { parseBody } from './body.ts';

type FieldRow = [name: string, type: string, repeated?: 'list' | 'map'];
type Messages = Record<string, Record<string, FieldRow>>;

const MAGIC = Buffer.from('k8s\0');
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const MOST_DEPTH = 100;

/**
 * Fields whose zero is a value of its own (pointers in the API's Go types). All other fields are always on the wire, so that their
 * zeros say nothing and are left out, as the JSON form leaves them out.
 */
const ZERO_COUNTS = new Set(
  (
    'replicas revisionHistoryLimit progressDeadlineSeconds terminationGracePeriodSeconds activeDeadlineSeconds gracePeriodSeconds ' +
    'orphanDependents automountServiceAccountToken enableServiceLinks optional immutable storageClassName readOnlyRootFilesystem ' +
    'allowPrivilegeEscalation privileged runAsNonRoot runAsUser runAsGroup fsGroup backoffLimit parallelism completions suspend ' +
    'ttlSecondsAfterFinished defaultMode mode shareProcessNamespace hostUsers setHostnameAsFQDN tolerationSeconds controller ' +
    'blockOwnerDeletion expirationSeconds allocateLoadBalancerNodePorts leaseDurationSeconds leaseTransitions ready serving terminating ' +
    'minReplicas successfulJobsHistoryLimit failedJobsHistoryLimit startingDeadlineSeconds partition maxSurge maxUnavailable priority ' +
    'attachRequired podInfoOnMount seccompProfile deletionGracePeriodSeconds volumeMode ingressClassName preemptionPolicy'
  ).split(' '),
);

let messages: Messages | undefined;

/** The JSON value of a body in `application/vnd.kubernetes.protobuf`. @throws `BadRequest`, or `UnsupportedMediaType` for kinds that have no such form */
export function parseProtobuf(bytes: Buffer): unknown {
  if (!bytes.subarray(0, 4).equals(MAGIC)) throw new UmiakError('BadRequest', 'the protobuf body does not begin with "k8s\\0"');
  const envelope = decode(bytes.subarray(4), 'io.k8s.apimachinery.pkg.runtime.Unknown', 0) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: string;
    contentType?: string;
  };
  const { apiVersion = '', kind = '' } = envelope.typeMeta ?? {};
  const raw = Buffer.from(envelope.raw ?? '', 'base64');
  if (envelope.contentType?.startsWith('application/json')) return parseBody(raw, 'json');
  const type = typeNameOf(`${apiVersion}/${kind}`) ?? `${META}${kind}`;
  if (!table()[type])
    throw new UmiakError('UnsupportedMediaType', `${apiVersion} ${kind} has no protobuf form here; send it as application/json`);
  return { apiVersion, kind, ...(decode(raw, type, 0) as object) };
}

function table(): Messages {
  messages ??= JSON.parse(readFileSync(new URL('./protobuf.gen.json', import.meta.url), 'utf8')) as Messages;
  return messages;
}

/** One message as the JSON form of its type would be. */
function decode(bytes: Buffer, type: string, depth: number): unknown {
  if (depth > MOST_DEPTH) throw new UmiakError('BadRequest', `the protobuf body is nested more than ${MOST_DEPTH} levels deep`);
  const rows = table()[type] ?? {};
  const object: Record<string, unknown> = {};
  for (const field of readFields(bytes)) {
    const row = rows[field.number];
    if (!row) continue;
    const [name, fieldType, repeated] = row;
    if (repeated === 'map') {
      const [key, value] = entry(field, fieldType, depth);
      object[name] = { ...(object[name] as object | undefined), [key]: value };
    } else if (repeated === 'list') {
      const list = (object[name] as unknown[] | undefined) ?? [];
      list.push(readValue(field, fieldType, depth));
      object[name] = list;
    } else {
      const value = readValue(field, fieldType, depth);
      const empty = value === '' || value === 0 || value === false || value === undefined;
      if (!empty || (value !== undefined && ZERO_COUNTS.has(name) && value !== '')) object[name] = value;
    }
  }
  return asJson(type, object, bytes);
}

function entry(field: WireField, valueType: string, depth: number): [string, unknown] {
  let key = '';
  let value: unknown = valueType === 'string' || valueType === 'bytes' ? '' : {};
  for (const part of readFields(bytesOf(field))) {
    if (part.number === 1) key = bytesOf(part).toString();
    else if (part.number === 2) value = readValue(part, valueType, depth);
  }
  if (key === '__proto__') throw new UmiakError('BadRequest', 'the protobuf body has a map key "__proto__"');
  return [key, value];
}

function readValue(field: WireField, type: string, depth: number): unknown {
  switch (type) {
    case 'string':
      return bytesOf(field).toString();
    case 'bytes':
      return bytesOf(field).toString('base64');
    case 'bool':
      return numberOf(field) !== 0n;
    case 'int32':
    case 'int64':
      return Number(BigInt.asIntN(64, numberOf(field)));
    case 'uint32':
    case 'uint64':
      return Number(numberOf(field));
    case 'double':
      return field.type === 'fixed' && field.bytes.length === 8 ? field.bytes.readDoubleLE() : 0;
    default:
      return decode(bytesOf(field), type, depth + 1);
  }
}

function bytesOf(field: WireField): Buffer {
  if (field.type !== 'bytes') throw new UmiakError('BadRequest', `field ${field.number} of the protobuf body has the wrong wire type`);
  return field.bytes;
}

function numberOf(field: WireField): bigint {
  if (field.type !== 'varint') throw new UmiakError('BadRequest', `field ${field.number} of the protobuf body has the wrong wire type`);
  return field.value;
}

/** Types whose JSON form is not an object of their fields. */
function asJson(type: string, object: Record<string, unknown>, bytes: Buffer): unknown {
  switch (type.split('.').at(-1)) {
    case 'Time':
    case 'MicroTime':
      return toTimeText(type, object);
    case 'Quantity':
      return object.string ?? '0';
    case 'IntOrString':
      return object.type === 1 ? (object.strVal ?? '') : (object.intVal ?? 0);
    case 'Duration':
      return `${Number(object.duration ?? 0) / 1e9}s`;
    case 'FieldsV1':
      return raw(object.Raw);
    case 'RawExtension':
    case 'JSON':
      return raw(object.raw);
    case 'Verbs':
    case 'ExtraValue':
      return object.items ?? [];
    default:
      return bytes.length === 0 ? {} : object;
  }
}

function toTimeText(type: string, { seconds, nanos = 0 }: Record<string, unknown>): string | undefined {
  if (seconds === undefined) return undefined;
  const at = Number(seconds);
  if (!(Math.abs(at) < 253_402_300_800)) throw new UmiakError('BadRequest', `the protobuf body has a time ${at} s after 1970`);
  const whole = new Date(at * 1000).toISOString().slice(0, 19);
  return type.endsWith('MicroTime') ? `${whole}.${String(Math.floor(Number(nanos) / 1000)).padStart(6, '0')}Z` : `${whole}Z`;
}

function raw(base64: unknown): unknown {
  return typeof base64 === 'string' && base64 !== '' ? parseBody(Buffer.from(base64, 'base64'), 'json') : {};
}
