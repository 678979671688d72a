import { futimesSync, lutimesSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { callInThread, check, declare, errno, SyscallError } from './libc.ts';

const mknod = declare('int mknod(const uint8_t *path, unsigned int mode, unsigned long device)');
const lsetxattr = declare('int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)');
const llistxattr = declare('long llistxattr(const uint8_t *path, _Out_ uint8_t *list, size_t size)');
const lgetxattr = declare('long lgetxattr(const uint8_t *path, const char *name, _Out_ uint8_t *value, size_t size)');
const lremovexattr = declare('int lremovexattr(const uint8_t *path, const char *name)');
const lseek = declare('long lseek(int fd, long offset, int whence)');
const utimensat = declare('int utimensat(int directory, const uint8_t *path, const uint8_t *times, int flags)');
const futimens = declare('int futimens(int fd, const uint8_t *times)');
const syncfs = declare('int syncfs(int fd)');
const syncFileRange = declare('int sync_file_range(int fd, long offset, long length, unsigned int flags)');

const nodeTypes = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

/** Makes a device node or fifo, mknod(2). Paths are bytes. */
export function makeNode(path: Buffer, type: keyof typeof nodeTypes, mode: number, devMajor = 0, devMinor = 0): void {
  check(mknod(toCString(path), nodeTypes[type] | mode, toDevice(devMajor, devMinor)), 'mknod');
}

/** Sets one extended attribute without following a symlink, lsetxattr(2). */
export function setXattr(path: Buffer, name: string, value: Buffer): void {
  check(lsetxattr(toCString(path), name, value.length === 0 ? Buffer.alloc(1) : value, value.length, 0), `lsetxattr ${name}`);
}

/** Names of a file's extended attributes, without following a symlink; none where the file system has no such thing. */
export function listXattrs(path: Buffer): string[] {
  const name = toCString(path);
  for (;;) {
    const size = Number(llistxattr(name, null, 0));
    if (size === 0 || (size < 0 && errno() === EOPNOTSUPP)) return [];
    const list = Buffer.alloc(check(size, 'llistxattr'));
    const length = Number(llistxattr(name, list, list.length));
    if (length >= 0) return list.toString('latin1', 0, length).split('\0').slice(0, -1);
    if (errno() !== ERANGE) throw new SyscallError('llistxattr', errno());
  }
}

/** One extended attribute, undefined where there is none, without following a symlink. */
export function getXattr(path: Buffer, name: string): Buffer | undefined {
  const value = Buffer.alloc(MAX_XATTR_BYTES);
  const length = Number(lgetxattr(toCString(path), name, value, value.length));
  if (length >= 0) return Buffer.from(value.subarray(0, length));
  if (errno() === ENODATA || errno() === EOPNOTSUPP) return undefined;
  throw new SyscallError(`lgetxattr ${name}`, errno());
}

export function removeXattr(path: Buffer, name: string): void {
  check(lremovexattr(toCString(path), name), `lremovexattr ${name}`);
}

/** Where the next data (or hole) at or behind `offset` begins, lseek(2); undefined behind the last data. */
export function seekTo(fd: number, what: 'data' | 'hole', offset: number): number | undefined {
  const found = Number(lseek(fd, offset, what === 'data' ? SEEK_DATA : SEEK_HOLE));
  if (found >= 0) return found;
  if (errno() === ENXIO) return undefined;
  throw new SyscallError('lseek', errno());
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const ERANGE = 34;
const ENODATA = 61;
const EOPNOTSUPP = 95;
/** The kernel's limit. */
const MAX_XATTR_BYTES = 65_536;

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

/** The same, by a thread of libuv's pool. */
export async function syncFileSystemInThread(fd: number): Promise<void> {
  if ((await callInThread(syncfs, fd)) !== 0) throw new UmiakError('InternalError', 'syncfs failed');
}

/** Lets the kernel begin to write a part of a file back, without waiting: so that the disk works meanwhile. A hint; failures mean nothing. */
export function beginWriteBack(fd: number, offset: number, length: number): void {
  syncFileRange(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

const SYNC_FILE_RANGE_WRITE = 2;

/** glibc's `makedev`. */
export function toDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
}

/** The parts of what `toDevice` makes. */
export function fromDevice(device: bigint): [major: number, minor: number] {
  return [Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)), Number((device & 0xffn) | ((device >> 12n) & ~0xffn))];
}

function toCString(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
