import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ManualClock } from '#base/clock.ts';
import { type Transfer, TransferSlots } from './transfer-slots.ts';

const MORE = 1 << 20;

function slotsOf(count: number, most: number) {
  const clock = new ManualClock();
  const slots = new TransferSlots({ count, most, clock });
  const begun: Transfer[] = [];
  const take = (signal?: AbortSignal) => slots.take(signal).then(transfer => begun.push(transfer));
  /** Transfers by whether they move; then so much time passes. */
  const pass = async (ms: number, moving: readonly Transfer[], bytes: number) => {
    for (const transfer of moving) transfer.at(bytes);
    clock.advance(ms);
    await nextTurn();
  };
  return { clock, take, begun, pass };
}

test('places are given in order, and not to who left', async () => {
  const { take, begun } = slotsOf(1, 1);
  await take();
  const leaving = new AbortController();
  const left = take(leaving.signal);
  const last = take();
  leaving.abort(new Error('I left'));
  await assert.rejects(left, /I left/);
  assert.equal(begun.length, 1);
  begun[0]![Symbol.dispose]();
  begun[0]![Symbol.dispose]();
  await last;
  assert.equal(begun.length, 2);
  begun[1]![Symbol.dispose]();
  await take();
  await assert.rejects(take(AbortSignal.timeout(1)), { name: 'TimeoutError' });
});

test('who brings bytes keeps its place; who brings none goes on beside the bound, and counts again when it brings some', async () => {
  const { take, begun, pass } = slotsOf(2, 10);
  await Promise.all([take(), take()]);
  const [slow, quick] = begun as [Transfer, Transfer];
  const third = take();
  await pass(2_999, [quick], MORE);
  assert.equal(begun.length, 2, 'not yet');
  slow.at(10);
  await pass(1, [quick], 2 * MORE);
  await third;
  assert.equal(begun.length, 3);
  void take();
  await pass(3_000, [quick, begun[2]!], 3 * MORE);
  assert.equal(begun.length, 3, 'two that bring bytes, and the slow one');
  await pass(3_000, [slow, quick, begun[2]!], 4 * MORE);
  quick[Symbol.dispose]();
  await nextTurn();
  assert.equal(begun.length, 3, 'the slow one is quick now');
  begun[2]![Symbol.dispose]();
  await nextTurn();
  assert.equal(begun.length, 4);
});

test('there is a bound to all of them', async () => {
  const { take, begun, pass } = slotsOf(2, 5);
  for (let i = 0; i < 9; i++) void take();
  for (let i = 0; i < 8; i++) await pass(3_000, [], 0);
  assert.equal(begun.length, 5);
  begun[0]![Symbol.dispose]();
  await nextTurn();
  assert.equal(begun.length, 6);
});

test('nothing is looked at while nobody waits, and what was seen long ago does not count', async () => {
  const { take, begun, pass } = slotsOf(1, 3);
  await take();
  const leaving = new AbortController();
  const left = take(leaving.signal);
  await pass(2_999, [], 0);
  leaving.abort(new Error('I left'));
  await assert.rejects(left, /I left/);
  await pass(10_000, [], 0);
  begun[0]!.at(MORE);
  const next = take();
  await pass(2_999, [begun[0]!], 2 * MORE);
  assert.equal(begun.length, 1);
  await pass(1, [], 0);
  assert.equal(begun.length, 1, 'it moved');
  await pass(3_000, [], 0);
  await next;
});
