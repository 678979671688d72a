import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import { untilAnswering } from './readiness.ts';

const turn = () => new Promise(setImmediate);

test('all answers are waited for, each asked again until it comes', async () => {
  const clock = new ManualClock();
  let tries = 0;
  let isReady = false;
  const dns = async () => {
    if (++tries < 3) throw new Error('SERVFAIL');
  };
  const ready = untilAnswering({ dns, runtime: async () => {} }, { clock }).then(() => {
    isReady = true;
  });
  for (const expected of [1, 2]) {
    await turn();
    assert.deepEqual([tries, isReady], [expected, false]);
    clock.advance(100);
  }
  await ready;
  assert.equal(tries, 3);
});

test('what never answers is named, with its reason', async () => {
  const clock = new ManualClock();
  const waiting = assert.rejects(untilAnswering({ runtime: () => Promise.reject(new Error('ENOENT crun')) }, { clock, withinMs: 250 }), {
    reason: 'Timeout',
    message: 'the node is not ready: its runtime does not answer: ENOENT crun',
  });
  for (let i = 0; i < 5; i++) {
    await turn();
    clock.advance(100);
  }
  await waiting;
});
