import { stringify } from 'yaml';
import { envelopeOf, fieldHead, protobufPlanOf, TAIL, toMessage } from './protobuf/envelope.ts';
import type { Context, ListOutcome } from './request.ts';
import { listMetadata, shownObject } from './shown.ts';
import { inSlices, isSliceOver, nextSlice } from './slices.ts';
import type { StoredObject } from './stored-object.ts';
import { messageOf } from './stored-protobuf.ts';
import { inMetaVersion, toPartial, toRow, toTable } from './table.ts';
import { toYamlItem } from './yaml-text.ts';

/** Bytes of a piece of a streamed list. */
const PIECE = 256 << 10;
const PARTIAL = 'meta.k8s.io/v1';

/** A list's bytes in pieces: JSON as it is stored is copied, everything else is made in slices between which others get their turn. */
export function listBody(outcome: ListOutcome, { media, query }: Context, nowMs: number): Iterable<Buffer> | AsyncIterable<Buffer> {
  const { served, items } = outcome;
  const { kind } = served.resource;
  const isPartial = media.as === 'partial';
  const [listKind, apiVersion] = isPartial ? ['PartialObjectMetadataList', PARTIAL] : [`${kind}List`, served.apiVersion];
  if (media.encoding === 'protobuf') {
    const plan = protobufPlanOf(PARTIAL, 'PartialObjectMetadata')!;
    const encode = isPartial
      ? (item: StoredObject) => toMessage(plan, toPartial(shownObject(served, item)))
      : (item: StoredObject) => messageOf(served, item);
    return protobufPieces(items, encode, listKind, apiVersion, listMetadata(outcome));
  }
  const pieces = media.encoding === 'yaml' ? yamlPieces : jsonPieces;
  const metadata = listMetadata(outcome);
  if (media.as === 'table') {
    const includeObject = query.get('includeObject') ?? 'Metadata';
    const { rows: _rows, ...table } = toTable(served, [], includeObject, nowMs);
    const rowOf = (item: StoredObject) => toRow(served, shownObject(served, item), includeObject, nowMs);
    return pieces(items, inMetaVersion(media, { ...table, metadata }), 'rows', rowOf);
  }
  const head = { kind: listKind, apiVersion, metadata };
  if (isPartial) return pieces(items, inMetaVersion(media, head), 'items', item => toPartial(shownObject(served, item)));
  if (media.encoding === 'json' && !served.conversion) return storedPieces(items, `${JSON.stringify(head).slice(0, -1)},"items":[`);
  return pieces(items, head, 'items', item => {
    const { kind: _kind, apiVersion: _version, ...shown } = shownObject(served, item);
    return shown;
  });
}

/** Each object copied once from where it lies. */
function* storedPieces(items: Iterable<StoredObject>, head: string): Generator<Buffer> {
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
  yield Buffer.concat([piece.subarray(0, at), Buffer.from(']}\n')]);
}

async function* jsonPieces(
  items: Iterable<StoredObject>,
  head: object,
  key: 'items' | 'rows',
  shownAs: (item: StoredObject) => unknown,
): AsyncGenerator<Buffer> {
  let text = `${JSON.stringify(head).slice(0, -1)},"${key}":[`;
  let first = true;
  for await (const item of inSlices(items)) {
    text += first ? JSON.stringify(shownAs(item)) : `,${JSON.stringify(shownAs(item))}`;
    first = false;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(`${text}]}\n`);
}

async function* yamlPieces(
  items: Iterable<StoredObject>,
  head: object,
  key: 'items' | 'rows',
  shownAs: (item: StoredObject) => unknown,
): AsyncGenerator<Buffer> {
  let text = `${stringify(head)}${key}:`;
  let first = true;
  for await (const item of inSlices(items)) {
    text += `${first ? '\n' : ''}${toYamlItem(shownAs(item))}`;
    first = false;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(first ? `${text} []\n` : text);
}

/** The envelope names the length of all: every object is made before the first piece goes. */
async function* protobufPieces(
  items: Iterable<StoredObject>,
  encode: (item: StoredObject) => Buffer,
  kind: string,
  apiVersion: string,
  metadata: object,
): AsyncGenerator<Buffer> {
  const meta = toMessage(protobufPlanOf('v1', 'ListMeta')!, metadata);
  const parts = [fieldHead(1, meta.length), meta];
  let length = parts[0]!.length + meta.length;
  if (isSliceOver()) await nextSlice(); // the first that asks for protobuf has its tables loaded
  for await (const item of inSlices(items)) {
    const message = encode(item);
    const head = fieldHead(2, message.length);
    parts.push(head, message);
    length += head.length + message.length;
  }
  let waiting = [envelopeOf(apiVersion, kind, length)];
  let bytes = 0;
  for (const part of parts) {
    waiting.push(part);
    bytes += part.length;
    if (bytes < PIECE) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
    if (isSliceOver()) await nextSlice();
  }
  yield Buffer.concat([...waiting, TAIL]);
}
