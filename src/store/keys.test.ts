import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyProblem, prefixEnd } from './keys.ts';

test('the end of a prefix is the first key after all that begin with it', () => {
  const table: [string, string | undefined][] = [
    ['', undefined],
    ['/a', '/b'],
    ['/a/', '/a0'],
    ['z\u{10ffff}', '{'],
    ['\u{10ffff}\u{10ffff}', undefined],
    ['\ud7ff', '\ue000'],
    ['\uffff', '\u{10000}'],
  ];
  for (const [prefix, end] of table) assert.equal(prefixEnd(prefix), end);
});

test('keys that the disk or another store could not hold are named', () => {
  for (const key of ['', 'a\0b', 'a\udc00']) assert.ok(keyProblem(key));
  for (const key of ['/', '/registry/pods/default/a', '/\u{1f6a2}']) assert.equal(keyProblem(key), undefined);
});
