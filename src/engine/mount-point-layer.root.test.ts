import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeNode } from '#linux/file-attributes.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { MappedMounts } from './mapped-mounts.ts';
import { MountPointLayer } from './mount-point-layer.ts';
import { OverlaySnapshotter } from './overlay-snapshotter.ts';
import { partsOf } from './snapshotter.ts';

const root = mkdtempSync(join(tmpdir(), 'floors-'));
after(() => {
  unmountBelow(root);
  rmSync(root, { recursive: true, force: true });
});
const snapshotter = new OverlaySnapshotter({ mapped: new MappedMounts(`${root}/mapped`) });
const floors = new MountPointLayer(`${root}/floors`);

async function mount(name: string, hasFiles: boolean): Promise<{ merged: string; upper: string }> {
  const directory = `${root}/${name}`;
  await snapshotter.mount({ id: name, lowerDirs: [`${root}/image`], floor: floors.of(hasFiles), directory });
  return partsOf(directory);
}

test('an agent starts where none can be made; a container does not', () => {
  writeFileSync(`${root}/file`, '');
  const none = new MountPointLayer(`${root}/file/none`);
  assert.throws(() => none.of(true), { code: 'ENOTDIR' });
});

test('mount points are there, below what the image has, and are no part of what a container wrote', async () => {
  mkdirSync(`${root}/image/etc`, { recursive: true });
  writeFileSync(`${root}/image/etc/hosts`, "the image's");
  symlinkSync('../run/resolv.conf', `${root}/image/etc/resolv.conf`);
  makeNode(Buffer.from(`${root}/image/sys`), 'char', 0);
  const { merged, upper } = await mount('first', true);
  assert.equal(readFileSync(`${merged}/etc/hosts`, 'utf8'), "the image's");
  assert.ok(lstatSync(`${merged}/etc/resolv.conf`).isSymbolicLink());
  assert.equal(readFileSync(`${merged}/etc/hostname`, 'utf8'), '');
  assert.equal(lstatSync(`${merged}/etc/hostname`).mode & 0o7777, 0o644);
  assert.ok(!existsSync(`${merged}/sys`), 'what the image took away stays away');
  assert.deepEqual(
    ['dev', 'proc'].map(name => lstatSync(`${merged}/${name}`).mode & 0o7777),
    [0o755, 0o755],
  );
  assert.deepEqual(readdirSync(upper), []);
  writeFileSync(`${merged}/etc/hostname`, 'mine');
  assert.equal(readFileSync(`${upper}/etc/hostname`, 'utf8'), 'mine');
  assert.equal(readFileSync(`${(await mount('second', true)).merged}/etc/hostname`, 'utf8'), '', 'each has its own');
});

test('a container whose files nobody gives has none', async () => {
  const { merged } = await mount('third', false);
  assert.ok(!existsSync(`${merged}/etc/hostname`));
  assert.ok(existsSync(`${merged}/dev`));
});
