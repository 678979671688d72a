import { isUmiakError, messageOf, type Reason } from '#base/errors.ts';

const STATUS: Record<Reason, number> = {
  BadRequest: 400,
  Invalid: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  Timeout: 504,
};

/** Any failure in docker's form: a status and the sentence that its clients print. */
export function toDockerError(error: unknown): { status: number; message: string } {
  if (!isUmiakError(error)) return { status: 500, message: messageOf(error) };
  // Clients tell a missing image by docker's spelling.
  const message = error.message.replace(/^no such image:/, 'No such image:');
  return { status: STATUS[error.reason], message: error.hint ? `${message} (${error.hint})` : message };
}
