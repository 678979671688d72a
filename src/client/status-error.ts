import { type ErrorDetails, UmiakError } from '#base/errors.ts';
import { isReason, reasonOf } from '#base/reason-codes.ts';

interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { kind?: string; group?: string; name?: string; uid?: string; causes?: ErrorDetails['causes']; retryAfterSeconds?: number };
}

/** The error that a `metav1.Status` (or whatever came instead of one) says. */
export function fromStatus(body: unknown, httpStatus: number): UmiakError {
  const status: StatusBody = typeof body === 'object' && body !== null ? body : {};
  const code = status.code ?? httpStatus;
  const named = status.reason !== undefined && isReason(status.reason) ? status.reason : undefined;
  const { causes, ...details } = status.details ?? {};
  return new UmiakError(named ?? reasonOf(code), status.message ?? `the API answered ${code}`, {
    details: { ...details, ...(causes ? { causes } : {}) },
  });
}
