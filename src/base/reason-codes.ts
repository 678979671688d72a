import type { Reason } from './errors.ts';

/** The HTTP status of each reason, as the Kubernetes API pairs them. Where two have one status, the first is what the status alone says. */
const CODES: Record<Reason, number> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  Conflict: 409,
  AlreadyExists: 409,
  Expired: 410,
  Gone: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  Timeout: 504,
};

export function codeOf(reason: Reason): number {
  return CODES[reason];
}

/** What a status says when nothing else does. */
export function reasonOf(code: number): Reason {
  return (Object.keys(CODES) as Reason[]).find(reason => CODES[reason] === code) ?? 'InternalError';
}

export function isReason(text: string): text is Reason {
  return Object.hasOwn(CODES, text);
}
