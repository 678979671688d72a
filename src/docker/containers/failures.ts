import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';

/** Why a container could not be started, in the words by which docker's command tells 127 and 126 from 125. Pure. */
export function toStartError(error: unknown): UmiakError {
  if (isUmiakError(error) && !['InternalError', 'Invalid'].includes(error.reason)) return error;
  const message = messageOf(error);
  const missing = /executable file [`'"]?([^`'"]+?)[`'"]? not found/.exec(message)?.[1];
  const said = missing === undefined ? message : `exec: ${JSON.stringify(missing)}: executable file not found in $PATH`;
  const isClients = /not found|no such file|permission denied|is a directory|not a directory|invalid|no user|no group/i.test(said);
  const reason = isClients || isUmiakError(error, 'Invalid') ? 'BadRequest' : 'InternalError';
  return new UmiakError(reason, `failed to create task for container: OCI runtime create failed: ${said.trim()}`, { cause: error });
}

/** The exit code that docker gives a container that could not be started. Pure. */
export function startExitCode(error: unknown): number {
  const message = messageOf(error);
  if (/permission denied|is a directory/i.test(message)) return 126;
  return /not found|no such file/i.test(message) ? 127 : 128;
}
