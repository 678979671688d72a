import type { IncomingMessage } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import type { JsonObject } from '#base/json-object.ts';
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
  const type = incoming.headers['content-type'] ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new UmiakError('BadRequest', `unsupported Content-Type header (${type.slice(0, 128)}): must be 'application/json'`);
  return decodeFields(parse(Buffer.concat(chunks).toString()), fields, name);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UmiakError('BadRequest', 'invalid JSON: the body is not well formed', { cause });
  }
}
