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
