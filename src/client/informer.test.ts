import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bootstrapCluster } from '#apiserver/bootstrap.ts';
import { SYSTEM } from '#apiserver/identity.ts';
import { createSecurity } from '#apiserver/security.ts';
import { type ApiServer, startApiServer } from '#apiserver/server.ts';
import { ManualClock, silentLog, systemClock } from '#base/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { ClusterPki } from '#pki/cluster-pki.ts';
import { openSqliteStore, type SqliteStore } from '#store/sqlite-store.ts';
import type { Client } from './client.ts';
import { HttpsTransport } from './https-transport.ts';
import { type Change, Informer } from './informer.ts';
import { createClient } from './rest-client.ts';
import type { Transport, WatchFrame } from './transport.ts';

/** A real server that can be stopped and started again on its port, over the same store. */
class Restartable implements AsyncDisposable {
  readonly #directory: string;
  readonly #pki: ClusterPki;
  readonly #store: SqliteStore;
  #server: ApiServer | undefined;
  #port = 0;

  static async start(): Promise<Restartable> {
    const directory = await mkdtemp(join(tmpdir(), `umiak-informer-${process.pid}-`));
    const pki = await ClusterPki.open({ directory: join(directory, 'pki'), clock: systemClock });
    const store = await openSqliteStore({ path: join(directory, 'data.db') });
    const made = new Restartable(directory, pki, store);
    await made.startServer();
    await bootstrapCluster({ client: made.inside, serviceAddress: made.#server!.serviceAddress, endpoints: [] });
    return made;
  }

  private constructor(directory: string, pki: ClusterPki, store: SqliteStore) {
    this.#directory = directory;
    this.#pki = pki;
    this.#store = store;
  }

  async startServer(): Promise<void> {
    const { key, certificate: cert } = this.#pki.apiServer;
    const authority = this.#pki.authority.certificate;
    this.#server = await startApiServer({
      store: this.#store,
      kinds: builtinKinds,
      security: createSecurity({ clock: systemClock, tokens: this.#pki.tokens, authority }),
      tls: { key, cert, ca: authority },
      addresses: [{ address: '127.0.0.1', port: this.#port }],
    });
    this.#port = this.#server.listeners[0]!.port;
  }

  async stopServer(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  /** The way in without a network; also while nothing listens outside. */
  get inside(): Client {
    return createClient(this.#server!.local(SYSTEM));
  }

  outside(): HttpsTransport {
    const { certificate: cert, key } = this.#pki.admin;
    return new HttpsTransport({ server: `https://127.0.0.1:${this.#port}`, ca: this.#pki.authority.certificate, cert, key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
    await this.#store[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

const map = (name: string) => ({ apiVersion: 'v1' as const, kind: 'ConfigMap' as const, metadata: { name, namespace: 'default' } });
const key = (name: string) => ({ namespace: 'default', name });
const seen = (informer: Informer<ConfigMap>, name: string) => informer.until(() => informer.get(key(name)) !== undefined);

test('an informer over HTTPS resumes after the server is gone and back, and misses nothing', { timeout: 30_000 }, async () => {
  await using server = await Restartable.start();
  await using transport = server.outside();
  const told: string[] = [];
  await using informer = new Informer({
    client: createClient(transport),
    kind: ConfigMap,
    query: { namespace: 'default' },
    clock: systemClock,
    log: silentLog,
  });
  informer.subscribe(({ key, object, previous }) => told.push(`${object ? (previous ? '~' : '+') : '-'}${key}`));
  await informer.start();
  await server.inside.create(ConfigMap, map('before'));
  await seen(informer, 'before');
  await server.inside.create(ConfigMap, map('doomed'));
  await seen(informer, 'doomed');
  for (let round = 0; round < 3; round++) {
    await server.stopServer();
    await server.startServer();
    const made = await server.inside.create(ConfigMap, map(`after-${round}`));
    await informer.reached(Number(made.metadata.resourceVersion));
    assert.ok(informer.get(key(`after-${round}`)));
  }
  await server.inside.delete(ConfigMap, key('doomed'));
  await informer.until(() => informer.get(key('doomed')) === undefined);
  assert.deepEqual(told, [
    '+default/before',
    '+default/doomed',
    '+default/after-0',
    '+default/after-1',
    '+default/after-2',
    '-default/doomed',
  ]);
});

test('what was deleted or replaced while nobody watched is noticed when the revision to resume at is gone', {
  timeout: 30_000,
}, async () => {
  await using server = await Restartable.start();
  const real = server.inside;
  let isBroken = false;
  let cut = new AbortController();
  const flaky: Client = {
    ...real,
    async *watch(kind, query, signal) {
      if (isBroken) throw new Error('broken');
      // The second watch finds its revision compacted: it asks for one that can't be resumed at.
      const from = query.resourceVersion === undefined ? query : { ...query, resourceVersion: '1' };
      yield* real.watch(kind, from, AbortSignal.any([signal, cut.signal]));
    },
  };
  const told: Change<ConfigMap>[] = [];
  await using informer = new Informer({
    client: flaky,
    kind: ConfigMap,
    query: { namespace: 'default' },
    clock: systemClock,
    log: silentLog,
  });
  for (const name of ['stays', 'goes', 'replaced']) await real.create(ConfigMap, map(name));
  informer.subscribe(change => told.push(change));
  await informer.start();
  told.length = 0;
  const first = informer.get(key('replaced'));
  isBroken = true;
  cut.abort();
  cut = new AbortController();
  for (const name of ['goes', 'replaced']) await real.delete(ConfigMap, key(name));
  for (const name of ['replaced', 'new']) await real.create(ConfigMap, map(name));
  // Enough changes that the server's window no longer reaches back to revision 1.
  await server.stopServer();
  await server.startServer();
  isBroken = false;
  Object.assign(real, server.inside);
  await seen(informer, 'new');
  assert.deepEqual(
    told
      .map(({ key, object, previous }) => [
        key.split('/')[1],
        previous?.metadata.uid === first?.metadata.uid ? 'the first' : previous && 'x',
        object && 'there',
      ])
      .sort(),
    [
      ['goes', 'x', undefined],
      ['new', undefined, 'there'],
      ['replaced', 'the first', undefined],
      ['replaced', undefined, 'there'],
    ].sort(),
  );
});

const resource = { group: '', version: 'v1', kind: 'Thing', plural: 'things', singular: '', namespaced: true, verbs: [] };
const Thing: Kind = { resource, type: '' };
const frame = (name: string, resourceVersion: string, type = 'ADDED'): WatchFrame => ({
  type,
  object: { apiVersion: 'v1', kind: 'Thing', metadata: { name, namespace: 'x', uid: name, resourceVersion, creationTimestamp: '' } },
});
const bookmark = (resourceVersion: string): WatchFrame => ({ type: 'BOOKMARK', object: { metadata: { resourceVersion } } });

/** A server whose watches are played by hand: each started watch is handed to `next`. */
function scripted() {
  const waiting: PromiseWithResolvers<Played>[] = [Promise.withResolvers()];
  let taken = 0;
  const transport: Transport = {
    request: async () => ({ status: 500, body: {} }),
    async watch({ path, signal, receive }) {
      const ended = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => ended.resolve());
      const last = waiting.at(-1)!;
      waiting.push(Promise.withResolvers());
      last.resolve({
        from: new URL(path, 'http://x').searchParams.get('resourceVersion'),
        send: frames => frames.forEach(each => void receive(each)),
        end: ended.resolve,
      });
      await ended.promise;
    },
  };
  return { client: createClient(transport), next: () => waiting[taken++]!.promise };
}

interface Played {
  from: string | null;
  send(frames: WatchFrame[]): void;
  end(): void;
}

const turn = () => new Promise(resolve => setImmediate(resolve));

test('waiting for a write that the watch never brings ends with a whole new picture, or says Timeout', { timeout: 10_000 }, async () => {
  const clock = new ManualClock();
  const server = scripted();
  await using informer = new Informer({ client: server.client, kind: Thing, clock, log: silentLog });
  const started = informer.start();
  (await server.next()).send([frame('a', '1'), bookmark('5')]);
  await started;

  const reached = informer.reached(9);
  await turn();
  clock.advance(5_000);
  const second = await server.next();
  assert.equal(second.from, null, 'it starts over');
  // Written and deleted meanwhile: nothing of it will ever be seen.
  second.send([bookmark('7')]);
  await reached;
  assert.equal(informer.size, 0, 'what the new picture lacks is gone');

  const never = assert.rejects(informer.reached(99), { reason: 'Timeout' });
  await turn();
  clock.advance(5_000);
  await server.next();
  clock.advance(30_000);
  await never;

  const abort = new AbortController();
  const left = informer.reached(99, abort.signal);
  abort.abort();
  await left;
  const disposed = informer.reached(99);
  await informer[Symbol.asyncDispose]();
  await disposed;
});

test('a revision from the future (a server restored from its backup) makes it start over', { timeout: 10_000 }, async () => {
  const clock = new ManualClock();
  const server = scripted();
  await using informer = new Informer({ client: server.client, kind: Thing, clock, log: silentLog });
  const started = informer.start();
  const first = await server.next();
  first.send([frame('a', '50'), bookmark('100')]);
  await started;
  first.end();
  await turn();
  clock.advance(50);
  const second = await server.next();
  assert.equal(second.from, '100');
  const details = { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] };
  second.send([
    { type: 'ERROR', object: { kind: 'Status', reason: 'Timeout', code: 504, message: 'Too large resource version', details } },
  ]);
  await turn();
  clock.advance(10_000);
  const third = await server.next();
  assert.equal(third.from, null);
  third.send([frame('b', '20'), bookmark('30')]);
  await informer.until(() => informer.get('x/b') !== undefined);
  assert.deepEqual(
    informer.list().map(({ metadata }) => metadata.name),
    ['b'],
  );
});

test('a listener that throws keeps nothing from the others', { timeout: 10_000 }, async () => {
  const server = scripted();
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => void errors.push(message) };
  await using informer = new Informer({ client: server.client, kind: Thing, clock: new ManualClock(), log });
  const told: string[] = [];
  informer.subscribe(() => {
    throw new Error('mine');
  });
  informer.subscribe(({ key }) => told.push(key));
  const started = informer.start();
  (await server.next()).send([frame('a', '1'), frame('b', '2'), bookmark('2')]);
  await started;
  assert.deepEqual(told, ['x/a', 'x/b']);
  assert.equal(errors.length, 2);
});

test('what several users need of an object adds up; whole objects for one are whole for all', { timeout: 10_000 }, async () => {
  const server = scripted();
  const informer = new Informer<KubeObject & { data?: string }>({
    client: server.client,
    kind: Thing,
    clock: new ManualClock(),
    log: silentLog,
    project: ({ apiVersion, kind, metadata: { name, uid, namespace, resourceVersion } }) => ({
      apiVersion,
      kind,
      metadata: { name, uid, namespace, resourceVersion } as KubeObject['metadata'],
    }),
  });
  await using _informer = informer;
  assert.equal(informer.keepsWhole, false);
  informer.keepAlso(({ apiVersion, kind, metadata: { name, uid, resourceVersion, labels, creationTimestamp }, data }) => ({
    apiVersion,
    kind,
    metadata: { name, uid, resourceVersion, creationTimestamp, labels },
    ...(data ? { data } : {}),
  }));
  const started = informer.start();
  const object = {
    metadata: { name: 'a', uid: 'a', namespace: 'x', resourceVersion: '1', labels: { l: '1' }, annotations: { big: '…' } },
    data: 'd',
    spec: {},
  };
  (await server.next()).send([{ type: 'ADDED', object }, bookmark('1')]);
  await started;
  const { metadata, ...rest } = informer.get('x/a')!;
  assert.deepEqual([metadata.labels, metadata.annotations, rest.data, 'spec' in rest], [{ l: '1' }, undefined, 'd', false]);
  assert.throws(() => informer.keepAlso(), TypeError);
});
