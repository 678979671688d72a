import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followLinks } from './follow-links.ts';

const links = new Map([
  ['abs', '/dir/file'],
  ['dir/up', '../other'],
  ['dir/above', '../../../../other'],
  ['far', 'dir/up/deep'],
  ['round', 'trip'],
  ['trip', 'round'],
  ['empty', ''],
  ['lost', 'missing/../dir'],
]);

for (const [path, leads] of [
  ['', ''],
  ['/dir/./file/', 'dir/file'],
  ['../../dir', 'dir'],
  ['abs', 'dir/file'],
  ['dir/up/x', 'other/x'],
  ['dir/above', 'other'],
  ['far/../x', 'other/x'],
  ['empty/x', 'x'],
  ['round/x', undefined],
  ['missing', undefined],
  ['lost', undefined],
] as const)
  test(`${JSON.stringify(path)} leads to ${leads ?? 'nothing'}`, () =>
    assert.equal(
      followLinks(path, place => links.get(place) ?? !place.startsWith('missing')),
      leads,
    ));

test('what is not there is taken as it is written where the one who looks says so', () => {
  assert.equal(
    followLinks('missing/a/../b', () => true),
    'missing/b',
  );
});
