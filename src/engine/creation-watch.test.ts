import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { watchCreation } from './creation-watch.ts';

function watched() {
  const bundle = mkdtempSync(join(tmpdir(), 'umiak-creation-'));
  const clock = new ManualClock();
  const why: string[] = [];
  const watching = watchCreation({ id: 'a', bundle, clock, onAbandoned: message => why.push(message) });
  rmSync(bundle, { recursive: true });
  return { clock, why, watching };
}

test('a creation that nothing comes of is given up after a minute, once', () => {
  const { clock, why } = watched();
  clock.advance(59_000);
  assert.deepEqual(why, []);
  clock.advance(600_000);
  assert.deepEqual(why, ['the runtime has not created the container in 60 s']);
});

test('one that has come to its end is not looked at any more', () => {
  const { clock, why, watching } = watched();
  clock.advance(3_000);
  watching[Symbol.dispose]();
  clock.advance(600_000);
  assert.deepEqual(why, []);
});
