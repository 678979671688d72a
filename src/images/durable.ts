import { type FileHandle, open } from 'node:fs/promises';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';

/** Makes renames and unlinks in `dir` durable. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  await handle.sync().finally(() => handle.close());
}

/** Turns "no such file" into undefined, for `.catch(absent)`. */
export function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

export async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength; ) offset += (await file.write(chunk, offset, chunk.byteLength - offset)).bytesWritten;
}

const DISK_SAYS: Record<string, string> = {
  ENOSPC: 'there is no space left on the disk',
  EDQUOT: "the disk's quota is used up",
  EROFS: 'the file system is read-only',
};

/** A failure of the disk in words; all else as it is. `doing` is what could not be done, `dir` where. */
export function toDiskError(error: unknown, doing: string, dir: string): unknown {
  const code =
    isUmiakError(error) && error.reason !== 'InternalError' ? undefined : /\b(ENOSPC|EDQUOT|EROFS)\b/.exec(messageOf(error))?.[1];
  if (code === undefined) return error;
  return new UmiakError('InternalError', `${doing}: ${DISK_SAYS[code]} of ${dir}`, {
    hint: code === 'EROFS' ? 'See what the kernel says of the disk: dmesg.' : 'Make room: umiak image rm, docker image prune.',
    cause: error,
  });
}
