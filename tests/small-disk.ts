import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { umount } from '#linux/mount.ts';
import { mountsBelow } from '#linux/mount-table.ts';

export interface SmallDiskOptions {
  /** Where it is mounted; made if it is not there. */
  path: string;
  /** The file that it lies in. */
  image: string;
  megabytes: number;
  inodes?: number;
}

const BALLAST = '.ballast';

/** A small ext4 of its own for tests of disks that are full, out of inodes, or broken. */
export class SmallDisk implements Disposable {
  readonly path: string;
  readonly #image: string;

  constructor({ path, image, megabytes, inodes = 4_000 }: SmallDiskOptions) {
    this.path = path;
    this.#image = image;
    const file = openSync(image, 'wx');
    ftruncateSync(file, megabytes << 20);
    closeSync(file);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-N', String(inodes), image]);
    mkdirSync(path, { recursive: true });
    this.#mount();
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop,errors=remount-ro', this.#image, this.path]);
  }

  /** Leaves not a byte, or as much as is to stay free. */
  fill({ exceptMegabytes = 0 }: { exceptMegabytes?: number } = {}): void {
    const file = openSync(`${this.path}/${BALLAST}`, 'a');
    const { bavail, bsize } = statfsSync(this.path);
    if (exceptMegabytes > 0) {
      for (let left = bavail * bsize - (exceptMegabytes << 20); left > 0; left -= 1 << 20) writeSync(file, Buffer.alloc(1 << 20));
      closeSync(file);
      return;
    }
    for (let size = 1 << 20; size >= 1; size >>= 1)
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch {
        // Less may still fit.
      }
    closeSync(file);
  }

  /** Leaves not an inode. */
  fillInodes(): void {
    mkdirSync(`${this.path}/${BALLAST}`);
    for (let n = statfsSync(this.path).ffree; n > 0; n--) writeFileSync(`${this.path}/${BALLAST}/${n}`, '');
  }

  empty(): void {
    rmSync(`${this.path}/${BALLAST}`, { recursive: true });
  }

  /** As after an error of the device: the kernel writes nothing to it any more. What was written before is there. */
  break(): void {
    execFileSync('sync', ['-f', this.path]);
    const [line = ''] = execFileSync('losetup', ['-j', this.#image], { encoding: 'utf8' }).split('\n');
    const device = /^\/dev\/(\w+):/.exec(line)?.[1];
    writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, '1');
  }

  /** Checked and mounted anew. Nobody may use it. */
  repair(): void {
    umount(this.path);
    try {
      execFileSync('e2fsck', ['-p', this.#image], { stdio: 'ignore' });
    } catch (error) {
      if ((error as { status?: number }).status !== 1) throw error; // 1: mended
    }
    this.#mount();
  }

  [Symbol.dispose](): void {
    for (const target of mountsBelow(this.path).reverse()) umount(target, { detach: true });
    rmSync(this.#image, { force: true });
    if (readdirSync(this.path).length === 0) rmSync(this.path, { recursive: true });
  }
}
