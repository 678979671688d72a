import { execFile } from 'node:child_process';
import { rmdir } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';

/**
 * Removes a directory with all that is in it, on its own file system: by another process, since trees can be large, deeper than a path can say, and
 * be swapped for links meanwhile. An empty one, and one that is not there, cost no process.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rmdir(path);
    return;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code !== 'ENOTEMPTY' && code !== 'ENOTDIR') throw error;
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  execFile('rm', ['-rf', '--one-file-system', '--', path], { env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' } }, (error, _, stderr) => {
    if (error)
      reject(
        new UmiakError('InternalError', `${path} can't be removed: ${stderr.trim().slice(0, 500) || error.message}`, { cause: error }),
      );
    else resolve();
  });
  await promise;
}
