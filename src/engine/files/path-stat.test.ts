import assert from 'node:assert/strict';
import { lstatSync } from 'node:fs';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { goModeOf, toContainerPath, toGoTime } from './path-stat.ts';

const paths: [asked: string, expected: string][] = [
  ['/a/b', '/a/b'],
  ['a/b', '/a/b'],
  ['', '/'],
  ['.', '/.'],
  ['/', '/'],
  ['/.', '/.'],
  ['//a//b//', '/a/b/'],
  ['/a/.', '/a/.'],
  ['/a/./', '/a/.'],
  ['./', '/.'],
  ['/./', '/.'],
  ['/a/../..', '/'],
  ['../../etc', '/etc'],
  ['/a/..b', '/a/..b'],
  ['/a.', '/a.'],
];

for (const [asked, expected] of paths)
  test(`the path ${JSON.stringify(asked)} is ${expected}`, () => assert.equal(toContainerPath(asked), expected));

test('paths that no file can have are refused', () => {
  for (const path of ['a\0b', 'x'.repeat(5000)])
    assert.throws(
      () => toContainerPath(path),
      error => isUmiakError(error, 'BadRequest'),
    );
});

test('modes and times as Go writes them', () => {
  assert.equal(goModeOf(lstatSync('/dev/null', { bigint: true })), 2 ** 26 + 2 ** 21 + 0o666);
  assert.equal(goModeOf(lstatSync('/tmp', { bigint: true })), 2 ** 31 + 2 ** 20 + 0o777);
  assert.equal(toGoTime(1_577_934_245_000_000_000n), '2020-01-02T03:04:05Z');
  assert.equal(toGoTime(1_577_934_245_120_000_000n), '2020-01-02T03:04:05.12Z');
  assert.equal(toGoTime(-1n), '1969-12-31T23:59:59.999999999Z');
});
