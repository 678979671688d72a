import { stringify } from 'yaml';
import type { KubeObject } from '#kinds/kind.ts';
import type { Context, ListOutcome, Outcome } from './request.ts';
import { fromStored, type Served } from './resources.ts';
import type { StoredObject } from './stored-object.ts';
import { toPartial, toTable } from './table.ts';

/** An answer ready for a wire: its bytes at once, or in pieces made as the reader takes them. */
export interface Rendered {
  status: number;
  contentType: string;
  headers?: Record<string, string>;
  body: Buffer | Iterable<Buffer>;
}

/** Bytes of a piece of a streamed list. */
const PIECE = 256 << 10;
const NEWLINE = Buffer.from('\n');

/** Gives an outcome (not a watch) the form that was negotiated. */
export function render(
  outcome: Exclude<Outcome, { type: 'watch' | 'stream' | 'upgrade' }>,
  { media, query }: Context,
  nowMs: number,
): Rendered {
  const { contentType, encoding } = media;
  if (outcome.type === 'bytes') {
    const { status, bytes, headers } = outcome;
    return { status, contentType: outcome.contentType, body: bytes, ...(headers && { headers }) };
  }
  if (encoding === 'json' && media.as === 'object') {
    if (outcome.type === 'stored' && !outcome.served.conversion && outcome.object.revision > 0) {
      return { status: outcome.status, contentType, body: outcome.object.json() };
    }
    if (outcome.type === 'list' && !outcome.served.conversion) return { status: 200, contentType, body: listPieces(outcome) };
  }
  const value = toValue(outcome, media.as, query, nowMs);
  const text = encoding === 'yaml' ? stringify(value) : JSON.stringify(value);
  const status = outcome.type === 'list' ? 200 : outcome.status;
  const named = outcome.type === 'value' ? outcome.contentType : undefined;
  const headers = outcome.type === 'value' ? outcome.headers : undefined;
  return {
    status,
    contentType: named ?? (media.as === 'discovery' ? 'application/json' : contentType),
    body: Buffer.from(text),
    ...(headers && { headers }),
  };
}

/** The outcome as one JSON value, for tables, YAML, other versions and callers in this process. */
export function toValue(
  outcome: Exclude<Outcome, { type: 'watch' | 'bytes' | 'stream' | 'upgrade' }>,
  as: Context['media']['as'],
  query: URLSearchParams,
  nowMs: number,
): unknown {
  if (outcome.type === 'value' && !outcome.served) return outcome.value;
  const includeObject = query.get('includeObject') ?? 'Metadata';
  const served = outcome.served as Served;
  if (outcome.type === 'list') {
    const objects = Array.from(outcome.items, item => shownObject(served, item));
    const metadata = listMetadata(outcome);
    if (as === 'table') return { ...toTable(served, objects, includeObject, nowMs), metadata };
    if (as === 'partial')
      return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items: objects.map(toPartial) };
    const items = objects.map(({ kind: _kind, apiVersion: _version, ...item }) => item);
    return { kind: `${served.resource.kind}List`, apiVersion: served.apiVersion, metadata, items };
  }
  const object = outcome.type === 'stored' ? shownObject(served, outcome.object) : (outcome.value as KubeObject);
  if (as === 'table')
    return { ...toTable(served, [object], includeObject, nowMs), metadata: { resourceVersion: object.metadata.resourceVersion } };
  return as === 'partial' ? toPartial(object) : object;
}

/** The object in the served version; without a resourceVersion when it was never stored. */
export function shownObject(served: Served, stored: StoredObject): KubeObject {
  const object = fromStored(served, stored.object());
  if (stored.revision === 0) Reflect.deleteProperty(object.metadata, 'resourceVersion');
  return object;
}

function listMetadata({ revision, continueToken, remaining }: ListOutcome): object {
  return {
    resourceVersion: String(revision),
    ...(continueToken !== undefined && { continue: continueToken }),
    ...(remaining !== undefined && { remainingItemCount: remaining }),
  };
}

/** The list's JSON in pieces, each object copied once from where it lies. */
function* listPieces(outcome: ListOutcome): Generator<Buffer> {
  const { served, items } = outcome;
  const head = `{"kind":"${served.resource.kind}List","apiVersion":"${served.apiVersion}","metadata":${JSON.stringify(listMetadata(outcome))},"items":[`;
  let piece = Buffer.allocUnsafe(PIECE);
  let at = piece.write(head);
  let first = true;
  for (const item of items) {
    const room = item.itemLength + 1;
    if (at + room > piece.length) {
      if (at > 0) yield piece.subarray(0, at);
      piece = Buffer.allocUnsafe(Math.max(PIECE, room));
      at = 0;
    }
    if (!first) piece[at++] = 0x2c;
    first = false;
    at = item.writeItem(piece, at);
  }
  yield Buffer.concat([piece.subarray(0, at), Buffer.from(']}'), NEWLINE]);
}
