import { check } from './libc.ts';
import { MS_PRIVATE, MS_REC, mount } from './mount.ts';
import { unshare } from './namespaces.ts';

const CLONE_NEWNS = 0x00020000;

/**
 * Gives the calling thread, for good, a mount table of its own: what it mounts nobody else sees, and it ends with the thread. Files must be
 * worked on synchronously there: libuv's pool stays outside, if it was used before.
 */
export function takePrivateMounts(): void {
  check(unshare(CLONE_NEWNS), 'unshare mnt');
  mount('none', '/', null, MS_REC | MS_PRIVATE);
}
