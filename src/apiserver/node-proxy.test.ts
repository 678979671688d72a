import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request as httpsRequest, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, beforeEach, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { ManualClock } from '#base/clock.ts';
import type { Pod } from '#kinds/types.gen.ts';
import { ClusterPki } from '#pki/cluster-pki.ts';
import { refuseUpgrade } from '#wire/upgrade.ts';
import { acceptChannels, type Channels, toExitStatus } from '#wire/websocket-channels.ts';
import { dialChannels } from '#wire/websocket-channels-client.ts';
import { DirectNodeConnector } from './direct-node-connector.ts';
import { HttpServer } from './http-server.ts';
import { createNodeProxy } from './node-proxy.ts';
import { toStatus } from './status.ts';
import { sendStream } from './stream-outcome.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-node-proxy-${process.pid}-`));
let pki: ClusterPki;
/** The node: a real HTTPS server with the kubelet's paths. */
let node: Server;
const nodeSockets = new Set<TLSSocket>();
let connector: DirectNodeConnector;
/** The API server's door, with nothing but the proxy behind it. */
let front: HttpServer;
let port: number;
const pods = new Map<string, Pod>();
let mayCreate = true;
let serveLogs: (request: IncomingMessage, response: ServerResponse) => unknown;
let session: (channels: Channels, request: IncomingMessage) => unknown;
const asked: string[] = [];

before(async () => {
  pki = await ClusterPki.open({ directory, clock: new ManualClock(Date.now()) });
  const { server: pair } = await pki.node('box', ['127.0.0.1']);
  node = createServer({
    cert: pair.certificate,
    key: pair.key,
    ca: pki.authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  node.on('secureConnection', socket => {
    nodeSockets.add(socket);
    socket.on('close', () => nodeSockets.delete(socket));
  });
  node.on('request', (request, response) => {
    asked.push(request.url ?? '');
    serveLogs(request, response);
  });
  node.on('upgrade', async (request, socket, head) => {
    asked.push(request.url ?? '');
    if (request.url?.startsWith('/attach')) return refuseUpgrade(socket, 404, 'container not found ("a")');
    await session(await acceptChannels(request, socket, head), request);
  });
  await once(node.listen(0, '127.0.0.1'), 'listening');
  const nodePort = (node.address() as AddressInfo).port;
  connector = new DirectNodeConnector({
    authority: pki.authority.certificate,
    client: pki.kubeletClient,
    resolveNode: name => (name === 'lost' ? undefined : { address: '127.0.0.1', port: name === 'down' ? 1 : nodePort }),
  });
  front = await openFront();
  ({ port } = await front.listen('127.0.0.1', 0));
});

after(async () => {
  await front[Symbol.asyncDispose]();
  await connector[Symbol.asyncDispose]();
  node.closeAllConnections();
  for (const socket of nodeSockets) socket.destroy();
  node.close();
  await once(node, 'close');
  rmSync(directory, { recursive: true, force: true });
});

beforeEach(() => {
  mayCreate = true;
  asked.length = 0;
  pods.clear();
  for (const [name, nodeName] of [
    ['x', 'box'],
    ['far', 'down'],
    ['nowhere', 'lost'],
    ['liar', 'other'],
    ['new', ''],
  ] as const)
    pods.set(name, { metadata: { name, namespace: 'shop' }, spec: { containers: [{ name: 'a' }], nodeName } } as Pod);
});

async function openFront(): Promise<HttpServer> {
  const handlers = createNodeProxy({
    connector,
    getPod: (_namespace, name) => pods.get(name),
    authorize: () => ({ allowed: mayCreate, reason: '' }),
  });
  const answer = async (request: Parameters<ConstructorParameters<typeof HttpServer>[0]['handle']>[0]) => {
    const url = new URL(request.url, 'https://x');
    const [plural, name, subresource, ...rest] = url.pathname.split('/').slice(1) as [string, string, string, ...string[]];
    const route = { namespace: 'shop', name, subresource, rest: rest.join('/') };
    const identity = { name: 'jane', groups: [] };
    return await handlers.get(`${plural}/${subresource}`)!({ request, query: url.searchParams, route, identity });
  };
  const { certificate: cert, key } = pki.apiServer;
  return new HttpServer({
    tls: { cert, key, ca: pki.authority.certificate },
    async handle(request, reply) {
      try {
        const outcome = await answer(request);
        assert.equal(outcome.type, 'stream');
        if (outcome.type === 'stream') await sendStream(reply, outcome);
      } catch (error) {
        const status = toStatus(error);
        reply.head(status.code, {});
        reply.end(Buffer.from(JSON.stringify(status)));
      }
    },
    async upgrade(request, socket, head) {
      try {
        const outcome = await answer(request);
        if (outcome.type === 'upgrade') await outcome.accept(socket, head);
      } catch (error) {
        const status = toStatus(error);
        refuseUpgrade(socket, status.code, JSON.stringify(status), 'application/json');
      }
    },
  });
}

const dial = (path: string, protocols?: ['v4.channel.k8s.io']) =>
  dialChannels(`https://127.0.0.1:${port}${path}`, { tls: { ca: pki.authority.certificate }, ...(protocols && { protocols }) });

async function get(path: string, { method = 'GET', headers = {} as Record<string, string> } = {}): Promise<IncomingMessage> {
  const request = httpsRequest({ host: '127.0.0.1', port, path, method, headers, ca: pki.authority.certificate, agent: false }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

/** Waits until the node has no more than its idle kept connections. */
async function untilNodeIdle(): Promise<void> {
  const deadline = Date.now() + 5000;
  for (;;) {
    const busy = await new Promise<number>((resolve, reject) =>
      node.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
    if (busy === 0) return;
    assert.ok(Date.now() < deadline, `${busy} connections of the node stay open`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

test('logs stream as they come', async () => {
  const second = Promise.withResolvers<void>();
  serveLogs = async (_request, response) => {
    response.write('one\n');
    await second.promise;
    response.end('two\n');
  };
  const response = await get('/pods/x/log?follow=true&tailLines=5');
  assert.equal(response.headers['content-type'], 'text/plain');
  const parts = response[Symbol.asyncIterator]();
  assert.equal(String((await parts.next()).value), 'one\n');
  second.resolve();
  assert.equal(String((await parts.next()).value), 'two\n');
  assert.deepEqual(asked, ['/containerLogs/shop/x/a?follow=true&tailLines=5']);
});

test('fifty megabytes of logs arrive whole', async () => {
  const payload = randomBytes(50 << 20);
  serveLogs = (_request, response) => response.end(payload);
  const hash = createHash('sha256');
  await pipeline(await get('/pods/x/log'), hash);
  assert.equal(hash.digest('hex'), createHash('sha256').update(payload).digest('hex'));
});

test('who stops reading logs stops the node, and leaves nothing behind', async () => {
  const over = Promise.withResolvers<void>();
  serveLogs = async (_request, response) => {
    response.on('close', over.resolve);
    const chunk = Buffer.alloc(1 << 16);
    while (!response.destroyed) if (!response.write(chunk)) await Promise.race([once(response, 'drain'), over.promise]);
  };
  const response = await get('/pods/x/log?follow=true');
  await once(response, 'readable');
  response.destroy();
  await over.promise;
});

test('a log comes in messages to who asks by WebSocket', async () => {
  serveLogs = (_request, response) => void response.write('one ', () => response.end('two'));
  for (const [protocol, decode] of [
    ['binary.k8s.io', String],
    ['base64.binary.k8s.io', (text: unknown) => Buffer.from(String(text), 'base64').toString()],
  ] as const) {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/pods/x/log`, [protocol], { ca: pki.authority.certificate });
    let seen = '';
    socket.on('message', (data, isBinary) => {
      assert.equal(isBinary, protocol === 'binary.k8s.io');
      seen += decode(data);
    });
    await once(socket, 'close');
    assert.deepEqual([seen, socket.protocol], ['one two', protocol]);
  }
  await untilNodeIdle();
});

test('a node that breaks off breaks the answer, too', async () => {
  serveLogs = (_request, response) => response.write('half', () => response.destroy());
  await assert.rejects(async () => (await get('/pods/x/log')).toArray());
});

test('what nodes and pods can’t give is said as Kubernetes says it', async () => {
  serveLogs = (_request, response) => response.writeHead(400).end('container "a" in pod "x" is waiting to start: ContainerCreating');
  const cases: [string, number, RegExp][] = [
    ['/pods/x/log', 400, /waiting to start: ContainerCreating/],
    ['/pods/gone/log', 404, /pods \\"gone\\" not found/],
    ['/pods/far/log', 503, /error dialing backend: node down/],
    ['/pods/nowhere/log', 503, /has not published/],
    ['/pods/liar/log', 503, /error dialing backend.*other.*is not in the cert/],
    ['/pods/new/log', 200, /^$/],
    ['/pods/x/exec?command=sh&stdout=1', 400, /Upgrade request required/],
    ['/pods/x/portforward', 400, /Upgrade request required/],
  ];
  for (const [path, status, body] of cases) {
    const response = await get(path);
    assert.match(Buffer.concat(await response.toArray()).toString(), body, path);
    assert.equal(response.statusCode, status, path);
  }
});

test('exec goes through to the node and back, with its exit code', async () => {
  session = async ({ stdin, stdout, sendStatus }, request) => {
    assert.match((request.socket as TLSSocket).getPeerX509Certificate()?.subject ?? '', /CN=kube-apiserver-kubelet-client/);
    assert.equal(request.headers.authorization, undefined);
    await pipeline(stdin, stdout, { end: false });
    await sendStatus(toExitStatus(7));
  };
  const client = await dial('/pods/x/exec?command=cat&stdin=1&stdout=1');
  assert.equal(client.protocol, 'v5.channel.k8s.io');
  client.stdin.end('hello');
  assert.equal(Buffer.concat(await client.stdout.toArray()).toString(), 'hello');
  assert.equal((await client.status)?.details?.causes?.[0]?.message, '7');
  assert.deepEqual(asked, ['/exec/shop/x/a?input=1&output=1&command=cat']);
});

test('fifty megabytes go through exec and come back whole', async () => {
  const payload = randomBytes(50 << 20);
  session = async ({ stdin, stdout, sendStatus }) => {
    await pipeline(stdin, stdout, { end: false });
    await sendStatus(toExitStatus(0));
  };
  const client = await dial('/pods/x/exec?command=cat&stdin=1&stdout=1');
  client.stdin.end(payload);
  const hash = createHash('sha256');
  await pipeline(client.stdout, hash);
  assert.equal(hash.digest('hex'), createHash('sha256').update(payload).digest('hex'));
  assert.equal((await client.status)?.status, 'Success');
});

test('a session that either side breaks off is over for both, and nothing stays open', async () => {
  const sessions: Channels[] = [];
  session = channels => sessions.push(channels);
  for (let round = 0; round < 5; round++) {
    const client = await dial('/pods/x/exec?command=yes&stdout=1&stdin=1');
    if (round % 2) sessions[round]!.terminate();
    else client.close();
    await Promise.all([client.closed, sessions[round]!.closed]);
  }
  node.closeIdleConnections();
  await untilNodeIdle();
  assert.equal(front.connectionCount, 0);
});

test('what is neither WebSocket nor SPDY is refused last, after the reason that counts', async () => {
  const upgrade = async (path: string) => {
    const response = await get(path, { method: 'POST', headers: { connection: 'Upgrade', upgrade: 'h2c' } });
    return `${response.statusCode} ${JSON.parse(Buffer.concat(await response.toArray()).toString()).message}`;
  };
  assert.match(await upgrade('/pods/x/exec?command=sh&stdout=1'), /^400 unable to upgrade: this server speaks WebSocket and SPDY/);
  assert.match(await upgrade('/pods/gone/exec?command=sh&stdout=1'), /^404 pods "gone" not found/);
  assert.match(await upgrade('/pods/x/exec?command=sh&stdout=1&container=b'), /^400 container b is not valid/);
});

test('a WebSocket needs the right to create, and the node’s refusal is the client’s', async () => {
  await assert.rejects(dial('/pods/x/attach?stdout=1'), { reason: 'NotFound', message: /container not found \("a"\)/ });
  mayCreate = false;
  await assert.rejects(dial('/pods/x/exec?command=sh&stdout=1'), { reason: 'Forbidden', message: /cannot create resource "pods\/exec"/ });
});

test('a node of a foreign authority is not believed', async () => {
  const foreign = await ClusterPki.open({ directory: join(directory, 'foreign'), clock: new ManualClock(Date.now()) });
  await using wary = new DirectNodeConnector({
    authority: foreign.authority.certificate,
    client: pki.kubeletClient,
    resolveNode: () => ({ address: '127.0.0.1', port: (node.address() as AddressInfo).port }),
  });
  await assert.rejects(wary.request('box', { method: 'GET', path: '/healthz' }), { reason: 'ServiceUnavailable', message: /certificate/ });
  const bare = connect({ host: '127.0.0.1', port: (node.address() as AddressInfo).port, ca: pki.authority.certificate, servername: 'box' });
  const refusal = await new Promise<Error>(resolve => bare.on('error', resolve));
  assert.match(refusal.message, /certificate required/);
});

test('a kept connection that the node closed is replaced unnoticed', async () => {
  await using direct = new DirectNodeConnector({
    authority: pki.authority.certificate,
    client: pki.kubeletClient,
    resolveNode: () => ({ address: '127.0.0.1', port: (node.address() as AddressInfo).port }),
  });
  serveLogs = (_request, response) => response.end('ok');
  const read = async () => Buffer.concat(await (await direct.request('box', { method: 'GET', path: '/pods' })).body.toArray()).toString();
  for (let round = 0; round < 3; round++) {
    assert.equal(await read(), 'ok');
    node.closeIdleConnections();
  }
  direct.setClientCertificate(await pki.client('other'));
  assert.equal(await read(), 'ok');
});
