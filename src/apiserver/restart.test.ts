import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { ManualClock, systemClock } from '#base/clock.ts';
import type { Client, WatchEvent } from '#client/client.ts';
import { createClient } from '#client/rest-client.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Namespace } from '#kinds/namespace.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { ClusterPki } from '#pki/cluster-pki.ts';
import { openSqliteStore } from '#store/sqlite-store.ts';
import { compressed, wantsGzip } from './compression.ts';
import { SYSTEM } from './identity.ts';
import type { ApiRequest } from './request.ts';
import { createSecurity } from './security.ts';
import { startApiServer } from './server.ts';

/** Runs `use` with a server over the store in `directory`; both end with it. */
async function withServer<R>(directory: string, use: (client: Client) => Promise<R>, clock = systemClock): Promise<R> {
  const pki = await ClusterPki.open({ directory: join(directory, 'pki'), clock: systemClock });
  await using store = await openSqliteStore({ path: join(directory, 'data.db') });
  await using server = await startApiServer({
    store,
    clock,
    kinds: builtinKinds,
    security: createSecurity({ clock, tokens: pki.tokens, authority: pki.authority.certificate }),
    tls: { key: pki.apiServer.key, cert: pki.apiServer.certificate },
    addresses: [],
  });
  return await use(createClient(server.local(SYSTEM)));
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), `umiak-restart-${process.pid}-`));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const draft = (name: string): Draft<ConfigMap> => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data: { a: name },
});

test('after a restart everything is there, revisions go on, and a watch resumes where it was', () =>
  withDirectory(async directory => {
    const seen = await withServer(directory, async client => {
      await client.create(Namespace, { metadata: { name: 'default' } } as Draft<Namespace>);
      const first = await client.create(ConfigMap, draft('first'));
      const second = await client.create(ConfigMap, draft('second'));
      await client.update(ConfigMap, { ...first, data: { a: 'changed' } });
      await client.delete(ConfigMap, { namespace: 'default', name: 'second' });
      return second.metadata.resourceVersion;
    });
    await withServer(directory, async client => {
      assert.equal((await client.get(ConfigMap, { namespace: 'default', name: 'first' }))?.data?.a, 'changed');
      const stop = new AbortController();
      const events: string[] = [];
      const expected = ['MODIFIED first', 'DELETED second', 'ADDED third'];
      const written = client.create(ConfigMap, draft('third'));
      for await (const event of client.watch(ConfigMap, { resourceVersion: seen }, stop.signal) as AsyncIterable<WatchEvent<ConfigMap>>) {
        if (event.type === 'BOOKMARK') continue;
        events.push(`${event.type} ${event.object.metadata.name}`);
        if (events.length === expected.length) stop.abort();
      }
      assert.deepEqual(events, expected);
      assert.ok(Number((await written).metadata.resourceVersion) > Number(seen));
    });
  }));

test('events go an hour after they were written last', () =>
  withDirectory(directory => {
    const clock = new ManualClock(Date.now());
    return withServer(
      directory,
      async client => {
        await client.create(Namespace, { metadata: { name: 'default' } } as Draft<Namespace>);
        const event = (name: string) =>
          ({ metadata: { name, namespace: 'default' }, involvedObject: { namespace: 'default' }, message: '1' }) as Draft<Event>;
        const kept = await client.create(Event, event('kept'));
        await client.create(Event, event('old'));
        clock.advance(1_800_000);
        await client.update(Event, { ...kept, message: '2' });
        const stop = new AbortController();
        const watch = client.watch(Event, { resourceVersion: kept.metadata.resourceVersion }, stop.signal)[Symbol.asyncIterator]();
        clock.advance(1_800_001);
        for (;;) {
          const { value } = await watch.next();
          if (value?.type === 'DELETED') {
            assert.equal(value.object.metadata.name, 'old');
            break;
          }
        }
        stop.abort();
        assert.ok(await client.get(Event, { namespace: 'default', name: 'kept' }));
      },
      clock,
    );
  }));

test('large answers are packed for those who ask and are far away', async () => {
  const pieces: Buffer[] = [];
  for await (const piece of compressed([Buffer.alloc(300_000, 'a'), Buffer.alloc(300_000, 'b')])) pieces.push(piece);
  assert.equal(gunzipSync(Buffer.concat(pieces)).length, 600_000);
  const request = (remoteAddress: string, encoding?: string) =>
    ({ remoteAddress, headers: { 'accept-encoding': encoding } }) as unknown as ApiRequest;
  assert.equal(wantsGzip(request('10.0.0.1', 'gzip'), 1e6), true);
  assert.equal(wantsGzip(request('10.0.0.1', 'gzip'), 1000), false);
  assert.equal(wantsGzip(request('10.0.0.1'), 1e6), false);
  assert.equal(wantsGzip(request('127.0.0.1', 'gzip'), 1e6), false);
});
