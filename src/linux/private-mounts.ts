import { closeSync, constants, openSync } from 'node:fs';
import { check, declare } from './libc.ts';
import { MS_PRIVATE, MS_REC, mount } from './mount.ts';
import { unshare } from './namespaces.ts';

const syscall = declare('long syscall(long number, const char *newRoot, const char *oldRoot)');
const fchdirCall = declare('int fchdir(int fd)');
const chdirCall = declare('int chdir(const char *path)');
const umountCall = declare('int umount2(const char *target, int flags)');

const CLONE_NEWNS = 0x00020000;
const SYS_PIVOT_ROOT = process.arch === 'arm64' ? 41 : 155;
const MNT_DETACH = 2;

/**
 * Gives the calling thread, for good, a mount table of its own: what it mounts nobody else sees, and it ends with the thread. Files must be
 * worked on synchronously there: libuv's pool stays outside, if it was used before.
 */
export function takePrivateMounts(): void {
  check(unshare(CLONE_NEWNS), 'unshare mnt');
  mount('none', '/', null, MS_REC | MS_PRIVATE);
}

/** Makes the mount at `path` all that this thread, which has taken private mounts, can see: no other mount stays held by it. */
export function pivotInto(path: string): void {
  const root = openSync(path, constants.O_DIRECTORY);
  try {
    check(fchdirCall(root), `chdir ${path}`);
  } finally {
    closeSync(root);
  }
  // The old root ends up on top of the new one, from where it is taken off: pivot_root(2).
  check(Number(syscall(SYS_PIVOT_ROOT, '.', '.')), `pivot_root ${path}`);
  check(umountCall('.', MNT_DETACH), 'umount the old root');
  check(chdirCall('/'), 'chdir /');
}
