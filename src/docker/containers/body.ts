import type { IncomingMessage } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import type { JsonObject } from '#base/json-object.ts';
import { parseJson, requireJsonType } from '../request.ts';
import { decodeFields, type Fields } from './decode.ts';

/** Of a `create`, with all its labels and environment. */
const MAX_BODY_BYTES = 16 << 20;

/** Reads a JSON body as docker does; undefined for none. @throws BadRequest, RequestEntityTooLarge */
export async function readJsonBody(incoming: IncomingMessage, fields: Fields, name: string): Promise<JsonObject | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_BODY_BYTES) throw new UmiakError('RequestEntityTooLarge', `the body is longer than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  if (bytes === 0) return undefined;
  requireJsonType(incoming);
  return decodeFields(parseJson(Buffer.concat(chunks).toString()), fields, name);
}
