import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPage, withResourceTable } from './compatibility.ts';

test('COMPATIBILITY.md says of each resource what its kind says', () => {
  const page = readPage();
  assert.equal(page, withResourceTable(page), 'run: .bin/node tools/compatibility.ts');
});

test('a page without marks is refused', () => {
  assert.throws(() => withResourceTable('# no marks'), /marks/);
});
