import { type ErrorDetails, type Reason, UmiakError } from '#base/errors.ts';

interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { kind?: string; group?: string; name?: string; uid?: string; causes?: ErrorDetails['causes']; retryAfterSeconds?: number };
}

const REASON_BY_CODE: Record<number, Reason> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  501: 'NotImplemented',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

const KNOWN = new Set<string>([...Object.values(REASON_BY_CODE), 'AlreadyExists', 'Gone', 'NotAcceptable', 'InternalError']);

/** The error that a `metav1.Status` (or whatever came instead of one) says. */
export function fromStatus(body: unknown, httpStatus: number): UmiakError {
  const status: StatusBody = typeof body === 'object' && body !== null ? body : {};
  const code = status.code ?? httpStatus;
  const named = status.reason !== undefined && KNOWN.has(status.reason) ? (status.reason as Reason) : undefined;
  const { causes, ...details } = status.details ?? {};
  return new UmiakError(named ?? REASON_BY_CODE[code] ?? 'InternalError', status.message ?? `the API answered ${code}`, {
    details: { ...details, ...(causes ? { causes } : {}) },
  });
}
