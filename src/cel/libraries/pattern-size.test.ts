import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CelError } from '../errors.ts';
import { sizeOfPattern } from './pattern-size.ts';
import { matchesPattern, regex } from './regex.ts';

const sizes: [pattern: string, least: number, most: number][] = [
  ['', 0, 0],
  ['abc', 3, 3],
  ['^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', 3, 12],
  ['(a{1,30}){1,30}b', 900, 910],
  ['(?:ab){10}', 20, 60],
  ['a{1000}|b{2,}', 1000, 1010],
  ['\\Qa{9}\\E[{9}]\\{9}', 3, 14],
  ['\\pL{10}', 250, 300],
  ['[\\p{Greek}]', 25, 30],
  ['(((x{10}){10}){10}){10}', 10_000, 10_000],
  [')))', 0, 3],
  ['(((', 0, 3],
];
for (const [pattern, least, most] of sizes)
  test(`the size of ${JSON.stringify(pattern)}`, () => {
    const size = sizeOfPattern(pattern);
    assert.ok(size >= least && size <= most, `${size}`);
  });

test('a pattern whose repetitions come to too much is refused before it is compiled', () => {
  const hostile = Array.from({ length: 100 }, (_, i) => `(a{1,1000}x${i})`).join('|');
  assert.throws(() => regex(hostile), new CelError('error parsing regexp: expression too large'));
});

test('what everybody writes is matched against large texts, what is large is not', () => {
  assert.equal(matchesPattern('QUJD'.repeat(100_000), '^[A-Za-z0-9+/=]*$'), true);
  assert.equal(matchesPattern('a'.repeat(1_000), '(a{1,30}){1,30}$'), undefined);
  assert.equal(matchesPattern('a'.repeat(100), '(a{1,30}){1,30}$'), true);
});
