import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flattenUrls, outputName } from './build.ts';

test('what is loaded by URL gets a flat name', () => {
  assert.equal(outputName('src/store/sqlite-worker.ts'), 'store-sqlite-worker.js');
  assert.equal(outputName('src/kinds/schema.gen.json'), 'kinds-schema.gen.json');
});

test('sibling URLs point into dist, others stay', () => {
  const { source, siblings } = flattenUrls(
    'src/net/x.ts',
    "new Worker(new URL('./deep/w.ts', import.meta.url)); new URL('../kinds/a.json', import.meta.url); new URL('../../bin', import.meta.url); new URL('/x', base)",
  );
  assert.equal(
    source,
    "new Worker(new URL('./net-deep-w.js', import.meta.url)); new URL('./kinds-a.json', import.meta.url); new URL('../../bin', import.meta.url); new URL('/x', base)",
  );
  assert.deepEqual(siblings, ['src/net/deep/w.ts', 'src/kinds/a.json']);
});
