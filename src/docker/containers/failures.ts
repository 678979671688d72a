import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import type { Container } from '#engine/index.ts';

const MISSING = /executable file [`'"]?[^`'"]*[`'"]? not found|open executable: no such file|exec [^:]*: no such file/i;
const FORBIDDEN = /open executable: (operation not permitted|permission denied|is a directory)|exec [^:]*: permission denied/i;
/** What the client can set right: a path, a user, a limit. */
const OF_THE_CLIENT = /no such file|not found|permission denied|is a directory|not a directory|invalid/i;

/** How what networks refuse begins. */
const OF_NETWORKS = 'failed to set up container networking: ';
/** And what is refused for whom it joins. */
const OF_JOINING = 'failed to join ';

/**
 * Why a container could not be started, in the words by which docker's command tells exit codes 127 and 126 from 125. Pure.
 * `path` is the program that was to run.
 */
export function toStartError(error: unknown, path: string): UmiakError {
  const isOurs = isUmiakError(error) && !['InternalError', 'Invalid'].includes(error.reason);
  if (isOurs || (isUmiakError(error) && (error.message.startsWith(OF_NETWORKS) || error.message.startsWith(OF_JOINING)))) return error;
  const ofSpec = sayOfSpec(messageOf(error));
  // Docker takes all that keeps it from writing the runtime's configuration for a failure of its own.
  if (ofSpec !== undefined) return new UmiakError('InternalError', ofSpec, { cause: error });
  const said = say(messageOf(error), path);
  const reason = OF_THE_CLIENT.test(said) || isUmiakError(error, 'Invalid') ? 'BadRequest' : 'InternalError';
  return new UmiakError(reason, `failed to create task for container: OCI runtime create failed: ${said}`, { cause: error });
}

/** What the engine refuses to make that docker has words of its own for. Pure. */
export function toCreateError(error: unknown): unknown {
  if (!isUmiakError(error, 'Invalid') || !error.message.startsWith('writableLimitBytes: ')) return error;
  return new UmiakError('BadRequest', "--storage-opt is supported only for overlay over xfs with 'pquota' mount option", {
    cause: error,
    hint: 'Here ext4 with prjquota does, too.',
  });
}

/** What the engine finds missing before there is anything to run, in docker's words. */
const OF_THE_SPEC: readonly [RegExp, (name: string) => string][] = [
  [/^the image has no user "(.*)" in \/etc\/passwd/, name => `unable to find user ${name}: no matching entries in passwd file`],
  [/^the image has no group "(.*)" in \/etc\/group/, name => `unable to find group ${name}: no matching entries in group file`],
  [
    /^there is no device (\S+)/,
    path => `error gathering device information while adding custom device "${path}": no such file or directory`,
  ],
  [/^(\S+) is not a device of this/, path => `error gathering device information while adding custom device "${path}": not a device node`],
];

/** Docker's words for what the engine finds missing before there is anything to run; undefined for all else. Pure. */
export function sayOfSpec(message: string): string | undefined {
  for (const [pattern, says] of OF_THE_SPEC) {
    const name = pattern.exec(message)?.[1];
    if (name !== undefined) return says(name);
  }
  return undefined;
}

function say(message: string, path: string): string {
  if (MISSING.test(message))
    return path.includes('/')
      ? `exec: ${JSON.stringify(path)}: stat ${path}: no such file or directory`
      : `exec: ${JSON.stringify(path)}: executable file not found in $PATH`;
  if (FORBIDDEN.test(message)) return `exec: ${JSON.stringify(path)}: permission denied`;
  return message.trim();
}

/** The exit code of a container's last run, or that which docker gives one that could not be started. Pure. */
export function exitCodeOf({ exitCode = 0, reason, message = '' }: Container): number {
  if (reason !== 'StartError' && reason !== 'ContainerCannotRun') return exitCode;
  if (FORBIDDEN.test(message)) return 126;
  return MISSING.test(message) ? 127 : 128;
}
