import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { getXattr, makeNode, setXattr } from '#linux/file-attributes.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { partsOf, type Snapshot, type Snapshotter } from './snapshotter.ts';

export interface SnapshotterUnderTest {
  name: string;
  /** Where snapshots and layers lie. */
  directory: string;
  /** As after a restart: nothing is remembered. */
  open: () => Snapshotter;
}

/** What every snapshotter promises. */
export function runSnapshotterSuite({ name, directory, open }: SnapshotterUnderTest): void {
  describe(name, () => {
    test('layers lie over each other with all that files have', async () => {
      await using place = scratch(directory);
      const lower = place.layer({ 'a/kept': 'lower', 'a/gone': 'x', 'b/old': 'x', 'c/deep/file': 'x', file: 'lower', dir: { in: 'x' } });
      const upper = place.layer({ 'a/new': 'upper', 'b/new': 'upper', file: { now: 'a directory' }, dir: 'a file' });
      makeNode(Buffer.from(`${upper}/a/gone`), 'char', 0);
      setXattr(Buffer.from(`${upper}/b`), 'trusted.overlay.opaque', Buffer.from('y'));
      chmodSync(`${upper}/a`, 0o2751);
      setXattr(Buffer.from(`${lower}/a`), 'user.below', Buffer.from('x'));
      chownSync(`${upper}/a/new`, 7, 8);
      chmodSync(`${upper}/a/new`, 0o4755);
      setXattr(Buffer.from(`${upper}/a/new`), 'security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
      utimesSync(`${upper}/a/new`, 1.25, 1.25);
      linkSync(`${upper}/a/new`, `${upper}/a/same`);
      symlinkSync('/etc/passwd', `${upper}/link`);
      makeNode(Buffer.from(`${upper}/tty`), 'char', 0o620, 4, 300);
      makeNode(Buffer.from(`${upper}/fifo`), 'fifo', 0o600);
      makeSparse(`${upper}/holes`, 30 << 20);
      utimesSync(`${upper}/a`, 100, 100);
      const { merged } = await place.mount(open(), { lowerDirs: [upper, lower] });

      assert.deepEqual(readdirSync(merged).sort(), ['a', 'b', 'c', 'dir', 'fifo', 'file', 'holes', 'link', 'tty']);
      assert.deepEqual(readdirSync(`${merged}/a`).sort(), ['kept', 'new', 'same']);
      assert.deepEqual(readdirSync(`${merged}/b`), ['new']);
      assert.equal(readFileSync(`${merged}/file/now`, 'utf8'), 'a directory');
      assert.equal(readFileSync(`${merged}/dir`, 'utf8'), 'a file');
      const file = lstatSync(`${merged}/a/new`);
      assert.deepEqual([file.mode & 0o7777, file.uid, file.gid, file.mtimeMs, file.nlink], [0o4755, 7, 8, 1250, 2]);
      assert.equal(lstatSync(`${merged}/a/same`).ino, file.ino);
      assert.equal(getXattr(Buffer.from(`${merged}/a/new`), 'security.capability')?.length, 20);
      const above = lstatSync(`${merged}/a`);
      assert.deepEqual([above.mode & 0o7777, above.mtimeMs], [0o2751, 100_000]);
      assert.equal(getXattr(Buffer.from(`${merged}/a`), 'user.below'), undefined, 'a directory is as the upper layer has it');
      assert.equal(readlinkSync(`${merged}/link`), '/etc/passwd');
      assert.ok(lstatSync(`${merged}/fifo`).isFIFO());
      assert.equal(lstatSync(`${merged}/tty`).rdev, lstatSync(`${upper}/tty`).rdev);
      const holes = statSync(`${merged}/holes`);
      assert.equal(holes.size, 30 << 20);
      assert.ok(holes.blocks * 512 < 4 << 20, 'holes stay holes');
      assert.equal(readFileSync(`${merged}/holes`).compare(readFileSync(`${upper}/holes`)), 0);
    });

    test('what is written stays through restarts, and never reaches the layers', async () => {
      await using place = scratch(directory);
      const lowerDirs = [place.layer({ a: 'image', b: 'image', 'd/e': 'x' })];
      const { merged } = await place.mount(open(), { lowerDirs });
      writeFileSync(`${merged}/a`, 'written');
      rmSync(`${merged}/b`);
      rmSync(`${merged}/d`, { recursive: true });
      mkdirSync(`${merged}/d`);
      await open().unmount(place.snapshot);
      assert.deepEqual(mountsBelow(place.snapshot), []);
      await place.mount(open(), { lowerDirs });
      assert.equal(readFileSync(`${merged}/a`, 'utf8'), 'written');
      assert.ok(!existsSync(`${merged}/b`));
      assert.deepEqual(readdirSync(`${merged}/d`), []);
      assert.equal(readFileSync(`${lowerDirs[0]}/a`, 'utf8'), 'image');
      assert.ok(existsSync(`${lowerDirs[0]}/d/e`));
    });

    test('two containers of one image do not see each other', async () => {
      await using place = scratch(directory);
      await using other = scratch(directory);
      const lowerDirs = [place.layer({ a: 'image' })];
      const [one, two] = [await place.mount(open(), { lowerDirs }), await other.mount(open(), { lowerDirs })];
      writeFileSync(`${one.merged}/a`, 'one');
      assert.equal(readFileSync(`${two.merged}/a`, 'utf8'), 'image');
    });

    test('what a killed process left half made is made anew; unmounting twice is as good as once', async () => {
      await using place = scratch(directory);
      const { merged, work } = partsOf(place.snapshot);
      for (const each of [merged, `${work}/work/left`]) mkdirSync(each, { recursive: true });
      writeFileSync(`${merged}/half`, 'x');
      const lowerDirs = [place.layer({ a: 'image' })];
      await place.mount(open(), { lowerDirs });
      assert.deepEqual(readdirSync(merged), ['a']);
      await open().unmount(place.snapshot);
      await open().unmount(place.snapshot);
      assert.deepEqual(mountsBelow(place.snapshot), []);
    });

    test('an image may have 127 layers', async () => {
      await using place = scratch(directory);
      const lowerDirs = Array.from({ length: 127 }, (_, i) => place.layer({ [`f${i}`]: '', top: `${i}`, [`d/${i % 7}`]: `${i}` }));
      const { merged } = await place.mount(open(), { lowerDirs });
      assert.equal(readdirSync(merged).length, 129);
      assert.equal(readFileSync(`${merged}/top`, 'utf8'), '0');
      assert.equal(readFileSync(`${merged}/d/6`, 'utf8'), '6');
    });
  });
}

type Tree = { [path: string]: string | Tree };

function scratch(directory: string) {
  const path = mkdtempSync(join(directory, 'snap-'));
  const snapshot = `${path}/container`;
  mkdirSync(snapshot);
  let layers = 0;
  return {
    snapshot,
    layer(tree: Tree): string {
      const root = `${path}/layer${layers++}`;
      mkdirSync(root);
      grow(root, tree);
      return root;
    },
    async mount(snapshotter: Snapshotter, options: Pick<Snapshot, 'lowerDirs' | 'users'>) {
      await snapshotter.mount({ id: 'c', directory: snapshot, ...options });
      return partsOf(snapshot);
    },
    async [Symbol.asyncDispose]() {
      unmountBelow(path);
      execFileSync('rm', ['-rf', path]);
    },
  };
}

function grow(root: string, tree: Tree): void {
  for (const [name, content] of Object.entries(tree)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    if (typeof content === 'string') writeFileSync(`${root}/${name}`, content);
    else {
      mkdirSync(`${root}/${name}`);
      grow(`${root}/${name}`, content);
    }
  }
}

function makeSparse(path: string, size: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  for (const at of [0, size / 2, size - 10]) writeSync(fd, Buffer.alloc(5, 'd'), 0, 5, at);
  closeSync(fd);
}
