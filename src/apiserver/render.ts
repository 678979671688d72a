import type { KubeObject } from '#kinds/kind.ts';
import { listBody } from './list-body.ts';
import { toProtobuf } from './protobuf/envelope.ts';
import type { Context, ListOutcome, Outcome } from './request.ts';
import type { Served } from './resources.ts';
import { listMetadata, shownObject } from './shown.ts';
import { inSlices } from './slices.ts';
import { protobufOf } from './stored-protobuf.ts';
import { inMetaVersion, toPartial, toTable } from './table.ts';
import { toYaml } from './yaml-text.ts';

/** An answer ready for a wire: its bytes at once, or in pieces made as the reader takes them. */
export interface Rendered {
  status: number;
  contentType: string;
  headers?: Record<string, string>;
  body: Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** Gives an outcome (not a watch) the form that was negotiated. */
export function render(outcome: Exclude<Outcome, { type: 'watch' | 'stream' | 'upgrade' }>, context: Context, nowMs: number): Rendered {
  const { media, query } = context;
  const { contentType, encoding } = media;
  if (outcome.type === 'bytes') {
    const { status, bytes, headers } = outcome;
    return { status, contentType: outcome.contentType, body: bytes, ...(headers && { headers }) };
  }
  if (outcome.type === 'list') return { status: 200, contentType, body: listBody(outcome, context, nowMs) };
  if (media.as === 'object' && outcome.type === 'stored' && outcome.object.revision > 0) {
    const { status, served, object } = outcome;
    if (encoding === 'protobuf') return { status, contentType, body: protobufOf(served, object) };
    if (encoding === 'json' && !served.conversion) return { status, contentType, body: object.json() };
  }
  const value = toValue(outcome, media.as, query, nowMs);
  const named = outcome.type === 'value' ? outcome.contentType : undefined;
  const headers = outcome.type === 'value' ? outcome.headers : undefined;
  return {
    status: outcome.status,
    contentType: named ?? (media.as === 'discovery' ? contentType.split(';', 1)[0]! : contentType),
    body: toBytes(media.isBeta && outcome.type === 'stored' ? inMetaVersion(media, value as object) : value, encoding),
    ...(headers && { headers }),
  };
}

/** A JSON value of the API in an encoding. */
export function toBytes(value: unknown, encoding: Context['media']['encoding']): Buffer {
  if (encoding === 'protobuf') return toProtobuf(value);
  return Buffer.from(encoding === 'yaml' ? toYaml(value) : JSON.stringify(value));
}

/** The outcome as one JSON value, for tables, YAML, other versions and callers in this process. */
export function toValue(
  outcome: Extract<Outcome, { type: 'stored' | 'value' }>,
  as: Context['media']['as'],
  query: URLSearchParams,
  nowMs: number,
): unknown {
  if (outcome.type === 'value' && !outcome.served) return outcome.value;
  const served = outcome.served as Served;
  const object = outcome.type === 'stored' ? shownObject(served, outcome.object) : (outcome.value as KubeObject);
  if (as === 'partial') return toPartial(object);
  if (as !== 'table') return object;
  const table = toTable(served, [object], query.get('includeObject') ?? 'Metadata', nowMs);
  return { ...table, metadata: { resourceVersion: object.metadata.resourceVersion } };
}

/** A list as one JSON value, for callers in this process and the audit log; in slices between which others get their turn. */
export async function toListValue(
  outcome: ListOutcome,
  as: Context['media']['as'],
  query: URLSearchParams,
  nowMs: number,
): Promise<object> {
  const { served } = outcome;
  const metadata = listMetadata(outcome);
  const objects: KubeObject[] = [];
  for await (const item of inSlices(outcome.items)) objects.push(shownObject(served, item));
  if (as === 'table') return { ...toTable(served, objects, query.get('includeObject') ?? 'Metadata', nowMs), metadata };
  if (as === 'partial') return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items: objects.map(toPartial) };
  const items = objects.map(({ kind: _kind, apiVersion: _version, ...item }) => item);
  return { kind: `${served.resource.kind}List`, apiVersion: served.apiVersion, metadata, items };
}
