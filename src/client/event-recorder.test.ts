import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestCluster } from '#apiserver/test-cluster.ts';
import { ManualClock, silentLog, systemClock, UmiakError } from '#base/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Event } from '#kinds/event.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';
import { EventRecorder } from './event-recorder.ts';

const about = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', uid: name, resourceVersion: '1', creationTimestamp: '' },
});

test('repetitions are counted in one object, as kubectl shows them', { timeout: 30_000 }, async () => {
  await using cluster = await startTestCluster();
  const { client } = cluster;
  const object = await client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'default' } });
  await using events = new EventRecorder({ client, component: 'tester', host: 'here', clock: systemClock, log: silentLog });
  for (let time = 0; time < 3; time++) events.warning(object, 'Failed', 'it failed');
  await events.flush();
  for (let time = 0; time < 2; time++) events.warning(object, 'Failed', 'it failed');
  events.normal(object, 'Worked', 'it worked');
  await events.flush();
  const { items } = await client.list(Event, { namespace: 'default', fieldSelector: 'involvedObject.name=a' });
  assert.deepEqual(items.map(({ reason, count }) => [reason, count]).sort(), [
    ['Failed', 5],
    ['Worked', 1],
  ]);
  assert.match(
    (await cluster.kubectl('events', '--for', 'configmap/a')).stdout,
    /\(x5 over [^)]*\).*Warning\s+Failed\s+ConfigMap\/a\s+it failed/,
  );
  assert.match((await cluster.kubectl('describe', 'configmap', 'a')).stdout, /Failed\s+\S+ \(x5 over \S+\)\s+tester\s+it failed/);
  await client.delete(Event, items.find(({ reason }) => reason === 'Failed')!.metadata);
  events.warning(object, 'Failed', 'it failed');
  await events.flush();
  assert.equal((await client.list(Event, { namespace: 'default', fieldSelector: 'reason=Failed' })).items[0]?.count, 1);
});

test('an object’s events are listed in the order in which they happened', { timeout: 30_000 }, async () => {
  await using cluster = await startTestCluster();
  const { client } = cluster;
  const clock = new ManualClock();
  await using events = new EventRecorder({ client, component: 'tester', clock, log: silentLog });
  const reasons = Array.from({ length: 15 }, (_, index) => `Step${index}`);
  for (const [index, reason] of reasons.entries()) {
    if (index % 5 === 0) clock.advance(1);
    events.normal(about('a'), reason, 'done');
  }
  await events.flush();
  const { items } = await client.list(Event, { namespace: 'default' });
  assert.deepEqual(
    items.map(({ reason }) => reason),
    reasons,
  );
});

/** A client that writes nothing until it may. */
function stuck(): { client: Client; written: string[]; release: () => void; fail: (error: Error | undefined) => void } {
  const written: string[] = [];
  let gate = Promise.withResolvers<void>();
  let failure: Error | undefined;
  const client = {
    async create(_kind: unknown, event: { involvedObject: { name: string }; message: string }) {
      if (failure) throw failure;
      await gate.promise;
      written.push(`${event.involvedObject.name} ${event.message}`);
      return event;
    },
    async patch() {
      await gate.promise;
      written.push('patch');
    },
  } as unknown as Client;
  return {
    client,
    written,
    release: () => {
      gate.resolve();
      gate = Promise.withResolvers();
      gate.resolve();
    },
    fail: error => {
      failure = error;
    },
  };
}

test('recording never waits: what waits is bounded, and so is what one object may say', async () => {
  const clock = new ManualClock();
  const { client, written, release } = stuck();
  await using events = new EventRecorder({ client, component: 'tester', clock, log: silentLog });
  for (let index = 0; index < 5_000; index++) events.normal(about(`o${index}`), 'Came', 'x');
  release();
  await events.flush();
  assert.ok(written.length >= 1_024 && written.length < 1_100, `${written.length} written`);
  written.length = 0;
  for (let index = 0; index < 100; index++) events.normal(about('loud'), 'Said', `message ${index}`);
  await events.flush();
  assert.equal(written.length, 25);
  clock.advance(300_000);
  for (let index = 0; index < 10; index++) events.normal(about('loud'), 'Said', `later ${index}`);
  await events.flush();
  assert.equal(written.length, 26);
});

test('while the API is away events wait; disposing gives up on them', { timeout: 10_000 }, async () => {
  const clock = new ManualClock();
  const { client, written, release, fail } = stuck();
  release();
  const events = new EventRecorder({ client, component: 'tester', clock, log: silentLog });
  fail(new UmiakError('ServiceUnavailable', 'away'));
  events.normal(about('a'), 'Came', 'x');
  await new Promise(resolve => setImmediate(resolve));
  fail(undefined);
  clock.advance(1_000);
  await events.flush();
  assert.deepEqual(written, ['a x']);
  fail(new UmiakError('ServiceUnavailable', 'away'));
  events.normal(about('b'), 'Came', 'x');
  await new Promise(resolve => setImmediate(resolve));
  await events[Symbol.asyncDispose]();
  assert.deepEqual(written, ['a x']);
});
