import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, silentLog } from '#base/index.ts';
import type { Client, WatchEvent } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { made } from '#kinds/testing.ts';
import { ObjectSource, type ObjectUse } from './object-source.ts';

/** A client that counts the watches it was asked for, and those that are open. */
function watching() {
  const counts = { begun: 0, open: 0 };
  const client = {
    async *watch(_kind: unknown, _query: unknown, signal: AbortSignal): AsyncGenerator<WatchEvent<KubeObject>> {
      counts.begun++;
      counts.open++;
      yield { type: 'ADDED', object: made(ConfigMap, { metadata: { namespace: 'ns', name: 'c', uid: 'u', resourceVersion: '1' } }) };
      yield { type: 'BOOKMARK', resourceVersion: '1' };
      await new Promise(resolve => signal.addEventListener('abort', resolve));
      counts.open--;
    },
  } as unknown as Client;
  return { client, counts };
}

const use = (user: string, purpose: ObjectUse['purpose'] = 'volumes'): ObjectUse => ({ user, purpose, changed: () => {} });

test('pods that follow one another share a watch, which ends some time after the last', async () => {
  const { client, counts } = watching();
  const clock = new ManualClock();
  await using objects = new ObjectSource({ client, clock, log: silentLog });
  for (const user of ['first', 'second']) {
    assert.equal((await objects.configMap('ns', 'c', use(user)))?.metadata.name, 'c');
    await objects.release(user);
  }
  assert.deepEqual(counts, { begun: 1, open: 1 });
  clock.advance(60_000);
  await new Promise(setImmediate);
  assert.deepEqual(counts, { begun: 1, open: 0 });
});

test('an environment is never filled from a watch that nobody used', async () => {
  const { client, counts } = watching();
  await using objects = new ObjectSource({ client, clock: new ManualClock(), log: silentLog });
  await objects.configMap('ns', 'c', use('first'));
  await objects.release('first');
  await objects.configMap('ns', 'c', use('second', 'environment'));
  assert.deepEqual(counts, { begun: 2, open: 1 });
});

test('few watches linger', async () => {
  const { client, counts } = watching();
  await using objects = new ObjectSource({ client, clock: new ManualClock(), log: silentLog });
  for (let index = 0; index < 20; index++) await objects.configMap('ns', `c${index}`, use('user'));
  await objects.release('user');
  assert.deepEqual(counts, { begun: 20, open: 8 });
});
