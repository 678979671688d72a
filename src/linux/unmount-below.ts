import { SyscallError } from './libc.ts';
import { MS_PRIVATE, MS_REC, mount, umount, umountInThread } from './mount.ts';
import { mountsBelow } from './mount-table.ts';

const EINVAL = 22;
const ENOENT = 2;

/**
 * Unmounts all that is mounted at or below a directory, the deepest first, and nothing elsewhere: where the machine shares its mounts,
 * what lies in a bind mount would be unmounted at the place that was bound, too, so it is cut off first.
 */
export function unmountBelow(directory: string): void {
  const targets = mountsBelow(directory);
  for (const target of targets) cutOff(target);
  for (const target of targets.reverse()) {
    cutOff(target); // what lay under another until now
    ifMounted(() => umount(target, { detach: true })); // what is still under another goes with what it is mounted in
  }
}

/** The same for one mount with those in it, on a thread of libuv's pool. Where nothing is mounted there is nothing to do. */
export async function unmountAlone(target: string): Promise<void> {
  cutOff(target);
  await umountInThread(target);
}

function cutOff(target: string): void {
  ifMounted(() => mount('none', target, null, MS_PRIVATE | MS_REC));
}

function ifMounted(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SyscallError && (error.errno === EINVAL || error.errno === ENOENT))) throw error;
  }
}
