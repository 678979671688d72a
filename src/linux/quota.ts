import { closeSync, constants, openSync } from 'node:fs';
import { check, declare, errno, SyscallError } from './libc.ts';

const quotactlCall = declare('long syscall(long number, int fd, unsigned int command, unsigned int id, _Inout_ uint8_t *address)');
const ioctlCall = declare('int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)');

/** The same number on every architecture. */
const QUOTACTL_FD = 443;
const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const PRJQUOTA = 2;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_PROJINHERIT = 0x200;
const ENOENT = 2;
const ESRCH = 3;

/** `struct if_dqblk` of quotactl(2); blocks are of 1024 bytes. */
const DQBLK = { hardBlocks: 0, softBlocks: 8, usedBytes: 16, hardInodes: 24, softInodes: 32, usedInodes: 40, valid: 64, size: 72 };
const QIF_LIMITS = 5;
/** `struct fsxattr` of ioctl_xfs_fsgetxattr(2). */
const FSXATTR = { flags: 0, project: 12, size: 28 };
const BLOCK_BYTES = 1024;

export interface ProjectUsage {
  bytes: number;
  inodes: number;
}

/** Whether the file system that `directory` is on counts by project now; false, too, where the kernel (before 5.14) can't be asked so. */
export function hasProjectQuota(directory: string): boolean {
  return withDirectory(directory, fd => Number(quotactlCall(QUOTACTL_FD, fd, command(Q_GETQUOTA), 0, Buffer.alloc(DQBLK.size))) === 0);
}

/** The project that what is made in `directory` is counted for; 0 is none. @throws SyscallError, ENOTTY where the file system has none */
export function projectOf(directory: string): number {
  return withDirectory(directory, fd => readAttributes(fd, directory).readUInt32LE(FSXATTR.project));
}

/** Counts an empty directory and what will be made in it for a project. Files can't be moved or linked from one project's to another's. */
export function setProject(directory: string, project: number): void {
  withDirectory(directory, fd => {
    const attributes = readAttributes(fd, directory);
    attributes.writeUInt32LE((attributes.readUInt32LE(FSXATTR.flags) | FS_XFLAG_PROJINHERIT) >>> 0, FSXATTR.flags);
    attributes.writeUInt32LE(project, FSXATTR.project);
    check(ioctlCall(fd, FS_IOC_FSSETXATTR, attributes), `set the project of ${directory}`);
  });
}

/** What a project has on the file system of `directory`. */
export function projectUsage(directory: string, project: number): ProjectUsage {
  return withDirectory(directory, fd => {
    const block = Buffer.alloc(DQBLK.size);
    if (Number(quotactlCall(QUOTACTL_FD, fd, command(Q_GETQUOTA), project, block)) !== 0) {
      if (errno() === ESRCH || errno() === ENOENT) return { bytes: 0, inodes: 0 };
      throw new SyscallError(`quota of project ${project} on ${directory}`, errno());
    }
    return { bytes: Number(block.readBigUInt64LE(DQBLK.usedBytes)), inodes: Number(block.readBigUInt64LE(DQBLK.usedInodes)) };
  });
}

/** The most that a project may have there; writing more fails with ENOSPC or EDQUOT. 0 is no limit. @throws SyscallError */
export function limitProject(directory: string, project: number, { bytes, inodes = 0 }: { bytes: number; inodes?: number }): void {
  withDirectory(directory, fd => {
    const block = Buffer.alloc(DQBLK.size);
    block.writeBigUInt64LE(BigInt(Math.ceil(bytes / BLOCK_BYTES)), DQBLK.hardBlocks);
    block.writeBigUInt64LE(BigInt(inodes), DQBLK.hardInodes);
    block.writeUInt32LE(QIF_LIMITS, DQBLK.valid);
    check(Number(quotactlCall(QUOTACTL_FD, fd, command(Q_SETQUOTA), project, block)), `limit project ${project} on ${directory}`);
  });
}

function command(operation: number): number {
  return ((operation << 8) | PRJQUOTA) >>> 0;
}

function readAttributes(fd: number, directory: string): Buffer {
  const attributes = Buffer.alloc(FSXATTR.size);
  check(ioctlCall(fd, FS_IOC_FSGETXATTR, attributes), `project of ${directory}`);
  return attributes;
}

function withDirectory<T>(directory: string, act: (fd: number) => T): T {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return act(fd);
  } finally {
    closeSync(fd);
  }
}
