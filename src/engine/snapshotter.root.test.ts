import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { SyscallError } from '#linux/libc.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { CopySnapshotter } from './copy-snapshotter.ts';
import { MappedMounts } from './mapped-mounts.ts';
import { canOverlay, OverlaySnapshotter } from './overlay-snapshotter.ts';
import { partsOf, Snapshots, type Snapshotter } from './snapshotter.ts';
import { runSnapshotterSuite } from './snapshotter-suite.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-snapshots-${process.pid}-`));
after(() => {
  unmountBelow(directory);
  rmSync(directory, { recursive: true, force: true });
});

const place = (name: string) => {
  mkdirSync(`${directory}/${name}`);
  return `${directory}/${name}`;
};
const overlay = () => new OverlaySnapshotter({ mapped: new MappedMounts(`${directory}/mapped`) });

runSnapshotterSuite({ name: 'overlay', directory: place('overlay'), open: overlay });
runSnapshotterSuite({ name: 'copies', directory: place('copies'), open: () => new CopySnapshotter() });

describe('on xfs, which has reflinks', {
  skip: existsSync('/sbin/mkfs.xfs') ? false : 'mkfs.xfs (Debian package xfsprogs) is not installed',
}, () => {
  const disk = place('xfs');
  if (existsSync('/sbin/mkfs.xfs')) {
    const file = join(directory, 'xfs.disk');
    writeFileSync(file, '');
    truncateSync(file, 320 << 20);
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', file]);
    execFileSync('mount', ['-o', 'loop', file, disk]);
  }
  runSnapshotterSuite({ name: 'overlay on xfs', directory: disk, open: overlay });
  runSnapshotterSuite({ name: 'copies on xfs', directory: disk, open: () => new CopySnapshotter() });

  test('a copy shares its blocks with the layer', async () => {
    for (const name of ['layer', 'container']) mkdirSync(`${disk}/${name}`);
    writeFileSync(`${disk}/layer/big`, Buffer.alloc(40 << 20, 'x'), { flush: true });
    const free = () => statfsSync(disk).bavail * statfsSync(disk).bsize;
    const before = free();
    await new CopySnapshotter().mount({ id: 'c', directory: `${disk}/container`, lowerDirs: [`${disk}/layer`] });
    execFileSync('sync', ['-f', disk]);
    assert.ok(before - free() < 8 << 20, `${before - free()} bytes`);
    const { merged } = partsOf(`${disk}/container`);
    writeFileSync(`${merged}/big`, 'changed');
    assert.equal(readFileSync(`${disk}/layer/big`).length, 40 << 20);
  });
});

test('what goes with its run is not written out when it is unmounted, and can be mounted again', async () => {
  const container = place('transient');
  mkdirSync(`${directory}/below`);
  const mount = { id: 'c', directory: container, lowerDirs: [`${directory}/below`], isTransient: true };
  await overlay().mount(mount);
  const { merged } = partsOf(container);
  assert.match(
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find(line => line.includes(` ${merged} `)) ?? '',
    /\bvolatile\b/,
  );
  writeFileSync(`${merged}/file`, 'written');
  await overlay().unmount(container);
  await overlay().mount(mount);
  assert.equal(readFileSync(`${merged}/file`, 'utf8'), 'written');
  await overlay().unmount(container);
});

test('500 layers can be mounted over each other, more are refused in words', async () => {
  const layers = place('many');
  const make = (count: number) => {
    const lowerDirs = Array.from({ length: count }, (_, i) => `${layers}/${count}-${i}`);
    for (const [i, layer] of lowerDirs.entries()) {
      mkdirSync(layer);
      writeFileSync(`${layer}/f${i}`, '');
    }
    mkdirSync(`${layers}/container-${count}`);
    return { id: 'many', directory: `${layers}/container-${count}`, lowerDirs };
  };
  const most = make(500);
  await overlay().mount(most);
  assert.equal(readdirSync(partsOf(most.directory).merged).length, 500);
  await overlay().unmount(most.directory);
  await assert.rejects(overlay().mount(make(501)), /501 layers.*at most 500/);
});

test('where overlay can’t be, new containers get copies, and what overlay wrote before is taken along', async () => {
  const root = place('fallback');
  mkdirSync(`${root}/layer`);
  writeFileSync(`${root}/layer/a`, 'image');
  writeFileSync(`${root}/layer/b`, 'image');
  const snapshot = (name: string) => {
    mkdirSync(`${root}/${name}`, { recursive: true });
    return { id: name, directory: `${root}/${name}`, lowerDirs: [`${root}/layer`] };
  };
  const old = snapshot('old');
  await overlay().mount(old);
  writeFileSync(`${partsOf(old.directory).merged}/a`, 'written');
  rmSync(`${partsOf(old.directory).merged}/b`);
  await overlay().unmount(old.directory);

  const broken: Snapshotter = {
    kind: 'overlay',
    mount: () => Promise.reject(new SyscallError('mount overlay', 19)),
    unmount: each => overlay().unmount(each),
  };
  const told: unknown[] = [];
  const options = { overlay: broken, copy: async () => new CopySnapshotter(), canOverlay: async () => false };
  const snapshots = new Snapshots({ ...options, wanted: 'auto', onFallback: why => told.push(why) });
  await snapshots.mount(old);
  await snapshots.mount(snapshot('new'));
  assert.equal(snapshots.kind, 'copy');
  assert.equal(told.length, 1);
  assert.deepEqual(readdirSync(partsOf(old.directory).merged), ['a']);
  assert.equal(readFileSync(`${root}/old/merged/a`, 'utf8'), 'written');
  assert.equal(readFileSync(`${root}/new/merged/b`, 'utf8'), 'image');

  // With overlay back, what was a copy stays one.
  await new Snapshots({ ...options, overlay: overlay(), wanted: 'auto' }).mount(old);
  assert.equal(readFileSync(`${root}/old/merged/a`, 'utf8'), 'written');
  assert.deepEqual(mountsBelow(root), []);

  await assert.rejects(new Snapshots({ ...options, wanted: 'overlay' }).mount(snapshot('strict')), /container strict can't be mounted/);
  const failing = new Snapshots({ ...options, wanted: 'auto', canOverlay: async () => true });
  await assert.rejects(failing.mount(snapshot('other')), SyscallError, 'a failure of one container’s own is told');
  assert.equal(await canOverlay(root), true);
  assert.deepEqual(readdirSync(root).sort(), ['layer', 'new', 'old', 'other', 'strict']);
});
