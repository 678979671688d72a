import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open, rename, rm, stat, unlink, utimes } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { newNameSuffix } from '#base/ids.ts';
import { listUncompressed, removeUnfinished } from './log-files.ts';

/**
 * Compresses rotated files of a log to `<name>.<time>.gz`, oldest first, all but the newest, which its writer may still be about to leave.
 * The work is done beside the event loop. Killed anywhere, the log is whole: the file goes when its compressed form is on the disk, and
 * what is half made is removed the next time.
 */
export async function compressRotated(logPath: string, signal?: AbortSignal): Promise<void> {
  removeUnfinished(logPath);
  for (const file of listUncompressed(logPath)) {
    const unfinished = `${file}.tmp`;
    try {
      const { atime, mtime } = await stat(file);
      await pipeline(createReadStream(file), createGzip(), createWriteStream(unfinished, { mode: 0o640, flush: true }), { signal });
      // It is still known by the time of its last line, to readers that had it open among others.
      await utimes(unfinished, atime, mtime);
      await rename(unfinished, `${file}.gz`);
      await rm(file, { force: true });
    } catch (error) {
      await rm(unfinished, { force: true });
      if (signal?.aborted) return;
      throw error;
    }
  }
}

/** A compressed file as it was: unpacked beside it into a file without a name, so that it is read from any place, and gone when closed. */
export async function openCompressed(file: string): Promise<FileHandle> {
  const path = `${file}.read${newNameSuffix(10)}`;
  const { atime, mtime } = await stat(file);
  const handle = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
    await pipeline(createReadStream(file), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await handle.appendFile(chunk);
    });
    await handle.utimes(atime, mtime);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}
