import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { MS_SHARED, mount } from '#linux/mount.ts';
import { readMountTable } from '#linux/mount-table.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { SubPathPins } from './sub-path.ts';

const root = mkdtempSync(join(tmpdir(), 'umiak-subpath-'));
const mountsBelow = (directory: string) => readMountTable().filter(({ target }) => target.startsWith(`${directory}/`));
after(() => {
  unmountBelow(root);
  rmSync(root, { recursive: true, force: true });
});

let volume = '';
let outside = '';
let pins = new SubPathPins(root);
let count = 0;
beforeEach(() => {
  const directory = join(root, String(count++));
  volume = join(directory, 'volume');
  outside = join(directory, 'outside');
  pins = new SubPathPins(join(directory, 'pins'));
  mkdirSync(join(volume, 'there'), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'host');
  writeFileSync(join(volume, 'there/file'), 'inside');
});

describe('SubPathPins', () => {
  test('a directory, a file, and what is reached by a link inside', async () => {
    symlinkSync('there', join(volume, 'link'));
    assert.deepEqual(readdirSync(await pins.pin(0, volume, 'there')), ['file']);
    assert.equal(readFileSync(await pins.pin(1, volume, 'there/file'), 'utf8'), 'inside');
    assert.equal(readFileSync(await pins.pin(2, volume, 'link/./file'), 'utf8'), 'inside');
  });

  test('missing directories are made in the volume', async () => {
    const place = await pins.pin(0, volume, 'there/a/b');
    writeFileSync(join(place, 'new'), '1');
    assert.equal(readFileSync(join(volume, 'there/a/b/new'), 'utf8'), '1');
    assert.equal(statSync(join(volume, 'there/a')).mode & 0o777, 0o755);
  });

  test('what the machine has mounted in the volume is seen, and stays when the place is made anew', async () => {
    mount('shared', volume, 'tmpfs');
    mount('none', volume, null, MS_SHARED);
    mkdirSync(join(volume, 'disk/inner'), { recursive: true });
    mount('inner', join(volume, 'disk/inner'), 'tmpfs');
    writeFileSync(join(volume, 'disk/inner/file'), 'inner');
    for (let i = 0; i < 2; i++) assert.equal(readFileSync(join(await pins.pin(0, volume, 'disk'), 'inner/file'), 'utf8'), 'inner');
    unmountBelow(join(root, String(count - 1), 'pins'));
    assert.equal(readFileSync(join(volume, 'disk/inner/file'), 'utf8'), 'inner');
  });

  test('again in the same place: what is there now', async () => {
    await pins.pin(0, volume, 'there/file');
    const place = await pins.pin(0, volume, 'there/file');
    assert.equal(readFileSync(place, 'utf8'), 'inside');
    assert.equal(mountsBelow(join(volume, '..')).filter(({ target }) => target === place).length, 1);
  });

  test('a place that was a file can become a directory', async () => {
    await pins.pin(0, volume, 'there/file');
    assert.deepEqual(readdirSync(await pins.pin(0, volume, 'there')), ['file']);
  });

  for (const path of ['/etc', '../outside', 'there/../../outside', '..'])
    test(`${path} is refused`, async () => {
      await assert.rejects(pins.pin(0, volume, path), { reason: 'Invalid' });
      assert.equal(mountsBelow(join(volume, '..')).length, 0);
    });

  test('links that lead out reach nothing outside', async () => {
    symlinkSync(outside, join(volume, 'absolute'));
    symlinkSync('../outside', join(volume, 'relative'));
    symlinkSync('/proc/self/root', join(volume, 'magic'));
    for (const path of ['absolute', 'relative', 'absolute/secret', 'relative/made', 'magic/etc']) {
      const place = await pins.pin(0, volume, path).catch((error: { reason?: string }) => error);
      if (typeof place !== 'string') assert.equal(place.reason, 'Invalid', path);
      else assert.notEqual(existsSync(join(place, 'secret')), true, path);
    }
    assert.deepEqual(readdirSync(outside), ['secret']);
  });

  test('a path that a container keeps swapping for a link never shows the outside', async () => {
    const swapping = (async () => {
      for (let i = 0; i < 200; i++) {
        rmSync(join(volume, 'swap'), { recursive: true, force: true });
        if (i % 2) symlinkSync(outside, join(volume, 'swap'));
        else mkdirSync(join(volume, 'swap'));
        await new Promise(setImmediate);
      }
    })();
    for (let i = 0; i < 100; i++) {
      const place = await pins.pin(0, volume, 'swap').catch(() => undefined);
      if (place) assert.equal(existsSync(join(place, 'secret')), false);
      await new Promise(setImmediate);
    }
    await swapping;
  });
});
