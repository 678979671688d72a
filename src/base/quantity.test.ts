import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  isQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
} from './quantity.ts';

const canonical: [given: string | number, expected: string][] = [
  ['0', '0'],
  ['-0', '0'],
  ['0.0', '0'],
  ['100m', '100m'],
  ['1000m', '1'],
  ['0.5', '500m'],
  [0.5, '500m'],
  [2, '2'],
  ['.5', '500m'],
  ['5.', '5'],
  ['+3', '3'],
  ['-1.5', '-1500m'],
  ['1024Mi', '1Gi'],
  ['1.5Gi', '1536Mi'],
  ['0.5Ki', '512'],
  ['1023', '1023'],
  ['1000Ki', '1000Ki'],
  ['0.1Ki', '102400m'],
  ['1000', '1k'],
  ['1000000', '1M'],
  ['1500', '1500'],
  ['1e3', '1e3'],
  ['12e5', '1200e3'],
  ['1E3', '1e3'],
  ['1E', '1E'],
  ['1e-3', '1e-3'],
  ['5e0', '5'],
  ['1.1n', '2n'],
  ['-1.1n', '-2n'],
  ['1e-300', '1e-9'],
  ['1e300', '9223372036854775807'],
  ['100Ei', '9223372036854775807'],
  ['2048Ti', '2Pi'],
  [' 1 ', '1'],
];
for (const [given, expected] of canonical)
  test(`${JSON.stringify(given)} is ${expected}`, () => {
    assert.equal(canonicalQuantity(given), expected);
    assert.equal(canonicalQuantity(expected), expected);
  });

for (const bad of ['', '.', 'm', '1 m', '1mm', '1ki', '0x1', '1e', 'Inf', 'NaN', '--1', '1,5', '1Zi', '9'.repeat(300)])
  test(`"${bad.slice(0, 12)}" is no quantity`, () => {
    assert.equal(isQuantity(bad), false);
    assert.throws(() => parseQuantity(bad), { reason: 'BadRequest' });
  });

test('whole and milli values round up', () => {
  assert.equal(quantityValue('1.2'), 2);
  assert.equal(quantityValue('64Mi'), 64 * 1024 * 1024);
  assert.equal(quantityMilliValue('250m'), 250);
  assert.equal(quantityMilliValue('1u'), 1);
  assert.equal(quantityMilliValue('2'), 2000);
});

test('compares across formats and adds in the first format', () => {
  assert.equal(compareQuantities('1Gi', '1024Mi'), 0);
  assert.equal(compareQuantities('1G', '1Gi'), -1);
  assert.equal(compareQuantities('1', '999m'), 1);
  assert.equal(formatQuantity(addQuantities(parseQuantity('1Gi'), parseQuantity('512Mi'))), '1536Mi');
});

test('canonical forms keep the value and are fixed points (random)', () => {
  let seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`quantity seed ${seed}`);
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const suffixes = ['', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-2', 'E1'];
  for (let i = 0; i < 20_000; i++) {
    const text = `${random(3) === 0 ? '-' : ''}${random(100_000)}${random(2) ? `.${random(1000)}` : ''}${suffixes[random(suffixes.length)]}`;
    const once = canonicalQuantity(text);
    // Bytes without a factor of 1024 are bare digits, which read as decimal.
    if (!/^-?\d+$/.test(once)) assert.equal(canonicalQuantity(once), once, text);
    assert.equal(parseQuantity(once).nano, parseQuantity(text).nano, text);
  }
});
