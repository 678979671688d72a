import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ageOf, humanDuration } from './duration.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const cases: [ms: number, text: string][] = [
  [-5000, '<invalid>'],
  [-1500, '0s'],
  [0, '0s'],
  [1999, '1s'],
  [119 * SECOND, '119s'],
  [2 * MINUTE, '2m'],
  [2 * MINUTE + 10 * SECOND, '2m10s'],
  [12 * MINUTE + 30 * SECOND, '12m'],
  [179 * MINUTE, '179m'],
  [3 * HOUR, '3h'],
  [3 * HOUR + 5 * MINUTE, '3h5m'],
  [22 * HOUR + 5 * MINUTE, '22h'],
  [2 * DAY + 4 * HOUR, '2d4h'],
  [9 * DAY + 4 * HOUR, '9d'],
  [800 * DAY, '2y70d'],
  [9 * 365 * DAY, '9y'],
];
for (const [ms, text] of cases) test(`${ms} ms is ${text}`, () => assert.equal(humanDuration(ms), text));

test('an age without a time is unknown', () => {
  assert.equal(ageOf(undefined, 0), '<unknown>');
  assert.equal(ageOf('1970-01-01T00:00:00Z', 5000), '5s');
});
