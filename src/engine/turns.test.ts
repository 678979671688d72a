import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from './turns.ts';

const busy = (ms: number, result: number) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return result;
};

test('much work leaves room for other things in between', async () => {
  const turns = new Turns();
  let others = 0;
  const other = () => {
    others += 1;
    if (others < 1000) setImmediate(other);
  };
  setImmediate(other);
  const done = await Promise.all(Array.from({ length: 20 }, (_, index) => turns.run(() => busy(2, index))));
  const between = others;
  others = 1000;
  assert.deepEqual(
    done,
    Array.from({ length: 20 }, (_, index) => index),
  );
  assert.ok(between >= 5, `${between} other things in 40 ms of work`);
});

test('work that fails fails alone', async () => {
  const turns = new Turns();
  const failing = turns.run(() => {
    throw new Error('gone');
  });
  const fine = turns.run(() => 1);
  await assert.rejects(failing, /gone/);
  assert.equal(await fine, 1);
});
