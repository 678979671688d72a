import type { Dirent } from 'node:fs';
import { readdir, rmdir, unlink } from 'node:fs/promises';

/** How many entries of one directory go at the same time. */
const AT_ONCE = 32;

/**
 * Removes a file or a directory with all that is in it; nothing there is as good. Empty directories, of which a container's are mostly made, cost one
 * call each, a quarter of what `rm` takes. Links are removed, never followed.
 */
export async function removeTree(path: string): Promise<void> {
  const code = await codeOf(rmdir(path));
  if (code === undefined || code === 'ENOENT') return;
  if (code === 'ENOTDIR') return void (await unless('ENOENT', unlink(path)));
  if (code !== 'ENOTEMPTY' && code !== 'EEXIST') await rmdir(path);
  const entries = await readdir(path, { withFileTypes: true });
  for (let at = 0; at < entries.length; at += AT_ONCE)
    await Promise.all(entries.slice(at, at + AT_ONCE).map(entry => removeEntry(path, entry)));
  await unless('ENOENT', rmdir(path));
}

async function removeEntry(directory: string, entry: Dirent): Promise<void> {
  const path = `${directory}/${entry.name}`;
  if (entry.isDirectory()) await removeTree(path);
  else await unless('ENOENT', unlink(path));
}

async function codeOf(work: Promise<void>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}

async function unless(expected: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== expected) throw error;
  }
}
