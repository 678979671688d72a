import type { IncomingMessage } from 'node:http';
import type { Clock } from '#base/clock.ts';
import { isUmiakError, messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { readBody } from './http-client.ts';
import { parseJsonObject } from './oci.ts';

const REASONS: Record<number, Reason> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  408: 'Timeout',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  429: 'TooManyRequests',
};
const PASSING_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_SOCKET',
]);

/** A registry's refusal as ours: its reason, its own words (OCI distribution spec, "Error Codes"), what to do. */
export async function toError(response: IncomingMessage, what: string, clock: Clock): Promise<UmiakError> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response, 64 * 1024, what).catch(() => Buffer.alloc(0));
  const retryAfter = secondsOf(response.headers['retry-after'], clock);
  const said = wordsOf(body);
  const reason = REASONS[status] ?? (status >= 300 && status < 500 ? 'BadRequest' : 'ServiceUnavailable');
  return new UmiakError(reason, `${what}: the registry answered ${status}${said ? `: ${said}` : ''}`, {
    details: { kind: 'image', ...(retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}) },
    ...(status === 401 || status === 403
      ? { hint: 'Check the name; if the repository is private, give credentials that have a right to it.' }
      : {}),
    ...(status === 404 ? { hint: 'Check the name and the tag.' } : {}),
  });
}

/** `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). */
function secondsOf(header: string | undefined, clock: Clock): number {
  if (header === undefined) return 0;
  return /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - clock.now()) / 1000);
}

const LONGEST_PAUSE_MS = 30_000;

/** How long to wait after the `attempt`th failure in a row: twice as long each time, or as long as the registry asks. */
export function planPause(error: unknown, attempt: number): number {
  const askedMs = isUmiakError(error) ? (error.details.retryAfterSeconds ?? 0) * 1000 : 0;
  return Math.min(LONGEST_PAUSE_MS, Math.max(askedMs, 250 * 2 ** attempt));
}

/** Of what a registry says, in messages. */
const MAX_WORDS = 1000;

function wordsOf(body: Buffer): string {
  try {
    const document = parseJsonObject(body, 'the answer');
    const errors = Array.isArray(document.errors) ? document.errors : [];
    return errors
      .map((each: { code?: unknown; message?: unknown }) => [each.code, each.message].filter(text => typeof text === 'string').join(': '))
      .join('; ')
      .replace(/\p{Cc}+/gu, ' ')
      .slice(0, MAX_WORDS);
  } catch {
    return '';
  }
}

/** Whether it is worth another try. */
export function mayPass(error: unknown): boolean {
  if (isUmiakError(error)) return error.reason === 'TooManyRequests' || error.reason === 'ServiceUnavailable' || error.reason === 'Timeout';
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && PASSING_CODES.has(code);
}

/** Of options that our users don't have. */
const NODE_ADVICE = /; if the root CA is installed locally.*$/;

/** What is thrown when no further try is made: always the house's error. */
export function toFinal(error: unknown, registry: string): unknown {
  if (isUmiakError(error)) return error;
  const isUntrusted = /CERT|SELF_SIGNED|ISSUER|VERIFY/.test((error as NodeJS.ErrnoException).code ?? '');
  return new UmiakError('ServiceUnavailable', `the registry ${registry} can't be reached: ${messageOf(error).replace(NODE_ADVICE, '')}`, {
    hint: isUntrusted
      ? 'Name the authority of its certificate by `ca` in its hosts.toml, or let this machine trust it (SSL_CERT_FILE).'
      : 'Check its name, the network and proxy settings.',
    cause: error,
  });
}
