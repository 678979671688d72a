import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hasProjectQuota, projectOf } from '#linux/quota.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { MappedMounts } from './mapped-mounts.ts';
import { OverlaySnapshotter } from './overlay-snapshotter.ts';
import { partsOf } from './snapshotter.ts';
import { WritableQuotas } from './writable-quotas.ts';

const MB = 1 << 20;
const directory = mkdtempSync(join(tmpdir(), `umiak-quota-${process.pid}-`));
after(() => {
  unmountBelow(directory);
  rmSync(directory, { recursive: true, force: true });
});

/** ENOSPC or EDQUOT (122), which libuv has no name for. */
const isFull = (error: NodeJS.ErrnoException) => error.code === 'ENOSPC' || error.errno === -122;

/** An ext4 that counts by project; undefined where the kernel has no quotas. */
function quotaDisk(): string | undefined {
  const [file, disk] = [`${directory}/disk.ext4`, `${directory}/disk`];
  if (!existsSync('/usr/sbin/mke2fs')) return undefined;
  writeFileSync(file, '');
  truncateSync(file, 64 * MB);
  mkdirSync(disk);
  execFileSync('/usr/sbin/mke2fs', ['-q', '-t', 'ext4', '-O', 'project,quota', '-E', 'quotatype=prjquota', file], { stdio: 'pipe' });
  try {
    execFileSync('mount', ['-o', 'loop,prjquota', file, disk], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  return disk;
}

const disk = quotaDisk();
const skip =
  disk === undefined
    ? 'this kernel has no quotas: node vm/run.ts src/engine/writable-quotas.root.test.ts runs it under one that has'
    : false;

test('without project quotas a limit is refused in words, and nothing is counted', () => {
  const quotas = new WritableQuotas({ directory: '/dev/shm' });
  assert.equal(quotas.isThere, false);
  quotas.check(undefined);
  assert.throws(() => quotas.check(1000), /writableLimitBytes: the file system of \/dev\/shm does not count by project/);
  quotas.begin('/dev/shm');
  assert.equal(quotas.usage('/dev/shm'), undefined);
});

test('what a container writes is counted at once, and ends at its limit', { skip }, async () => {
  assert.ok(disk);
  assert.ok(hasProjectQuota(disk));
  const quotas = new WritableQuotas({ directory: disk });
  quotas.check(5 * MB);
  mkdirSync(`${disk}/layer`);
  writeFileSync(`${disk}/layer/a`, Buffer.alloc(MB));
  const snapshot = (id: string) => {
    mkdirSync(`${disk}/${id}`);
    return { id, directory: `${disk}/${id}`, lowerDirs: [`${disk}/layer`] };
  };
  const overlay = new OverlaySnapshotter({ mapped: new MappedMounts(`${directory}/mapped`), quotas });
  const [one, two] = [snapshot('one'), snapshot('two')];
  await overlay.mount({ ...one, limitBytes: 5 * MB });
  await overlay.mount(two);
  const [{ merged, upper }, other] = [partsOf(one.directory), partsOf(two.directory)];
  assert.notEqual(projectOf(upper), projectOf(other.upper));

  writeFileSync(`${merged}/a`, Buffer.alloc(2 * MB)); // copied up: the upper layer's file comes by rename from the work directory
  writeFileSync(`${merged}/b`, Buffer.alloc(MB), { flush: true });
  const used = quotas.usage(upper);
  assert.ok(used && used.bytes >= 3 * MB && used.bytes < 3.5 * MB, JSON.stringify(used));
  assert.throws(() => writeFileSync(`${merged}/c`, Buffer.alloc(4 * MB), { flush: true }), isFull);
  writeFileSync(`${other.merged}/c`, Buffer.alloc(6 * MB), { flush: true });

  await overlay.unmount(one.directory);
  await overlay.mount({ ...one, limitBytes: 5 * MB });
  assert.throws(() => writeFileSync(`${merged}/d`, Buffer.alloc(6 * MB), { flush: true }), isFull, 'after a restart, too');
  quotas.end(upper);
  rmSync(`${merged}/d`, { force: true });
  writeFileSync(`${merged}/d`, Buffer.alloc(6 * MB), { flush: true });
});
