/** Why something was refused or failed: Kubernetes' own closed set (`metav1.StatusReason`), used in every domain. */
export type Reason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Expired'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'Invalid'
  | 'TooManyRequests'
  | 'InternalError'
  | 'NotImplemented'
  | 'ServiceUnavailable'
  | 'Timeout';

/** One bad field, as `metav1.StatusCause` carries it. */
export interface FieldCause {
  /** `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden`, `FieldValueDuplicate`, … */
  reason: string;
  message: string;
  /** Path in Kubernetes' notation: `spec.containers[0].image`. */
  field: string;
}

export interface ErrorDetails {
  /** Resource or thing concerned, e.g. `pods`, `container`, `image`. */
  kind?: string;
  group?: string;
  name?: string;
  uid?: string;
  causes?: FieldCause[];
  retryAfterSeconds?: number;
}

export interface ErrorOptions {
  details?: ErrorDetails;
  /** What the person can do next, in one sentence. */
  hint?: string;
  cause?: unknown;
}

/** The one error of the house. Edges map it once: `toStatus`, `toDockerError`, `toOciErrors`. */
export class UmiakError extends Error {
  readonly reason: Reason;
  readonly details: ErrorDetails;
  readonly hint: string | undefined;

  constructor(reason: Reason, message: string, { details = {}, hint, cause }: ErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UmiakError';
    this.reason = reason;
    this.details = details;
    this.hint = hint;
  }
}

/** True when `error` is the house's error and, if given, bears that reason. */
export function isUmiakError(error: unknown, reason?: Reason): error is UmiakError {
  return error instanceof UmiakError && (reason === undefined || error.reason === reason);
}

/** The text of whatever was thrown, for a message that quotes its cause. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
