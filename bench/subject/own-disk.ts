import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A fresh ext4 of its own, mounted below `directory`: what others do to the machine's disk (ext4 slows down for a while where many files
 * were deleted) is not measured. Takes as much of the real disk as is written.
 */
export function mountOwnDisk(directory: string, megabytes: number): Disposable & { path: string } {
  const [file, path] = [join(directory, 'disk.ext4'), join(directory, 'disk')];
  writeFileSync(file, '');
  truncateSync(file, megabytes * 2 ** 20);
  execFileSync('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', file]);
  mkdirSync(path);
  execFileSync('mount', ['-o', 'loop', file, path]);
  return {
    path,
    [Symbol.dispose]() {
      execFileSync('umount', ['-l', path]);
      rmSync(file);
    },
  };
}
