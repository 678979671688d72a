import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '#base/clock.ts';
import { AttachQueue } from './attach-queue.ts';
import type { StreamSession } from './engine.ts';

const sessionOf = (stdout: PassThrough): StreamSession => ({ stdout, resize() {}, close() {} });

test('who listens hears all before the end is told', async () => {
  const queue = new AttachQueue();
  const clock = new ManualClock();
  const stdout = new PassThrough();
  queue.listens('one', sessionOf(stdout));
  stdout.end('last');
  let isTold = false;
  const told = queue.ended('one', clock).then(() => (isTold = true));
  await queue.ended('other', clock);
  await setImmediate();
  assert.equal(isTold, false);
  stdout.resume();
  await told;
});

test('who does not listen is waited for some time only', async () => {
  const queue = new AttachQueue();
  const clock = new ManualClock();
  queue.listens('one', sessionOf(new PassThrough()));
  const told = queue.ended('one', clock);
  clock.advance(2_000);
  await told;
  await queue.ended('one', clock);
});
