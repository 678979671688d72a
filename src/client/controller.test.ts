import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { defineController, done, runControllers } from './controller.ts';
import { createClient } from './rest-client.ts';
import type { Transport, WatchFrame } from './transport.ts';

interface Thing extends KubeObject {
  spec: { copies: number };
}

const resource = { group: '', version: 'v1', singular: '', namespaced: true, verbs: [] };
const Thing: Kind<Thing> = { resource: { ...resource, kind: 'Thing', plural: 'things' }, type: '' };
const Copy: Kind = { resource: { ...resource, kind: 'Copy', plural: 'copies' }, type: '' };

/** A server of two collections whose watch lags behind its writes by a turn or more, as a real one does. */
function laggingServer(): { transport: Transport; put: (plural: string, object: KubeObject) => void; count: (plural: string) => number } {
  const objects: Record<string, Map<string, KubeObject>> = { things: new Map(), copies: new Map() };
  const watchers: { plural: string; receive: (frame: WatchFrame) => void }[] = [];
  let revision = 1;
  const put = (plural: string, object: KubeObject) => {
    object.metadata.resourceVersion = String(++revision);
    objects[plural]?.set(object.metadata.name, object);
    const frame = { type: 'ADDED', object: structuredClone(object) };
    setTimeout(() => watchers.filter(watcher => watcher.plural === plural).forEach(watcher => void watcher.receive(frame)), 3);
  };
  const pluralOf = (path: string) => path.split('?')[0]?.split('/').at(-1) ?? '';
  return {
    put,
    count: plural => objects[plural]?.size ?? 0,
    transport: {
      async request({ path, body }) {
        const object = structuredClone(body) as KubeObject;
        object.metadata.uid = object.metadata.name;
        put(pluralOf(path), object);
        return { status: 201, body: structuredClone(object) };
      },
      watch({ path, signal, receive }) {
        const plural = pluralOf(path);
        for (const object of objects[plural]?.values() ?? []) receive({ type: 'ADDED', object: structuredClone(object) });
        receive({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(revision) } } });
        watchers.push({ plural, receive });
        return new Promise(resolve => signal.addEventListener('abort', () => resolve()));
      },
    },
  };
}

test('a reconcile has seen its own writes, however late the watch brings them', async () => {
  const server = laggingServer();
  const finished = Promise.withResolvers<void>();
  let serial = 0;
  const controller = defineController<Thing>({
    name: 'copier',
    watches: Thing,
    owns: [Copy],
    async reconcile(key, { client }) {
      const thing = await client.get(Thing, key);
      if (!thing) return done;
      const missing = thing.spec.copies - client.listOwned(Copy, thing).length;
      if (missing === 0) {
        finished.resolve();
        return done;
      }
      const owner = { apiVersion: 'v1', kind: 'Thing', name: thing.metadata.name, uid: thing.metadata.uid, controller: true };
      await client.create(Copy, {
        apiVersion: 'v1',
        kind: 'Copy',
        metadata: { name: `c${++serial}`, namespace: 'x', ownerReferences: [owner] },
      });
      return { againInMs: 0 };
    },
  });
  server.put('things', {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name: 't', namespace: 'x', uid: 'u', resourceVersion: '', creationTimestamp: '' },
    spec: { copies: 20 },
  } as Thing);
  await using _running = await runControllers({
    client: createClient(server.transport),
    controllers: [controller],
    clock: systemClock,
    log: silentLog,
  });
  await finished.promise;
  assert.equal(server.count('copies'), 20);
});

/** A server whose watches say what a test tells them to. */
function manualServer() {
  const receivers = new Map<string, (frame: WatchFrame) => void>();
  const deleted: string[] = [];
  const transport: Transport = {
    async request({ method, path }) {
      if (method === 'DELETE') deleted.push(path.split('/').at(-1) ?? '');
      return { status: 200, body: {} };
    },
    watch({ path, signal, receive }) {
      receivers.set(path.split('?')[0]?.split('/').at(-1) ?? '', receive);
      return new Promise(resolve => signal.addEventListener('abort', () => resolve()));
    },
  };
  let revision = 10;
  const send = (plural: string, type: string, metadata: Partial<KubeObject['metadata']> = {}, spec: object = {}) => {
    const kind = plural === 'things' ? 'Thing' : 'Copy';
    const full = { namespace: 'x', uid: metadata.name, ...metadata, resourceVersion: String(++revision) };
    receivers.get(plural)?.({ type, object: { apiVersion: 'v1', kind, metadata: full, spec } });
  };
  return { transport, send, deleted };
}

const owner = { apiVersion: 'v1', kind: 'Thing', name: 't', uid: 't', controller: true };
const turns = async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve));
};

test('nothing is reconciled on half a picture', async () => {
  const server = manualServer();
  const copiesSeen: number[] = [];
  const controller = defineController<Thing>({
    name: 'counter',
    watches: Thing,
    owns: [Copy],
    async reconcile(key, { client }) {
      const thing = await client.get(Thing, key);
      if (thing) copiesSeen.push(client.listOwned(Copy, thing).length);
      return done;
    },
  });
  const running = runControllers({ client: createClient(server.transport), controllers: [controller], clock: systemClock, log: silentLog });
  await turns();
  server.send('things', 'ADDED', { name: 't' }, { copies: 2 });
  server.send('things', 'BOOKMARK');
  server.send('copies', 'ADDED', { name: 'c1', ownerReferences: [owner] });
  await turns();
  assert.deepEqual(copiesSeen, []);
  server.send('copies', 'ADDED', { name: 'c2', ownerReferences: [owner] });
  server.send('copies', 'BOOKMARK');
  await using _running = await running;
  await turns();
  assert.deepEqual([...new Set(copiesSeen)], [2]);
});

test('what a reconcile deleted does not count as there when it comes again, however late the watch brings it', async () => {
  const server = manualServer();
  const removed: string[] = [];
  const controller = defineController<Thing>({
    name: 'shrinker',
    watches: Thing,
    owns: [Copy],
    async reconcile(key, { client }) {
      const thing = await client.get(Thing, key);
      if (!thing) return done;
      const copies = client.listOwned(Copy, thing).filter(({ metadata }) => !metadata.deletionTimestamp);
      // The newest goes first, and which that is changes between the looks.
      const [newest] = copies.sort((a, b) => Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion));
      if (newest && copies.length > thing.spec.copies) {
        removed.push(newest.metadata.name);
        await client.delete(Copy, newest.metadata);
      }
      return done;
    },
  });
  const running = runControllers({ client: createClient(server.transport), controllers: [controller], clock: systemClock, log: silentLog });
  await turns();
  for (const name of ['c1', 'c2']) server.send('copies', 'ADDED', { name, ownerReferences: [owner] });
  server.send('copies', 'BOOKMARK');
  server.send('things', 'ADDED', { name: 't' }, { copies: 1 });
  server.send('things', 'BOOKMARK');
  await using _running = await running;
  await turns();
  assert.deepEqual(removed, ['c2']);
  server.send('copies', 'MODIFIED', { name: 'c1', ownerReferences: [owner] });
  await turns();
  assert.deepEqual(removed, ['c2'], 'it waits for the watch');
  server.send('copies', 'DELETED', { name: 'c2', ownerReferences: [owner] });
  await turns();
  assert.deepEqual(removed, ['c2']);
  assert.deepEqual(server.deleted, ['c2']);
});
