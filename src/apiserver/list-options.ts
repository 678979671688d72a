import { type FieldCause, UmiakError } from '#base/errors.ts';
import { isTrue } from './routes.ts';
import { badRequest } from './status.ts';

const MATCHES = ['Exact', 'NotOlderThan'];

/** What of `metav1.ListOptions` can't be asked of a list. @throws `Invalid` with every cause */
export function checkListOptions(query: URLSearchParams): void {
  const causes: FieldCause[] = [];
  const match = query.get('resourceVersionMatch') ?? '';
  const version = query.get('resourceVersion') ?? '';
  if (match) {
    if (!version) causes.push(forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided'));
    if (query.get('continue'))
      causes.push(forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'));
    if (!MATCHES.includes(match)) causes.push(notSupported(match, [...MATCHES, '']));
    if (match === 'Exact' && version === '0')
      causes.push(forbidden('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  if (query.get('sendInitialEvents')) causes.push(forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  refuse(causes);
}

/** What of them can't be asked of a watch. @throws `Invalid` with every cause */
export function checkWatchOptions(query: URLSearchParams): void {
  const causes: FieldCause[] = [];
  const match = query.get('resourceVersionMatch') ?? '';
  const initial = query.get('sendInitialEvents') ?? '';
  if (initial && match !== 'NotOlderThan')
    causes.push(forbidden('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'));
  if (match) {
    if (!initial)
      causes.push(forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'));
    if (match !== 'NotOlderThan') causes.push(notSupported(match, ['NotOlderThan']));
    if (query.get('continue'))
      causes.push(forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'));
  }
  refuse(causes);
}

/** `sendInitialEvents`, as far as it was said. */
export function initialEventsOf(query: URLSearchParams): boolean | undefined {
  const text = query.get('sendInitialEvents') ?? '';
  return text === '' ? undefined : isTrue(text);
}

/** A `resourceVersion` parameter as a number; empty is 0. @throws `BadRequest` */
export function parseRevision(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid resource version "${text.slice(0, 40)}": it must be a whole number`);
  return Number(text);
}

/** A parameter that counts something; nothing and what is negative are 0. @throws `BadRequest` */
export function parseCount(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '';
  if (text === '') return 0;
  if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`${name}: "${text.slice(0, 40)}" is no whole number`);
  return Math.max(0, Number(text));
}

/** A revision that has not been yet: after a restore from a backup clients may know more than we do, and must start over. */
export function tooLargeRevision(asked: number, current: number): UmiakError {
  return new UmiakError('Timeout', `Too large resource version: ${asked}, current: ${current}`, {
    details: { retryAfterSeconds: 1, causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' }] },
  });
}

/** The revision that a GET asks to be reached has been. @throws `Timeout`, `BadRequest` */
export function requireReached(query: URLSearchParams, current: number): void {
  const asked = parseRevision(query.get('resourceVersion') ?? '');
  if (asked > current) throw tooLargeRevision(asked, current);
}

function forbidden(field: string, why: string): FieldCause {
  return { field, reason: 'FieldValueForbidden', message: `Forbidden: ${why}` };
}

function notSupported(value: string, supported: readonly string[]): FieldCause {
  const message = `Unsupported value: ${JSON.stringify(value.slice(0, 100))}: supported values: ${supported.map(each => JSON.stringify(each)).join(', ')}`;
  return { field: 'resourceVersionMatch', reason: 'FieldValueNotSupported', message };
}

function refuse(causes: FieldCause[]): void {
  if (causes.length === 0) return;
  const lines = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  throw new UmiakError('Invalid', `ListOptions.meta.k8s.io "" is invalid: ${list}`, {
    details: { group: 'meta.k8s.io', kind: 'ListOptions', causes },
  });
}
