import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHeader } from './tar-header.ts';
import { applyExtended, type Extended } from './tar-pax.ts';
import { tarHeader, tarHeaderOf } from './tar-writer.ts';

const header = tarHeaderOf({ name: 'short', type: 'file', mtime: 5 });
const bytes = (records: Record<string, string>) =>
  new Map(Object.entries(records).map(([key, value]) => [key, Buffer.from(value, 'latin1')]));
const apply = (records: Record<string, string>, rest: Partial<Extended> = {}, flag = '0') =>
  applyExtended(header, flag, { global: new Map(), records: bytes(records), ...rest });

test('what extended headers say wins over the header, the entry’s own over global ones and GNU’s', () => {
  const global = bytes({ uid: '7', gid: '8', 'SCHILY.xattr.user.a': 'global', 'SCHILY.xattr.user.b': 'global' });
  const entry = apply({ gid: '9', path: 'long', 'SCHILY.xattr.user.a': 'own' }, { global, name: 'gnu', linkName: 'gnu link' });
  assert.deepEqual([entry?.name, entry?.linkName, entry?.uid, entry?.gid], ['long', 'gnu link', 7, 9]);
  assert.deepEqual(
    [...(entry?.xattrs ?? [])].map(([name, value]) => `${name}=${value}`),
    ['user.a=own', 'user.b=global'],
  );
  assert.equal(apply({ uid: '' }, { global })?.uid, 0, 'an empty value takes back');
});

test('libarchive’s attributes are read where star’s are not there', () => {
  const entry = apply({ 'LIBARCHIVE.xattr.user.a%20b': 'AP8K', 'LIBARCHIVE.xattr.user.c': 'eA==', 'SCHILY.xattr.user.c': 'star' });
  assert.deepEqual(
    entry?.xattrs,
    new Map([
      ['user.c', Buffer.from('star')],
      ['user.a b', Buffer.from([0, 255, 10])],
    ]),
  );
  assert.throws(() => apply({ 'LIBARCHIVE.xattr.%zz': 'AA==' }), /malformed/);
});

test('times are exact to the nanosecond, before the epoch too', () => {
  const table: [string, number | undefined, number][] = [
    ['7', undefined, 7],
    ['7.', undefined, 7],
    ['7.000', undefined, 7],
    ['1700000000.123456789', 123_456_789, 1_700_000_000],
    ['7.5', 500_000_000, 7],
    ['7.1234567899', 123_456_789, 7],
    ['-1.25', 750_000_000, -2],
  ];
  for (const [text, nanos, seconds] of table) {
    const entry = apply({ mtime: text });
    assert.deepEqual([entry?.mtimeNanos, Math.floor(entry?.mtime ?? 0)], [nanos, seconds], text);
  }
});

test('checksums of signed bytes, as old programs made them, count', () => {
  const block = Buffer.from(tarHeader(header));
  block[0] = 0xe9;
  block.fill(' ', 148, 156);
  const signed = block.reduce((sum, byte) => sum + ((byte << 24) >> 24), 0);
  block.write(`${signed.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  assert.equal(parseHeader(block).header.name, '\xe9hort');
});

test('kinds that are not known are told from those that are', () => {
  assert.equal(apply({}, {}, 'M'), undefined);
  assert.equal(apply({}, {}, '5')?.type, 'directory');
  assert.equal(apply({ path: 'd/' })?.type, 'directory');
});
