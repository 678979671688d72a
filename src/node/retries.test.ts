import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Retries } from './retries.ts';

suite('retries', () => {
  /** Monotonic time alone: a wall clock that jumps has no say. */
  const clock = { atMs: 0, monotonic: () => clock.atMs };

  test('waits double to the longest, each name by itself', () => {
    const retries = new Retries({ clock, firstMs: 10, lastMs: 35 });
    assert.deepEqual(
      [1, 2, 3, 4].map(() => retries.failed('a', 'no')),
      [10, 20, 35, 35],
    );
    assert.equal(retries.failed('b', 'no'), 10);
    retries.succeeded('a');
    assert.equal(retries.waitMs('a'), undefined);
    assert.equal(retries.failed('a', 'again'), 10);
    assert.equal(retries.error('a'), 'again');
  });

  test('waits end with the time asked for, or at once when all may be tried', () => {
    const retries = new Retries({ clock, firstMs: 10, lastMs: 100 });
    retries.failed('a', 'no', 50);
    clock.atMs += 49;
    assert.equal(retries.waitMs('a'), 1);
    clock.atMs += 1;
    assert.equal(retries.waitMs('a'), undefined);
    retries.failed('a', 'no', 50);
    retries.now();
    assert.equal(retries.waitMs('a'), undefined);
  });

  test('a name that is due since long and not asked for is forgotten', () => {
    const retries = new Retries({ clock, firstMs: 10, lastMs: 100 });
    retries.failed('old', 'no');
    clock.atMs += 111;
    retries.failed('new', 'no');
    assert.equal(retries.error('old'), undefined);
    assert.equal(retries.failed('old', 'no'), 10);
  });
});
