import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planCompaction } from './compaction.ts';

const window = { windowMs: 600, windowBytes: 1000 };
const marks = [
  { revision: 10, atMs: 0, bytes: 0 },
  { revision: 20, atMs: 300, bytes: 100 },
  { revision: 30, atMs: 500, bytes: 900 },
];

test('what is forgotten lies behind the time or the size, whichever is reached first', () => {
  const table: [string, number, number, number | undefined][] = [
    ['all is young and small', 599, 950, undefined],
    ['one mark is old', 600, 950, 10],
    ['two are', 1099, 950, 20],
    ['all are', 5000, 950, 30],
    ['too much was written since the first', 550, 1000, 10],
    ['since the second', 550, 1100, 20],
    ['size reaches further than time', 900, 1900, 30],
  ];
  for (const [name, atMs, bytes, revision] of table) assert.equal(planCompaction(marks, { atMs, bytes }, window), revision, name);
  assert.equal(planCompaction([], { atMs: 5000, bytes: 5000 }, window), undefined);
});
