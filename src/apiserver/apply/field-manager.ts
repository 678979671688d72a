import { UmiakError } from '#base/errors.ts';
import type { Context } from '../request.ts';

const MOST_CHARACTERS = 128;

/** Who a write's fields belong to: the `fieldManager` parameter, or what the user agent begins with. @throws `Invalid` */
export function fieldManagerOf({ query, request }: Context): string {
  const asked = query.get('fieldManager');
  if (asked) return checkName(asked);
  const agent = request.headers['user-agent'] ?? '';
  const slash = agent.indexOf('/');
  const name = slash < 0 ? agent : agent.slice(0, slash);
  return clean(name) || 'unknown';
}

/** An apply's manager has no default. @throws `Invalid` */
export function applierOf({ query }: Context): string {
  const asked = query.get('fieldManager');
  if (!asked) throw invalidOption('FieldValueRequired', 'Required value: is required for apply patch');
  return checkName(asked);
}

function checkName(name: string): string {
  if (Buffer.byteLength(name) > MOST_CHARACTERS)
    throw invalidOption('FieldValueTooLong', `Too long: may not be more than ${MOST_CHARACTERS} bytes`);
  if (/\p{C}/u.test(name))
    throw invalidOption('FieldValueInvalid', `Invalid value: ${JSON.stringify(name)}: should only contain printable characters`);
  return name;
}

let lastName = '';
let lastClean = '';

/** Printable characters only, as many as fit. Most writes are of the same few programs. */
function clean(name: string): string {
  if (name !== lastName) {
    lastName = name;
    lastClean = name.replace(/\p{C}/gu, '').slice(0, MOST_CHARACTERS);
  }
  return lastClean;
}

function invalidOption(reason: string, message: string): UmiakError {
  return new UmiakError('Invalid', `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${message}`, {
    details: { group: 'meta.k8s.io', kind: 'PatchOptions', causes: [{ reason, message, field: 'fieldManager' }] },
  });
}
