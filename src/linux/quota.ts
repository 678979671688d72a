import { closeSync, constants, openSync } from 'node:fs';
import { declare } from './libc.ts';

const syscall = declare('long syscall(long number, int fd, unsigned int command, unsigned int id, void *address)');

/** The same number on every architecture. */
const QUOTACTL_FD = 443;
const Q_GETQUOTA = 0x800007;
const PRJQUOTA = 2;
const SIZE_OF_DQBLK = 72;

/** Whether the file system that `directory` is on counts by project now; false, too, where the kernel (before 5.14) can't be asked so. */
export function hasProjectQuota(directory: string): boolean {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return Number(syscall(QUOTACTL_FD, fd, ((Q_GETQUOTA << 8) | PRJQUOTA) >>> 0, 0, Buffer.alloc(SIZE_OF_DQBLK))) === 0;
  } finally {
    closeSync(fd);
  }
}
