import { callInThread, declare } from './libc.ts';

const FTW_PHYS = 1;
const FTW_MOUNT = 2;
const FTW_DEPTH = 8;
/** Directories that are held open; below that it goes on more slowly. */
const DESCRIPTORS = 16;

const nftw = declare('int nftw(const char *path, void *visit, int descriptors, int flags)');
const symbol = declare('void *dlsym(void *library, const char *name)');
/** What `nftw` is to call for each, children first; it takes the path and looks at nothing more. */
const remove: unknown = symbol(null, 'remove');

/**
 * Removes a small directory with all that is in it, on its own file system, in one go on a thread of libuv's pool, which a large one would
 * hold; links are removed, never followed. False when something is left, or nothing was there.
 */
export async function removeAtOnce(path: string): Promise<boolean> {
  return (await callInThread(nftw, path, remove, DESCRIPTORS, FTW_PHYS | FTW_MOUNT | FTW_DEPTH)) === 0;
}
