import { isUmiakError, messageOf } from '#base/errors.ts';
import { codeOf } from '#base/reason-codes.ts';

/** Any failure in docker's form: a status and the sentence that its clients print. */
export function toDockerError(error: unknown): { status: number; message: string } {
  if (!isUmiakError(error)) return { status: 500, message: messageOf(error) };
  // Clients tell a missing image, and a name that can be none, by docker's spelling.
  const message = error.message.replace(/^no such image:/, 'No such image:').replace(/^image reference /, 'invalid reference format: ');
  // Docker's clients know what to do about that, by commands of their own.
  const hint = message.startsWith('No such image:') ? undefined : error.hint;
  // Docker has no 422.
  return { status: error.reason === 'Invalid' ? 400 : codeOf(error.reason), message: hint ? `${message} (${hint})` : message };
}
