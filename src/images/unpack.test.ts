import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { digestOf } from './digest.ts';
import { buildTar, type FixtureEntry, temporaryDirectory } from './fixtures.ts';
import { unpackLayer } from './unpack.ts';

async function unpacked(archive: Buffer, check: (root: string) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'a', 'fs');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(directory.path, 'layer'), archive);
  writeFileSync(join(directory.path, 'secret'), 'untouched');
  try {
    await unpackLayer(join(directory.path, 'layer'), root);
    await check(root);
  } finally {
    assert.deepEqual(readdirSync(directory.path).sort(), ['a', 'layer', 'secret'], 'nothing landed outside');
    assert.deepEqual(readdirSync(join(directory.path, 'a')), ['fs'], 'nothing landed outside');
    assert.equal(readFileSync(join(directory.path, 'secret'), 'utf8'), 'untouched');
    assert.equal(statSync(join(directory.path, 'secret')).nlink, 1);
  }
}

function xattr(path: string, name: string): string {
  return execFileSync(
    'python3',
    ['-c', `import os,sys; sys.stdout.write(os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False).hex())`, path, name],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
}

test('files, directories, links, devices, owners, modes, times and attributes arrive as they were', async () => {
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const long = `${'d'.repeat(120)}/${'f'.repeat(200)}`;
  const entries: FixtureEntry[] = [
    { name: './', mode: 0o750, mtime: 5 },
    { name: 'bin/', mode: 0o755, mtime: 1000 },
    {
      name: 'bin/ping',
      content: 'elf',
      mode: 0o4755,
      uid: 7,
      gid: 8,
      mtime: 1234.5,
      xattrs: new Map([['security.capability', capability]]),
    },
    { name: 'bin/ping6', type: 'link', linkName: 'bin/ping' },
    { name: 'bin/sh', type: 'symlink', linkName: '/no/where', uid: 3, gid: 4, mtime: 99 },
    { name: 'dev/null', type: 'char', devMajor: 1, devMinor: 3, mode: 0o666 },
    { name: 'dev/sda', type: 'block', devMajor: 8, devMinor: 300, mode: 0o660, gid: 6 },
    { name: 'run/fifo', type: 'fifo', mode: 0o600 },
    { name: long, content: 'long' },
    { name: 'Főtanúsítvány', content: 'utf8' },
    { name: 'empty', content: '', xattrs: new Map([['user.note', Buffer.from('a\0b')]]) },
  ];
  for (const archive of [buildTar(entries), gzipSync(buildTar(entries)), zstdCompressSync(buildTar(entries))])
    await unpacked(archive, async root => {
      const ping = await lstat(join(root, 'bin/ping'));
      assert.deepEqual([ping.mode & 0o7777, ping.uid, ping.gid, ping.mtimeMs, ping.nlink], [0o4755, 7, 8, 1234500, 2]);
      assert.equal(xattr(join(root, 'bin/ping'), 'security.capability'), capability.toString('hex'));
      assert.equal(xattr(join(root, 'empty'), 'user.note'), '610062');
      assert.equal((await lstat(join(root, 'bin/ping6'))).ino, ping.ino);
      const sh = await lstat(join(root, 'bin/sh'));
      assert.deepEqual([await readlink(join(root, 'bin/sh')), sh.uid, sh.mtimeMs], ['/no/where', 3, 99000]);
      const [nothing, disk, fifo] = await Promise.all(['dev/null', 'dev/sda', 'run/fifo'].map(name => lstat(join(root, name))));
      assert.deepEqual([nothing?.isCharacterDevice(), nothing?.rdev, nothing!.mode & 0o777], [true, 0x103, 0o666]);
      assert.deepEqual([disk?.isBlockDevice(), disk?.rdev], [true, (8 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12)]);
      assert.ok(fifo?.isFIFO());
      assert.equal(await readFile(join(root, long), 'utf8'), 'long');
      assert.equal(await readFile(join(root, 'Főtanúsítvány'), 'utf8'), 'utf8');
      assert.equal((await lstat(join(root, 'bin'))).mtimeMs, 1000_000, 'a directory keeps its time though files came after it');
      assert.equal((await lstat(root)).mode & 0o777, 0o750);
    });
});

test('files have the group that the archive says, whatever group their directory hands on', async () => {
  const names = ['top', 'mail/new', 'mail/implied/deep', 'other/plain', 'back/file'];
  const entries: FixtureEntry[] = [
    { name: './', mode: 0o2755, gid: 8 },
    { name: 'mail/', mode: 0o2775, gid: 8 },
    { name: 'other/', mode: 0o755, gid: 9 },
    { name: 'back/', mode: 0o755 },
    ...names.map(name => ({ name, content: name, mode: 0o4711 })),
  ];
  for (const archive of [buildTar(entries), buildTar(entries.slice(1))])
    await unpacked(archive, async root => {
      for (const name of names) {
        const { uid, gid, mode } = await lstat(join(root, name));
        assert.deepEqual([name, uid, gid, mode & 0o7777], [name, 0, 0, 0o4711]);
      }
    });
});

test('a layer whose first name looks like a compressed stream is read as what it is', async () => {
  await unpacked(buildTar([{ name: 'BZh9-notes', content: 'x' }]), async root => assert.deepEqual(await readdir(root), ['BZh9-notes']));
});

test('names need not be UTF-8', async () => {
  const archive = buildTar([{ name: 'caf?', content: 'latin1' }]);
  archive[3] = 0xe9;
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += archive[i]!;
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  await unpacked(archive, async root => {
    assert.deepEqual(
      (await readdir(root, { encoding: 'buffer' })).map(name => name.toString('hex')),
      ['636166e9'],
    );
  });
});

test('whiteouts and opaque directories take overlay’s form, for lower layers only', async () => {
  const archive = buildTar([
    { name: 'etc/.wh.gone' },
    { name: 'var/' },
    { name: 'var/.wh..wh..opq' },
    { name: 'var/kept', content: 'x' },
    { name: 'same', content: 'of this layer' },
    { name: '.wh.same' },
    { name: '.wh.back' },
    { name: 'back/' },
    { name: 'back/in', content: 'new' },
    { name: '.wh..wh.plnk', type: 'directory' },
    { name: 'x', xattrs: new Map([['trusted.overlay.redirect', Buffer.from('/etc')]]) },
  ]);
  await unpacked(archive, async root => {
    const gone = await lstat(join(root, 'etc/gone'));
    assert.deepEqual([gone.isCharacterDevice(), gone.rdev], [true, 0]);
    assert.equal(xattr(join(root, 'var'), 'trusted.overlay.opaque'), '79');
    assert.deepEqual(await readdir(join(root, 'var')), ['kept']);
    assert.equal(await readFile(join(root, 'same'), 'utf8'), 'of this layer');
    assert.equal(xattr(join(root, 'back'), 'trusted.overlay.opaque'), '79', 'what was whited out does not shine through');
    assert.deepEqual((await readdir(root)).sort(), ['back', 'etc', 'same', 'var', 'x']);
    assert.throws(() => xattr(join(root, 'x'), 'trusted.overlay.redirect'), 'overlay’s own attributes don’t come from images');
  });
});

test('later entries replace earlier ones of any kind', async () => {
  const archive = buildTar([
    { name: 'a', content: 'long content' },
    { name: 'a', content: 'short' },
    { name: 'b/c/d', content: 'x' },
    { name: 'b', content: 'file now' },
    { name: 'l', type: 'symlink', linkName: 'a' },
    { name: 'l', content: 'not through the link' },
    { name: 'm', type: 'symlink', linkName: '/' },
    { name: 'm/' },
    { name: 'm/n', content: '1' },
  ]);
  await unpacked(archive, async root => {
    assert.equal(await readFile(join(root, 'a'), 'utf8'), 'short');
    assert.equal(await readFile(join(root, 'b'), 'utf8'), 'file now');
    assert.equal(await readFile(join(root, 'l'), 'utf8'), 'not through the link');
    assert.deepEqual(await readdir(join(root, 'm')), ['n']);
  });
});

test('names and links are followed as a container would see them', async () => {
  const archive = buildTar([
    { name: '/ko-app/server', content: 'absolute names start at the root' },
    { name: 'run/' },
    { name: 'var/run', type: 'symlink', linkName: '/run' },
    { name: 'var/run/pid', content: 'through an absolute link' },
    { name: 'usr/lib/', mode: 0o755 },
    { name: 'lib', type: 'symlink', linkName: 'usr/lib' },
    { name: 'lib/libc.so', content: 'through a relative link' },
    { name: 'usr/up', type: 'symlink', linkName: '../run' },
    { name: 'usr/up/there', content: 'up and down' },
    { name: 'hard', type: 'link', linkName: '/lib/libc.so' },
  ]);
  await unpacked(archive, async root => {
    for (const name of ['ko-app/server', 'run/pid', 'usr/lib/libc.so', 'run/there', 'hard'])
      assert.ok((await lstat(join(root, name))).isFile(), name);
  });
});

test('what would land outside the root is refused by name', async () => {
  const table: [string, FixtureEntry[], RegExp][] = [
    ['../secret', [{ name: '../secret' }], /has \.\. in it/],
    ['a/../../../secret', [{ name: 'a/../../../secret' }], /has \.\. in it/],
    ['/../secret', [{ name: '/../secret' }], /has \.\. in it/],
    [
      'up/secret',
      [
        { name: 'up', type: 'symlink', linkName: '../..' },
        { name: 'up/secret', content: 'x' },
      ],
      /leads out of the root/,
    ],
    ['a/b/up/x', [{ name: 'a/b/up', type: 'symlink', linkName: '../../../secret' }, { name: 'a/b/up/x' }], /leads out of the root/],
    ['steal', [{ name: 'steal', type: 'link', linkName: '../../secret' }], /has \.\. in it/],
    [
      'steal',
      [
        { name: 'out', type: 'symlink', linkName: '../..' },
        { name: 'steal', type: 'link', linkName: 'out/secret' },
      ],
      /leads out of the root/,
    ],
    ['steal', [{ name: 'steal', type: 'link', linkName: 'etc/passwd' }], /not in the same layer/],
    ['loop/x', [{ name: 'loop', type: 'symlink', linkName: 'loop' }, { name: 'loop/x' }], /too many symlinks/],
    ['file/x', [{ name: 'file' }, { name: 'file/x' }], /is not a directory/],
    ['.', [{ name: '.', type: 'symlink', linkName: '/etc' }], /replace the root/],
    ['.wh.', [{ name: '.wh.' }], /names no file/],
    ['a/.wh...', [{ name: 'a/.wh...' }], /names no file/],
    ['n'.repeat(300), [{ name: 'n'.repeat(300) }], /too long/],
  ];
  for (const [name, entries, message] of table)
    await assert.rejects(
      unpacked(buildTar(entries), async () => {}),
      error => isUmiakError(error, 'Invalid') && message.test(error.message) && error.message.includes(JSON.stringify(name).slice(0, 200)),
      name,
    );
});

test('the content’s digest is verified', async () => {
  await using directory = await temporaryDirectory();
  const archive = buildTar([{ name: 'a', content: 'x' }]);
  mkdirSync(join(directory.path, 'one'));
  mkdirSync(join(directory.path, 'two'));
  writeFileSync(join(directory.path, 'layer'), gzipSync(archive));
  await assert.rejects(
    unpackLayer(join(directory.path, 'layer'), join(directory.path, 'one'), { expected: digestOf('other') }),
    /announces/,
  );
  assert.equal(
    (await unpackLayer(join(directory.path, 'layer'), join(directory.path, 'two'), { expected: digestOf(archive) })).diffId,
    digestOf(archive),
  );
});

test('random trees of links never write outside the root', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const names = [
    'a',
    'b',
    'a/b',
    'b/a',
    'a/b/a',
    'a/a',
    '/a',
    '/b/a',
    './b',
    'a//b',
    '.wh.a',
    'b/.wh.a',
    'a/.wh..wh..opq',
    '../secret',
    'a/../../secret',
  ];
  const targets = ['..', '../..', '/', 'a', 'b', '../a', '/a/b', '../../secret', '/secret', '../../../../../../tmp', '.', ''];
  for (let round = 0; round < 300; round++) {
    const entries = Array.from({ length: 1 + Math.floor(random() * 8) }, (): FixtureEntry => {
      const type = pick(['file', 'file', 'directory', 'symlink', 'symlink', 'link', 'fifo'] as const);
      return {
        name: pick(names),
        type,
        linkName: type === 'link' || type === 'symlink' ? pick(targets) : '',
        content: type === 'file' ? 'x' : '',
      };
    });
    await unpacked(buildTar(entries), async () => {}).catch(error => {
      assert.ok(isUmiakError(error, 'Invalid'), `seed ${seed}, round ${round}: ${error.stack}\n${JSON.stringify(entries)}`);
    });
  }
});
