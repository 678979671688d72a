import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Claims } from './claims.ts';

test('many share, one has it alone, in the order of asking', async () => {
  const claims = new Claims();
  const said: string[] = [];
  const gates = new Map<string, () => void>();
  const work = (name: string) => async () => {
    said.push(`+${name}`);
    await new Promise<void>(resolve => gates.set(name, resolve));
    said.push(`-${name}`);
  };
  const all = [
    claims.share(['a', 'b'], work('1')),
    claims.share(['a'], work('2')),
    claims.own('a', work('3')),
    claims.share(['a'], work('4')),
  ];
  const open = async (name: string) => {
    gates.get(name)?.();
    await setImmediate();
    await setImmediate();
  };
  await setImmediate();
  assert.deepEqual(said, ['+1', '+2']);
  await open('1');
  assert.deepEqual(said.splice(0), ['+1', '+2', '-1']);
  await open('2');
  assert.deepEqual(said.splice(0), ['-2', '+3']);
  await open('3');
  assert.deepEqual(said.splice(0), ['-3', '+4']);
  await open('4');
  await Promise.all(all);
});
