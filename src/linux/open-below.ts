import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { declare, errno, SyscallError } from './libc.ts';

const SYS_OPENAT2 = 437;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const ENOENT = 2;
const EAGAIN = 11;
const EXDEV = 18;
const ENOTDIR = 20;
const ELOOP = 40;

/** Of a path with `..`: what is mounted or renamed meanwhile, anywhere on the machine, ends one. */
const MOST_TRIES = 1000;

const openat2Call = declare('long syscall(long number, long directory, const char *path, const void *how, long size)');

/**
 * Opens `path` as a process whose root is `root` would see it: symbolic links, `..` and absolute paths all stay below.
 * @returns a descriptor, or undefined where there is nothing
 * @throws SyscallError
 */
export function openBelow(root: string, path: string, flags: number): number | undefined {
  return open(root, path, flags, RESOLVE_IN_ROOT);
}

/**
 * The same, but what would lead out of `root` is nothing that is looked for below it.
 * @returns a descriptor, or why there is none
 * @throws SyscallError
 */
export function openBeneath(root: string, path: string, flags: number): number | 'missing' | 'escapes' {
  try {
    return open(root, path, flags, RESOLVE_BENEATH) ?? 'missing';
  } catch (error) {
    if (error instanceof SyscallError && error.errno === EXDEV) return 'escapes';
    throw error;
  }
}

function open(root: string, path: string, flags: number, resolve: number): number | undefined {
  const directory = openSync(root, constants.O_DIRECTORY | O_PATH);
  try {
    const how = Buffer.alloc(24);
    how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
    how.writeBigUInt64LE(BigInt(resolve | RESOLVE_NO_MAGICLINKS), 16);
    for (let tries = 1; ; tries++) {
      const fd = Number(openat2Call(SYS_OPENAT2, directory, path, how, how.length));
      if (fd >= 0) return fd;
      const code = errno();
      if (code === ENOENT || code === ENOTDIR || code === ELOOP) return undefined;
      if (code !== EAGAIN || tries === MOST_TRIES) throw new SyscallError(`open ${path} below ${root}`, code);
    }
  } finally {
    closeSync(directory);
  }
}

/**
 * Reads a regular file below `root`, at most `maxBytes`; what is missing, or is no regular file, is empty. What something is is seen before
 * it is opened for reading: opening a device has effects.
 */
export function readBelow(root: string, path: string, maxBytes = 1 << 20): string {
  const place = openBelow(root, path, O_PATH);
  if (place === undefined) return '';
  try {
    const stat = fstatSync(place);
    if (!stat.isFile()) return '';
    const fd = openSync(`/proc/self/fd/${place}`, constants.O_RDONLY);
    try {
      const bytes = Buffer.alloc(Math.min(maxBytes, Math.max(1, stat.size)));
      return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(place);
  }
}
