import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ManualClock } from '#base/clock.ts';
import { WorkQueue } from './work-queue.ts';

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

test('a key added many times is worked on once, and again if added meanwhile', async () => {
  const runs: string[] = [];
  let release = () => {};
  const clock = new ManualClock();
  await using queue = new WorkQueue({
    clock,
    work: async key => {
      runs.push(key);
      await new Promise<void>(resolve => (release = resolve));
      return undefined;
    },
    onError: () => {},
  });
  queue.add('a');
  queue.add('a');
  await settle();
  assert.deepEqual(runs, ['a']);
  queue.add('a');
  await settle();
  assert.deepEqual(runs, ['a'], 'never twice at the same time');
  release();
  await settle();
  assert.deepEqual(runs, ['a', 'a']);
  release();
});

test('failures come again with doubling pauses, success forgets them', async () => {
  const clock = new ManualClock();
  const pauses: number[] = [];
  let failing = true;
  await using queue = new WorkQueue({
    clock,
    work: async () => {
      if (failing) throw new Error('no');
      return undefined;
    },
    onError: (_key, _error, againInMs) => pauses.push(againInMs),
  });
  queue.add('a');
  await settle();
  for (const pause of [10, 20, 40]) {
    clock.advance(pause);
    await settle();
  }
  assert.deepEqual(pauses, [10, 20, 40, 80]);
  failing = false;
  clock.advance(80);
  await settle();
  failing = true;
  queue.add('a');
  await settle();
  assert.equal(pauses.at(-1), 10);
});

test('never more keys at work than the concurrency allows', async () => {
  let active = 0;
  let most = 0;
  const clock = new ManualClock();
  await using queue = new WorkQueue({
    clock,
    concurrency: 2,
    work: async () => {
      most = Math.max(most, ++active);
      await nextTurn();
      active -= 1;
      return undefined;
    },
    onError: () => {},
  });
  for (const key of 'abcdefg') queue.add(key);
  await settle();
  await settle();
  assert.equal(most, 2);
});
