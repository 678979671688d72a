import { mkdirSync, type Stats, statSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { requireAnswering } from '#linux/answering.ts';

/** A path of the machine that is to be mounted is there, or made. @throws BadRequest in docker's words, Timeout when its file system does not answer */
export async function requireSource(source: string, isToBeMade: boolean): Promise<void> {
  await requireAnswering([source]);
  if (statOf(source)) return;
  if (!isToBeMade) throw new UmiakError('BadRequest', `invalid mount config for type "bind": bind source path does not exist: ${source}`);
  try {
    mkdirSync(source, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new UmiakError('InternalError', `error while creating mount source path '${source}': ${(cause as Error).message}`, { cause });
  }
}

/** @throws BadRequest for what can be no path */
export function isDirectory(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

/** @throws BadRequest for what can be no path */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new UmiakError('BadRequest', `bind source path ${path.slice(0, 256)}: ${(cause as Error).message.slice(0, 256)}`, { cause });
  }
}
