import { closeSync } from 'node:fs';
import { check, declare } from './libc.ts';

const openTreeCall = declare('long syscall(long number, long directory, const char *path, long flags)');
const moveMountCall = declare('long syscall(long number, long from, const char *fromPath, long to, const char *toPath, long flags)');
const setattrCall = declare('long syscall(long number, long directory, const char *path, long flags, const void *attributes, long size)');

/** The same numbers on every architecture. */
const OPEN_TREE = 428;
const MOVE_MOUNT = 429;
const MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_IDMAP = 0x00100000;

/**
 * A view of `directory` in which what id 0 owns belongs to the id that 0 is mapped to (and so on; what has no mapping is nobody's, and
 * nothing can be made as an owner without one). A mount outside of every mount table: it is gone when its descriptor, the caller's, is closed.
 * As overlay's lower layer give it as `/proc/self/fd/<fd>`; its upper one can't be mapped, since overlay itself makes files there as root. Mounts in it are not shown. `userNamespace` is a descriptor.
 * @throws SyscallError, EINVAL where the file system has no idmapped mounts
 */
export function openIdmapped(directory: string, userNamespace: number): number {
  const fd = check(Number(openTreeCall(OPEN_TREE, AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)), `open_tree ${directory}`);
  try {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    const attributes = Buffer.alloc(32);
    attributes.writeBigUInt64LE(BigInt(MOUNT_ATTR_IDMAP), 0);
    attributes.writeBigUInt64LE(BigInt(userNamespace), 24);
    check(Number(setattrCall(MOUNT_SETATTR, fd, '', AT_EMPTY_PATH, attributes, attributes.length)), `mount_setattr idmap ${directory}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Puts what `openIdmapped` gave on `target`, where it stays until it is unmounted; the descriptor remains the caller's. @throws SyscallError */
export function attachMount(fd: number, target: string): void {
  check(Number(moveMountCall(MOVE_MOUNT, fd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)), `move_mount to ${target}`);
}
