import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGoDuration } from './go-duration.ts';

test('Go’s durations are read, all else is none', () => {
  const table: [string, number | undefined][] = [
    ['500ms', 500],
    ['1m30.5s', 90_500],
    ['12h', 43_200_000],
    ['0s', 0],
    ['0', 0],
    ['1.s', 1000],
    ['.5s', 500],
    ['250us', 0.25],
    ['', undefined],
    ['5', undefined],
    ['-5s', undefined],
    ['5s or so', undefined],
    ['5 s', undefined],
    ['1d', undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseGoDuration(text), ms, text);
});
