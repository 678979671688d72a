import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { type TarHeader, toText } from './tar-format.ts';
import { type ExtendedHeader, parsePax } from './tar-pax.ts';
import { readTar } from './tar-reader.ts';
import { tarHeader, tarHeaderOf } from './tar-writer.ts';

interface Read extends ExtendedHeader {
  content: string;
}

async function readAll(archive: Buffer, pieceLength = 512): Promise<Read[]> {
  const entries: Read[] = [];
  for await (const { body, ...header } of readTar(inPieces(archive, pieceLength))) {
    const chunks: Buffer[] = [];
    for await (const chunk of body()) chunks.push(Buffer.from(chunk));
    entries.push({ ...header, content: Buffer.concat(chunks).toString('latin1') });
  }
  return entries;
}

test('what the writer writes, the reader reads, however the stream is cut', async () => {
  const headers: Partial<TarHeader>[] = [
    { name: 'short', mode: 0o4711, uid: 1, gid: 2, mtime: 3 },
    { name: 'l'.repeat(101), mtime: 1234.5 },
    { name: `${'d/'.repeat(80)}f`, uid: 3_000_000, gid: 4_000_000_000 },
    { name: 'link', type: 'symlink', linkName: 't'.repeat(300) },
    { name: 'old', mtime: -5 },
    {
      name: 'attributes',
      xattrs: new Map([
        ['user.a', Buffer.from([0, 10, 255, 61])],
        ['user.b', Buffer.alloc(0)],
      ]),
    },
    { name: 'dev', type: 'char', devMajor: 10, devMinor: 200 },
  ];
  const entries = headers.map((header, i) => ({ name: '', ...header, content: header.type === undefined ? 'c'.repeat(i * 300) : '' }));
  for (const length of [1, 7, 511, 512, 513, 100_000]) {
    const read = (await readAll(buildTar(entries), length)).map(({ mtimeNanos: _, ...rest }) => rest);
    assert.deepEqual(
      read,
      entries.map(({ content, ...header }) => ({ ...tarHeaderOf({ type: 'file', ...header }), sizeBytes: content.length, content })),
      `pieces of ${length}`,
    );
  }
});

test('what GNU tar and Python write is read: long names, base-256 numbers, pax', async () => {
  await using directory = await temporaryDirectory();
  const script = `
import tarfile,io,sys
for form,path in ((tarfile.GNU_FORMAT,sys.argv[1]),(tarfile.PAX_FORMAT,sys.argv[2])):
    with tarfile.open(path,'w',format=form) as t:
        for name in ('é'*90,'d/'*120+'f'):
            i=tarfile.TarInfo(name); i.size=3; i.uid=5000000; i.mtime=8**12; t.addfile(i,io.BytesIO(b'abc'))
        i=tarfile.TarInfo('s'); i.type=tarfile.SYMTYPE; i.linkname='t'*150; t.addfile(i)
`;
  const paths = ['gnu', 'pax'].map(name => `${directory.path}/${name}`);
  execFileSync('python3', ['-c', script, ...paths]);
  for (const path of paths) {
    const read = await readAll(execFileSync('cat', [path]));
    assert.deepEqual(
      read.map(({ name, content, uid, mtime, linkName }) => [toText(name), content, uid, mtime, linkName]),
      [
        ['é'.repeat(90), 'abc', 5_000_000, 8 ** 12, ''],
        [`${'d/'.repeat(120)}f`, 'abc', 5_000_000, 8 ** 12, ''],
        ['s', '', 0, 0, 't'.repeat(150)],
      ],
    );
  }
});

test('a body that is not read is skipped', async () => {
  const names: string[] = [];
  for await (const { name } of readTar(
    inPieces(
      buildTar([
        { name: 'a', content: 'x'.repeat(5000) },
        { name: 'b', content: 'y' },
      ]),
    ),
  ))
    names.push(name);
  assert.deepEqual(names, ['a', 'b']);
});

test('damaged and unsupported archives are refused with a reason', async () => {
  const good = buildTar([{ name: 'a', content: 'x'.repeat(2000) }]);
  const altered = Buffer.from(good);
  altered[3] = 0x41;
  const extended = (size: number) => tarHeader({ ...tarHeaderOf({ name: 'x', type: 'file' }), sizeBytes: size });
  const flagged = (flag: string, size = 0, name = 'x') => {
    const block = Buffer.from(tarHeader({ ...tarHeaderOf({ name, type: 'file' }), sizeBytes: size }));
    block.write(flag, 156, 'latin1');
    block.fill(' ', 148, 156);
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
    return block;
  };
  const pax = (text: string) => Buffer.concat([flagged('x', text.length), Buffer.from(text.padEnd(512, '\0')), good]);
  const table: [string, Buffer, RegExp][] = [
    ['checksum', altered, /checksum/],
    ['cut in a header', good.subarray(0, 300), /within a header/],
    ['cut in a body', good.subarray(0, 1000), /within an entry/],
    ['text', Buffer.alloc(1024, 'text'), /not a number|checksum/],
    ['huge pax header', Buffer.concat([flagged('x', 2_000_000), good]), /1048576 are read/],
    ['huge long name', Buffer.concat([flagged('L', 8 ** 10), good]), /are read at most/],
    ['pax without end', Buffer.concat([flagged('x', 100), Buffer.alloc(50)]), /within/],
    ['pax length', pax('99 path=a\n'), /malformed/],
    ['pax no equals', pax('7 path\n'), /malformed/],
    ['pax negative', pax('-5 a=b\n'), /malformed/],
    ['pax size', pax('14 size=-1000\n'), /out of range/],
    ['pax uid', pax('11 uid=abc\n'), /not a number/],
    ['pax zero byte', pax('12 path=a\0b\n'), /zero byte/],
    ['sparse pax', pax('22 GNU.sparse.major=1\n'), /sparse/],
    ['sparse', Buffer.concat([flagged('S'), good]), /sparse/],
    ['unknown type', Buffer.concat([flagged('Z'), good]), /type "Z"/],
    ['extended header at the end', Buffer.concat([flagged('L', 5), Buffer.from('name'.padEnd(512, '\0'))]), /no entry after/],
    ['body missing', extended(5), /within an entry/],
  ];
  for (const [what, archive, message] of table)
    await assert.rejects(readAll(archive), error => {
      assert.ok(isUmiakError(error, 'Invalid'), `${what}: ${error}`);
      assert.match(error.message, message, what);
      return true;
    });
});

test('pax records may hold newlines and zero bytes in values', () => {
  assert.deepEqual(
    [...parsePax(Buffer.from('9 a=b\nc\0\n6 k=v\n'))],
    [
      ['a', Buffer.from('b\nc\0')],
      ['k', Buffer.from('v')],
    ],
  );
});

test('random bytes and random damage never crash, hang or swell the reader', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const good = buildTar([
    { name: 'd/' },
    { name: 'n'.repeat(150), content: 'x'.repeat(700), xattrs: new Map([['user.a', Buffer.from('b')]]) },
    { name: 'l', type: 'symlink', linkName: 'm'.repeat(200) },
    { name: 'f', content: 'y' },
  ]);
  for (let round = 0; round < 2000; round++) {
    const archive = Buffer.from(good);
    for (let i = below(4) + 1; i > 0; i--) archive[below(archive.length)] = below(256);
    for (let at = 0; at + 512 <= archive.length; at += 512)
      if (random() < 0.8 && archive.toString('latin1', at + 257, at + 262) === 'ustar') {
        archive.fill(' ', at + 148, at + 156);
        const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
        archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
      }
    const cut = archive.subarray(0, random() < 0.3 ? below(archive.length) : archive.length);
    await readAll(cut, 1 + below(2000)).catch(error =>
      assert.ok(isUmiakError(error, 'Invalid'), `seed ${seed}, round ${round}: ${error.stack}`),
    );
  }
});
