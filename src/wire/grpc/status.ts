import { isUmiakError, messageOf, type Reason, UmiakError } from '#base/errors.ts';

/** gRPC's status codes by their names (grpc/grpc, "statuscodes.md"). */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export interface GrpcStatus {
  code: number;
  message: string;
}

/** A failure that a gRPC peer told, or one of the protocol itself, whose code says more than a `Reason` could. */
export class GrpcError extends Error {
  readonly code: number;

  constructor(code: keyof typeof GrpcCode | number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GrpcError';
    this.code = typeof code === 'number' ? code : GrpcCode[code];
  }
}

const CODES: Record<Reason, keyof typeof GrpcCode> = {
  BadRequest: 'INVALID_ARGUMENT',
  Invalid: 'INVALID_ARGUMENT',
  NotAcceptable: 'INVALID_ARGUMENT',
  UnsupportedMediaType: 'INVALID_ARGUMENT',
  Unauthorized: 'UNAUTHENTICATED',
  Forbidden: 'PERMISSION_DENIED',
  NotFound: 'NOT_FOUND',
  Gone: 'NOT_FOUND',
  MethodNotAllowed: 'UNIMPLEMENTED',
  NotImplemented: 'UNIMPLEMENTED',
  AlreadyExists: 'ALREADY_EXISTS',
  Conflict: 'FAILED_PRECONDITION',
  Expired: 'OUT_OF_RANGE',
  RequestEntityTooLarge: 'RESOURCE_EXHAUSTED',
  TooManyRequests: 'RESOURCE_EXHAUSTED',
  ServiceUnavailable: 'UNAVAILABLE',
  Timeout: 'DEADLINE_EXCEEDED',
  InternalError: 'INTERNAL',
};

/** Any failure in gRPC's form. */
export function toGrpcStatus(error: unknown): GrpcStatus {
  if (error instanceof GrpcError) return { code: error.code, message: error.message };
  if (!isUmiakError(error)) return { code: GrpcCode.UNKNOWN, message: messageOf(error) };
  return { code: GrpcCode[CODES[error.reason]], message: error.hint ? `${error.message} (${error.hint})` : error.message };
}

const REASONS: Record<number, Reason> = {
  [GrpcCode.INVALID_ARGUMENT]: 'BadRequest',
  [GrpcCode.DEADLINE_EXCEEDED]: 'Timeout',
  [GrpcCode.NOT_FOUND]: 'NotFound',
  [GrpcCode.ALREADY_EXISTS]: 'AlreadyExists',
  [GrpcCode.PERMISSION_DENIED]: 'Forbidden',
  [GrpcCode.RESOURCE_EXHAUSTED]: 'TooManyRequests',
  [GrpcCode.FAILED_PRECONDITION]: 'Conflict',
  [GrpcCode.ABORTED]: 'Conflict',
  [GrpcCode.OUT_OF_RANGE]: 'Expired',
  [GrpcCode.UNIMPLEMENTED]: 'NotImplemented',
  [GrpcCode.UNAVAILABLE]: 'ServiceUnavailable',
  [GrpcCode.UNAUTHENTICATED]: 'Unauthorized',
};

/** What a peer's status means in the house's words; its own stays as the cause. */
export function fromGrpcStatus(code: number, message: string): UmiakError {
  return new UmiakError(REASONS[code] ?? 'InternalError', message, { cause: new GrpcError(code, message) });
}

/** `grpc-message`: printable ASCII as it is, all else and `%` as percent and hexadecimal digits of its UTF-8. */
export function encodeGrpcMessage(message: string): string {
  return Buffer.from(message.slice(0, MOST_MESSAGE_CHARACTERS))
    .toString('latin1')
    .replaceAll(/[^\x20-\x24\x26-\x7e]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** Trailers have a bound of their own at many clients (8 KiB). */
const MOST_MESSAGE_CHARACTERS = 2000;

/** Never throws: what is not well encoded stays as it came. */
export function decodeGrpcMessage(text: string): string {
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(bytes, 'latin1').toString();
}

const UNITS_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` (`100m`, `5S`) in milliseconds; undefined when there is none or it is not well formed. */
export function parseGrpcTimeout(text: string | undefined): number | undefined {
  const found = /^(\d{1,8})([HMSmun])$/.exec(text ?? '');
  return found ? Number(found[1]) * (UNITS_MS[found[2] ?? ''] ?? 0) : undefined;
}

/** The other way; at most 8 digits. */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.max(0, Math.ceil(ms));
  return whole < 100_000_000 ? `${whole}m` : `${Math.min(Math.ceil(whole / 1000), 99_999_999)}S`;
}
