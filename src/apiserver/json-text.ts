import { messageOf } from '#base/errors.ts';
import { badRequest } from './status.ts';

/** Nesting beyond this is nobody's object, and a danger to everything recursive. */
export const MOST_DEPTH = 500;

/** The value of a JSON text from outside. @throws `BadRequest` for what does not parse or is too deep */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw badRequest('the request needs a body');
  checkDepth(bytes);
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw badRequest(`couldn't parse the body as JSON: ${messageOf(error)}`);
  }
}

/** Counts brackets outside strings. A body that has few of them can't be deep. */
export function checkDepth(bytes: Buffer): void {
  if (!hasMoreThan(MOST_DEPTH, bytes)) return;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MOST_DEPTH) throw badRequest(`the body is nested more than ${MOST_DEPTH} levels deep`);
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

function hasMoreThan(most: number, bytes: Buffer): boolean {
  let count = 0;
  for (const bracket of [0x7b, 0x5b]) {
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1)) if (++count > most) return true;
  }
  return false;
}
