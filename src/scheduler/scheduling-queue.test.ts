import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import { SchedulingQueue } from './scheduling-queue.ts';

const FIT = new Set(['NodeResourcesFit']);

function make() {
  const clock = new ManualClock();
  const queue = new SchedulingQueue({ clock, onReady: () => {} });
  const drain = () => {
    const taken: string[] = [];
    for (let key = queue.pop(); key !== undefined; key = queue.pop()) taken.push(key);
    return taken.join(' ');
  };
  return { clock, queue, drain };
}

test('the most important first, then the first to come', () => {
  const { queue, drain } = make();
  for (const [key, priority] of [
    ['a', 0],
    ['b', 5],
    ['c', 0],
    ['d', 9],
    ['e', 5],
  ] as const)
    queue.add(key, priority);
  queue.remove('c');
  queue.add('a', 0);
  assert.equal(drain(), 'd b e a');
});

test('a pod that came again while it was at work is taken again', () => {
  const { queue, drain } = make();
  queue.add('a', 0);
  assert.equal(queue.pop(), 'a');
  queue.add('a', 0);
  assert.equal(drain(), 'a');
});

test('only what helps a filter that kept it out wakes a parked pod', () => {
  const { queue, drain } = make();
  queue.add('a', 0);
  queue.pop();
  queue.park('a', FIT);
  queue.wake('NodeAffinity', () => true);
  queue.wake('NodeResourcesFit', () => false);
  assert.equal(drain(), '');
  assert.ok(queue.isParked('a'));
  queue.wake('NodeResourcesFit', key => key === 'a');
  assert.equal(drain(), 'a');
});

test('a woken pod waits out its back-off, 1 to 10 s, only while others are ready', () => {
  const { clock, queue, drain } = make();
  queue.add('a', 0);
  for (let times = 0; times < 6; times++) {
    assert.equal(queue.pop(), 'a');
    queue.park('a', FIT);
    queue.wakeAll();
  }
  queue.add('b', -1);
  assert.equal(queue.pop(), 'b', 'the other goes first');
  assert.equal(queue.pop(), 'a', 'with nothing else to do it goes at once');
  queue.park('a', FIT);
  queue.wakeAll();
  clock.advance(9_999);
  queue.add('b', -1);
  assert.equal(queue.pop(), 'b');
  queue.add('b', -1);
  clock.advance(1);
  assert.equal(drain(), 'a b', 'its back-off is over: by priority');
});

test('after an error a pod waits, whatever else there is to do', () => {
  const { clock, queue, drain } = make();
  queue.add('a', 0);
  queue.pop();
  queue.retry('a');
  assert.equal(drain(), '');
  clock.advance(1_000);
  assert.equal(drain(), 'a');
  queue.retry('a');
  clock.advance(1_000);
  assert.equal(drain(), '');
  clock.advance(1_000);
  assert.equal(drain(), 'a');
});

test('parked pods are looked at again after five minutes', () => {
  const { clock, queue, drain } = make();
  for (const key of ['a', 'b']) {
    queue.add(key, 0);
    queue.pop();
    queue.park(key, FIT);
    clock.advance(10_000);
  }
  clock.advance(279_999);
  assert.equal(drain(), '');
  clock.advance(1);
  assert.equal(drain(), 'a');
  clock.advance(10_000);
  assert.equal(drain(), 'b');
});
