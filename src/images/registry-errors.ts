import type { IncomingMessage } from 'node:http';
import { isUmiakError, messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { readBody } from './http-client.ts';
import { parseJsonObject } from './oci.ts';

const REASONS: Record<number, Reason> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
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
export async function toError(response: IncomingMessage, what: string): Promise<UmiakError> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response, 64 * 1024, what).catch(() => Buffer.alloc(0));
  const retryAfter = Number(response.headers['retry-after']);
  const said = wordsOf(body);
  return new UmiakError(REASONS[status] ?? 'ServiceUnavailable', `${what}: the registry answered ${status}${said ? `: ${said}` : ''}`, {
    details: { kind: 'image', ...(retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}) },
    ...(status === 401 || status === 403
      ? { hint: 'Check the name; if the repository is private, give credentials that may pull it.' }
      : {}),
    ...(status === 404 ? { hint: 'Check the name and the tag.' } : {}),
  });
}

function wordsOf(body: Buffer): string {
  try {
    const document = parseJsonObject(body, 'the answer');
    const errors = Array.isArray(document.errors) ? document.errors : [];
    return errors
      .map((each: { code?: unknown; message?: unknown }) => [each.code, each.message].filter(text => typeof text === 'string').join(': '))
      .join('; ');
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

/** What is thrown when no further try is made: always the house's error. */
export function toFinal(error: unknown, registry: string): unknown {
  if (isUmiakError(error)) return error;
  const isUntrusted = /CERT|SELF_SIGNED|ISSUER/.test((error as NodeJS.ErrnoException).code ?? '');
  return new UmiakError('ServiceUnavailable', `the registry ${registry} can't be reached: ${messageOf(error)}`, {
    hint: isUntrusted
      ? 'Name the authority of its certificate by `ca` in its hosts.toml.'
      : 'Check its name, the network and proxy settings.',
    cause: error,
  });
}
