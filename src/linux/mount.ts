import { callInThread, check, declare, SyscallError } from './libc.ts';

const ENOENT = 2;
const EINVAL = 22;

const mountCall = declare('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)');
const umountCall = declare('int umount2(const char *target, int flags)');

/** Flags of `mount(2)`. */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_NOATIME = 1024;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_PRIVATE = 1 << 18;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;

/** Flags of `umount2(2)`. */
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * `mount(2)`: one system call, synchronous.
 * @throws SyscallError with the target's path
 */
export function mount(source: string, target: string, type: string | null, flags = 0, data: string | null = null): void {
  check(mountCall(source, target, type, flags, data), `mount ${type ?? (flags & MS_BIND ? 'bind' : '')} ${source} on ${target}`);
}

/** `mount` on a thread of libuv's pool, for file systems that work when they are mounted. @throws SyscallError with the target's path */
export async function mountInThread(source: string, target: string, type: string, flags = 0, data: string | null = null): Promise<void> {
  const result = await callInThread(mountCall, source, target, type, flags, data);
  if (result < 0) mount(source, target, type, flags, data); // once more here, where errno can be asked
}

/**
 * `umount2(2)`; `detach` (lazily, the default is not) takes it out of the tree at once, whoever still uses it. Never follows a symbolic link.
 * @throws SyscallError with the target's path
 */
export function umount(target: string, { detach = false }: { detach?: boolean } = {}): void {
  check(umountCall(target, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)), `umount ${target}`);
}

/**
 * `umount` with `detach` on a thread of libuv's pool, since the kernel waits until no CPU looks at the mount any more.
 * Where nothing is mounted there is nothing to do. @throws SyscallError with the target's path
 */
export async function umountInThread(target: string): Promise<void> {
  const result = await callInThread(umountCall, target, UMOUNT_NOFOLLOW | MNT_DETACH);
  if (result === 0) return;
  try {
    umount(target, { detach: true }); // once more here, where errno can be asked
  } catch (error) {
    if (!(error instanceof SyscallError && (error.errno === EINVAL || error.errno === ENOENT))) throw error;
  }
}
