import { check, declare } from '#linux/libc.ts';

const mknod = declare('int mknod(const uint8_t *path, unsigned int mode, unsigned long device)');
const lsetxattr = declare('int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)');
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
