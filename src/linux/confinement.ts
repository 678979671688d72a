import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { check, declare } from './libc.ts';
import { unshare } from './namespaces.ts';

const chrootCall = declare('int chroot(const char *path)');
const fchdirCall = declare('int fchdir(int fd)');
const openatCall = declare('int openat(int directory, const char *path, int flags)');
const closeCall = declare('int close(int fd)');

const CLONE_FS = 0x00000200;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const OWN_FILES = '/proc/self/fd';

let hasOwnRoot = false;
/** The process's descriptors as links, for this thread once it sees another root. */
let ownFiles: number | undefined;

/**
 * Gives the calling worker thread, for good, a root and a working directory of its own. libuv's pool keeps the process's: in this thread files
 * are to be worked on synchronously.
 */
export function takeOwnRoot(): void {
  if (isMainThread) throw new UmiakError('InternalError', 'the main thread keeps the root that all others share');
  if (hasOwnRoot) return;
  check(unshare(CLONE_FS), 'unshare fs');
  ownFiles = openSync(OWN_FILES, constants.O_DIRECTORY | O_PATH);
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

/** A file that is open for reading until it is disposed. */
export interface OpenedFile extends Disposable {
  fd: number;
  stat: BigIntStats;
}

/**
 * Opens a regular file for reading, as this thread sees its path; undefined for all else. What something is is seen before it is opened: to open
 * a device, a pipe or a link that somebody put in a file's place has effects.
 */
export function openRegular(path: Buffer): OpenedFile | undefined {
  const place = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(place, { bigint: true });
    if (!stat.isFile()) return undefined;
    const fd = check(openatCall(ownFiles ?? AT_FDCWD, ownFiles ? `${place}` : `${OWN_FILES}/${place}`, O_CLOEXEC), 'open a file');
    return { fd, stat, [Symbol.dispose]: () => closeCall(fd) };
  } finally {
    closeSync(place);
  }
}

const AT_FDCWD = -100;

function enter(directory: number): void {
  check(fchdirCall(directory), 'fchdir');
  check(chrootCall('.'), 'chroot');
}
