import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable, quantile, type Row, ratioToPeer, reachesTarget } from './table.ts';

const less: Row = { what: 'up', unit: 's', ours: 0.8, better: 'less', target: 1, peer: { name: 'other', value: 2.4, measured: false } };
const more: Row = {
  what: 'creates',
  unit: '/s',
  ours: 5000,
  better: 'more',
  target: 6000,
  peer: { name: 'other', value: 2000, measured: true },
};

test('over 1 is better than the peer, whichever way the figure runs', () => {
  assert.equal(ratioToPeer(less)?.toFixed(1), '3.0');
  assert.equal(ratioToPeer(more), 2.5);
  assert.equal(ratioToPeer({ what: 'x', unit: 's', ours: 1, better: 'less' }), undefined);
});

test('targets are met from their own side', () => {
  assert.equal(reachesTarget(less), true);
  assert.equal(reachesTarget(more), false);
  assert.equal(reachesTarget({ what: 'x', unit: 's', ours: 1, better: 'less' }), undefined);
});

test('the table tells ours, target, peer and ratio, and marks what was not measured', () => {
  assert.deepEqual(formatTable([less, more]).split('\n'), [
    'what     ours      must reach           peer            better by',
    'up       0.8 s     < 1 s       reached  2.4 s other *   3 ×',
    'creates  5,000 /s  ≥ 6,000 /s  MISSED   2,000 /s other  2.5 ×',
    '* recorded on a like machine, not measured in this run',
  ]);
});

test('quantiles by nearest rank', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual([quantile(samples, 0.5), quantile(samples, 0.99), quantile(samples, 1), quantile([7], 0)], [50, 99, 100, 7]);
  assert.throws(() => quantile([], 0.5), RangeError);
});
