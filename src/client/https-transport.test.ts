import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { ClusterPki } from '#pki/cluster-pki.ts';
import { HttpsTransport } from './https-transport.ts';
import { createClient } from './rest-client.ts';

type Handler = Parameters<typeof createServer>[1] & {};

/** An HTTPS server that behaves as a test wants, and a transport to it. */
class Peer implements AsyncDisposable {
  readonly transport: HttpsTransport;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #directory: string;

  static async start(handler: Handler, options: { timeoutMs?: number; connections?: number } = {}): Promise<Peer> {
    const directory = await mkdtemp(join(tmpdir(), `umiak-client-${process.pid}-`));
    const pki = await ClusterPki.open({ directory, clock: systemClock });
    const server = createServer({ key: pki.apiServer.key, cert: pki.apiServer.certificate, keepAliveTimeout: 60_000 }, handler);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return new Peer(
      server,
      directory,
      new HttpsTransport({ server: `https://127.0.0.1:${port}`, ca: pki.authority.certificate, ...options }),
    );
  }

  private constructor(server: Server, directory: string, transport: HttpsTransport) {
    this.#server = server;
    this.#directory = directory;
    this.transport = transport;
    server.on('secureConnection', socket => this.sockets.add(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport[Symbol.asyncDispose]();
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

test('connections are kept and used again', async () => {
  await using peer = await Peer.start((_request, response) => response.end('{}'));
  for (let call = 0; call < 5; call++) assert.equal((await peer.transport.request({ method: 'GET', path: '/' })).status, 200);
  assert.equal(peer.sockets.size, 1);
});

test('requests wait for a connection rather than opening ever more; a watch has its own', async () => {
  await using peer = await Peer.start(
    (request, response) => {
      if (request.url?.includes('watch')) response.writeHead(200).write('\n');
      else setImmediate(() => response.end('{}'));
    },
    { connections: 2 },
  );
  const abort = new AbortController();
  const watching = peer.transport.watch({ path: '/watch', signal: abort.signal, receive: () => undefined });
  await Promise.all(Array.from({ length: 20 }, () => peer.transport.request({ method: 'GET', path: '/' })));
  assert.equal(peer.sockets.size, 3);
  abort.abort();
  await watching;
});

for (const method of ['GET', 'PUT', 'DELETE', 'POST', 'PATCH'] as const)
  test(`a kept connection that the server just closed: ${method} ${['POST', 'PATCH'].includes(method) ? 'is not repeated' : 'goes again, once'}`, async () => {
    let calls = 0;
    await using peer = await Peer.start((request, response) => {
      calls += 1;
      // The second call on a connection finds it torn down, as when the server's patience ended just then.
      if (calls === 2) request.socket.destroy();
      else response.end('{}');
    });
    await peer.transport.request({ method: 'GET', path: '/' });
    const again = peer.transport.request({ method, path: '/', ...(method === 'GET' ? {} : { body: {} }) });
    if (method === 'POST' || method === 'PATCH') await assert.rejects(again, { reason: 'ServiceUnavailable' });
    else assert.equal((await again).status, 200);
    assert.equal(calls, method === 'POST' || method === 'PATCH' ? 2 : 3);
  });

test('a server that goes away in the middle of an answer is ServiceUnavailable', async () => {
  await using peer = await Peer.start((request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"half":');
    setImmediate(() => request.socket.destroy());
  });
  await assert.rejects(peer.transport.request({ method: 'GET', path: '/' }), { reason: 'ServiceUnavailable' });
});

test('no answer in time is Timeout, also when it stops in the middle; an aborted request ends at once with what it was aborted with', async () => {
  let started = () => {};
  await using peer = await Peer.start(
    (request, response) => {
      if (request.url === '/half') response.writeHead(200).write('{');
      started();
    },
    { timeoutMs: 100 },
  );
  await assert.rejects(peer.transport.request({ method: 'GET', path: '/none' }), { reason: 'Timeout' });
  await assert.rejects(peer.transport.request({ method: 'GET', path: '/half' }), { reason: 'Timeout' });
  const abort = new AbortController();
  const begun = new Promise<void>(resolve => (started = resolve));
  const request = peer.transport.request({ method: 'GET', path: '/none', signal: abort.signal });
  await begun;
  abort.abort(new Error('enough'));
  await assert.rejects(request, /enough/);
});

test('nobody there is ServiceUnavailable with a hint; a wrong authority too', async () => {
  const peer = await Peer.start((_request, response) => response.end('{}'));
  await peer[Symbol.asyncDispose]();
  await assert.rejects(peer.transport.request({ method: 'GET', path: '/' }), { reason: 'ServiceUnavailable', hint: /umiak status/ });
});

test('a watch: refusals are errors of the API, a broken stream too, an orderly end is none', async () => {
  await using peer = await Peer.start((request, response) => {
    const frame = { type: 'ADDED', object: { metadata: { name: 'a', uid: 'a', resourceVersion: '7' } } };
    if (request.url?.includes('refused')) {
      response.writeHead(410).end(JSON.stringify({ kind: 'Status', reason: 'Expired', code: 410, message: 'too old' }));
      return;
    }
    response.writeHead(200);
    const text = `${JSON.stringify(frame)}\n`;
    // In pieces that split a frame.
    response.write(text.slice(0, 20));
    setImmediate(() => {
      response.write(`${text.slice(20)}${text.slice(0, 5)}`);
      if (request.url?.includes('broken')) setImmediate(() => request.socket.destroy());
      else setImmediate(() => response.end(text.slice(5)));
    });
  });
  const client = createClient(peer.transport);
  const read = async (namespace: string) => {
    const names: string[] = [];
    for await (const event of client.watch(ConfigMap, { namespace, resourceVersion: '1' }, new AbortController().signal))
      if (event.type !== 'BOOKMARK') names.push(event.object.metadata.name);
    return names;
  };
  await assert.rejects(read('refused'), { reason: 'Expired' });
  await assert.rejects(read('broken'), { reason: 'ServiceUnavailable' });
  assert.deepEqual(await read('whole'), ['a', 'a']);
});

test('a slow reader of a watch holds the sender back', { timeout: 30_000 }, async () => {
  let written = 0;
  let isHeldBack = () => {};
  const heldBack = new Promise<void>(resolve => (isHeldBack = resolve));
  const total = 40_000;
  const line = Buffer.from(
    `${JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'a', uid: 'a', resourceVersion: '7' }, data: { a: 'x'.repeat(1_000) } } })}\n`,
  );
  await using peer = await Peer.start(async (_request, response) => {
    response.writeHead(200);
    for (; written < total && !response.destroyed; written++)
      if (!response.write(line)) {
        const drained = once(response, 'drain', { signal: AbortSignal.timeout(1_000) }).catch(() => isHeldBack());
        await drained;
        if (response.writableNeedDrain) await once(response, 'drain').catch(() => {});
      }
    response.end();
  });
  const abort = new AbortController();
  const events = createClient(peer.transport).watch(ConfigMap, { resourceVersion: '1' }, abort.signal)[Symbol.asyncIterator]();
  assert.equal((await events.next()).value?.type, 'ADDED');
  await heldBack;
  assert.ok(written < total / 2, `${written} of ${total} frames sent though nobody reads`);
  let seen = 1;
  while (!(await events.next()).done) seen += 1;
  assert.equal(seen, total);
});
