import { futimesSync, lutimesSync } from 'node:fs';
import { check, declare } from '#linux/libc.ts';

const mknod = declare('int mknod(const uint8_t *path, unsigned int mode, unsigned long device)');
const lsetxattr = declare('int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)');
const utimensat = declare('int utimensat(int directory, const uint8_t *path, const uint8_t *times, int flags)');
const futimens = declare('int futimens(int fd, const uint8_t *times)');
const syncfs = declare('int syncfs(int fd)');

const nodeTypes = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

/** Makes a device node or fifo, mknod(2). Paths are bytes. */
export function makeNode(path: Buffer, type: keyof typeof nodeTypes, mode: number, devMajor = 0, devMinor = 0): void {
  check(mknod(toCString(path), nodeTypes[type] | mode, toDevice(devMajor, devMinor)), 'mknod');
}

/** Sets one extended attribute without following a symlink, lsetxattr(2). */
export function setXattr(path: Buffer, name: string, value: Buffer): void {
  check(lsetxattr(toCString(path), name, value.length === 0 ? Buffer.alloc(1) : value, value.length, 0), `lsetxattr ${name}`);
}

/** When something was changed: seconds since the epoch, and of these the part below a second exactly where that is known. */
interface FileTime {
  mtime: number;
  mtimeNanos?: number;
}

/** Sets the times of a file, directory or link without following it. */
export function setTime(path: Buffer, { mtime, mtimeNanos }: FileTime): void {
  if (mtimeNanos === undefined) lutimesSync(path, mtime, mtime);
  else check(utimensat(AT_FDCWD, toCString(path), toTimes(mtime, mtimeNanos), AT_SYMLINK_NOFOLLOW), 'utimensat');
}

/** Sets the times of an open file. */
export function setFileTime(fd: number, { mtime, mtimeNanos }: FileTime): void {
  if (mtimeNanos === undefined) futimesSync(fd, mtime, mtime);
  else check(futimens(fd, toTimes(mtime, mtimeNanos)), 'futimens');
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;

/** Two `struct timespec`. */
function toTimes(mtime: number, nanos: number): Buffer {
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(BigInt(Math.floor(mtime)), at);
    times.writeBigInt64LE(BigInt(nanos), at + 8);
  }
  return times;
}

/** Writes back everything of the file system that holds `fd`, syncfs(2). Blocks: for worker threads. */
export function syncFileSystem(fd: number): void {
  check(syncfs(fd), 'syncfs');
}

/** glibc's `makedev`. */
export function toDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
}

function toCString(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
