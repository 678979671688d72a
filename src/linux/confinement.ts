import { closeSync, constants, openSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { check, declare } from './libc.ts';
import { unshare } from './namespaces.ts';

const chrootCall = declare('int chroot(const char *path)');
const fchdirCall = declare('int fchdir(int fd)');

const CLONE_FS = 0x00000200;
const O_PATH = 0o10000000;

let hasOwnRoot = false;

/**
 * Gives the calling worker thread, for good, a root and a working directory of its own. libuv's pool keeps the process's: in this thread files
 * are to be worked on synchronously.
 */
export function takeOwnRoot(): void {
  if (isMainThread) throw new UmiakError('InternalError', 'the main thread keeps the root that all others share');
  if (!hasOwnRoot) check(unshare(CLONE_FS), 'unshare fs');
  hasOwnRoot = true;
}

/**
 * Does synchronous work on this thread with `root` (a path, or a descriptor of a directory) as its root, and returns to its own: in between no
 * symbolic link and no `..` leads out, whoever changes them meanwhile. Descriptors opened before stay as they are. Worker threads only.
 */
export function insideRoot<T>(root: string | number, work: () => T): T {
  takeOwnRoot();
  const own = openSync('/', constants.O_DIRECTORY | O_PATH);
  const directory = typeof root === 'number' ? root : openSync(root, constants.O_DIRECTORY | O_PATH);
  try {
    enter(directory);
    try {
      return work();
    } finally {
      enter(own);
    }
  } finally {
    closeSync(own);
    if (typeof root !== 'number') closeSync(directory);
  }
}

/** The same for good: the thread has no way back. */
export function enterRoot(root: number): void {
  takeOwnRoot();
  enter(root);
}

function enter(directory: number): void {
  check(fchdirCall(directory), 'fchdir');
  check(chrootCall('.'), 'chroot');
}
