import { type ErrorDetails, type FieldCause, isUmiakError, type Reason, UmiakError } from '#base/errors.ts';
import { codeOf } from '#base/reason-codes.ts';

/** `metav1.Status`. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: { continue?: string };
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: { reason: string; message: string; field?: string }[];
    retryAfterSeconds?: number;
  };
  code?: number;
}

/** An expired list's error may carry the token with which the rest can be had inconsistently. */
export class ExpiredContinue extends UmiakError {
  readonly continueToken: string;

  constructor(continueToken: string) {
    super(
      'Expired',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
        'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
        'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted ' +
        'between the time the first chunk was returned and now may show up in the list.',
    );
    this.continueToken = continueToken;
  }
}

/** A whole Status that somebody else gave, passed on as it is: a webhook's. */
export class StatusError extends UmiakError {
  readonly status: Status & { code: number };

  constructor(status: Status & { code: number }) {
    super('Forbidden', status.message ?? '');
    this.status = status;
  }
}

/** The edge's one mapper from whatever was thrown to what a client reads. Unknown errors say nothing of their insides. */
export function toStatus(error: unknown): Status & { code: number } {
  if (error instanceof StatusError) return error.status;
  if (!isUmiakError(error)) return failure('InternalError', 'Internal error occurred: the server failed to answer this request');
  const status = failure(error.reason, error.hint ? `${error.message}: ${error.hint}` : error.message, error.details);
  if (error instanceof ExpiredContinue) status.metadata.continue = error.continueToken;
  return status;
}

function failure(reason: Reason, message: string, details: ErrorDetails = {}): Status & { code: number } {
  const status: Status & { code: number } = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code: codeOf(reason),
  };
  if (Object.keys(details).length > 0) status.details = { ...details };
  return status;
}

/** What names a resource in messages and details: `pods`, `deployments.apps`. */
export interface Named {
  group: string;
  plural: string;
  kind: string;
}

const qualified = ({ group, plural }: Named) => (group ? `${plural}.${group}` : plural);
const detailsOf = ({ group, plural }: Named, name: string): ErrorDetails => ({ name, ...(group && { group }), kind: plural });

/** `pods "x" not found`. */
export function notFound(resource: Named, name: string): UmiakError {
  return new UmiakError('NotFound', `${qualified(resource)} "${name}" not found`, { details: detailsOf(resource, name) });
}

/** `pods "x" already exists`. */
export function alreadyExists(resource: Named, name: string): UmiakError {
  return new UmiakError('AlreadyExists', `${qualified(resource)} "${name}" already exists`, { details: detailsOf(resource, name) });
}

/** `Operation cannot be fulfilled on pods "x": …`. */
export function conflict(resource: Named, name: string, why: string): UmiakError {
  return new UmiakError('Conflict', `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`, {
    details: detailsOf(resource, name),
  });
}

/** What a stale `resourceVersion` is told. */
export const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

/** `Pod "x" is invalid: spec.a: Required value`, with the causes as details. */
export function invalid({ kind, group }: Named, name: string, causes: FieldCause[]): UmiakError {
  const lines = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  return new UmiakError('Invalid', `${group ? `${kind}.${group}` : kind} "${name}" is invalid: ${list}`, {
    details: { name, ...(group && { group }), kind, causes },
  });
}

/** `pods "x" is forbidden: …`. */
export function forbidden(resource: Named, name: string, why: string): UmiakError {
  return new UmiakError('Forbidden', `${qualified(resource)}${name ? ` "${name}"` : ''} is forbidden: ${why}`, {
    details: detailsOf(resource, name),
  });
}

export function badRequest(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}
