import type { IncomingMessage } from 'node:http';
import type { JsonObject } from '#base/json-object.ts';
import { readAnyJson } from '../request.ts';
import { decodeFields, type Fields } from './decode.ts';

/** Reads a JSON body as docker does; undefined for none. @throws BadRequest, RequestEntityTooLarge */
export async function readJsonBody(incoming: IncomingMessage, fields: Fields, name: string): Promise<JsonObject | undefined> {
  const body = await readAnyJson(incoming);
  return body === undefined ? undefined : decodeFields(body, fields, name);
}
