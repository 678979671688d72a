import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '#base/index.ts';
import { CertificateAuthority } from '#pki/index.ts';
import { type CheckResult, httpProbe, MOST_OUTPUT_BYTES, portNumber, tcpProbe } from './probe-checks.ts';

const SECONDS = 1000;

async function listen(server: Server): Promise<{ port: number } & AsyncDisposable> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise(resolve => server.close(resolve));
    },
  };
}

const container = (port = 0) => ({ name: 'c', ports: [{ name: 'web', containerPort: port }] });

describe('HTTP probes', () => {
  const seen: { url: string; headers: Record<string, unknown> }[] = [];
  const answers: Record<string, RequestListener> = {
    '/ok': (_request, response) => response.end('fine'),
    '/500': (_request, response) => response.writeHead(500).end('broken'),
    '/399': (_request, response) => response.writeHead(399).end('odd'),
    '/away': (_request, response) => response.writeHead(302, { location: 'http://elsewhere.invalid/' }).end('moved'),
    '/here': (_request, response) => response.writeHead(302, { location: '/500' }).end(),
    '/fine': (_request, response) => response.writeHead(307, { location: '/ok' }).end('x'.repeat(100_000)),
    '/nowhere': (_request, response) => response.writeHead(301).end('no location'),
    '/loop': (_request, response) => response.writeHead(302, { location: '/loop' }).end(),
    '/long': (_request, response) => response.end('y'.repeat(1 << 20)),
    '/endless': (_request, response) => void response.write('a beginning'),
    '/silent': () => {},
    '/reset': request => request.socket.destroy(),
  };
  let server: { port: number } & AsyncDisposable;
  const http = createServer((request, response) => {
    seen.push({ url: request.url ?? '', headers: request.headersDistinct });
    (answers[(request.url ?? '').split('?')[0] ?? ''] ?? answers['/ok'])!(request, response);
  });
  before(async () => (server = await listen(http)));
  after(async () => {
    http.closeAllConnections();
    await server[Symbol.asyncDispose]();
  });
  const get = (path: string, more: object = {}, within: number | AbortSignal = 10 * SECONDS) =>
    httpProbe({ path, port: server.port, ...more }, container(server.port), '127.0.0.1', within);
  const url = (path: string) => `http://127.0.0.1:${server.port}${path}`;

  test('answers and what they mean', async () => {
    const table: [path: string, CheckResult][] = [
      ['/ok', { ok: true, message: 'fine' }],
      ['ok', { ok: true, message: 'fine' }],
      ['/500', { ok: false, message: 'HTTP probe failed with statuscode: 500' }],
      ['/399', { ok: true, note: 'warning', message: 'Probe terminated redirects, Response body: odd' }],
      ['/away', { ok: true, note: 'warning', message: 'Probe terminated redirects, Response body: moved' }],
      ['/nowhere', { ok: true, note: 'warning', message: 'Probe terminated redirects, Response body: no location' }],
      ['/here', { ok: false, message: 'HTTP probe failed with statuscode: 500' }],
      ['/fine', { ok: true, message: 'fine' }],
      ['/loop', { ok: false, message: `Get "${url('/loop')}": stopped after 10 redirects` }],
      ['/long', { ok: true, message: 'y'.repeat(MOST_OUTPUT_BYTES) }],
      ['/reset', { ok: false, message: `Get "${url('/reset')}": EOF` }],
    ];
    for (const [path, expected] of table) assert.deepEqual(await get(path), expected, path);
  });

  test('time is up, before an answer or within it', async () => {
    for (const path of ['/silent', '/endless']) {
      const abort = new AbortController();
      const result = get(path, {}, abort.signal);
      setTimeout(() => abort.abort(), 50);
      const expected = `Get "${url(path)}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
      assert.deepEqual(await result, { ok: false, message: expected });
    }
    assert.equal((await get('/silent', {}, 20)).ok, false, 'milliseconds will do, too');
  });

  test('headers: ours unless they are set, repeated ones each, Host as asked for', async () => {
    const headersOf = async (httpHeaders: { name: string; value: string }[]) => {
      await get('/ok', { httpHeaders });
      return seen.at(-1)!.headers;
    };
    const plain = await headersOf([]);
    assert.deepEqual(plain['user-agent'], ['kube-probe/1.36']);
    assert.deepEqual(plain.accept, ['*/*']);
    assert.deepEqual(plain.connection, ['close']);
    const own = await headersOf([
      { name: 'Host', value: 'shop.example' },
      { name: 'user-agent', value: 'me' },
      { name: 'Accept', value: '' },
      { name: 'X-Token', value: 'a' },
      { name: 'x-token', value: 'b' },
    ]);
    assert.deepEqual([own.host, own['user-agent'], own.accept, own['x-token']], [['shop.example'], ['me'], undefined, ['a', 'b']]);
  });

  test('paths with a query, with blanks, or none', async () => {
    await get('/ok?deep=1&x=a b');
    assert.equal(seen.at(-1)!.url, '/ok?deep=1&x=a%20b');
    await httpProbe({ port: server.port }, container(), '127.0.0.1', SECONDS);
    assert.equal(seen.at(-1)!.url, '/');
  });

  test('a named port, a named host, a port that is not there, nobody listening', async () => {
    assert.equal((await get('/ok', { port: 'web' })).ok, true);
    assert.equal((await httpProbe({ port: server.port, host: '127.0.0.1' }, container(), '192.0.2.1', SECONDS)).ok, true);
    assert.deepEqual(await get('/ok', { port: 'gone' }), { ok: false, note: 'error', message: 'the container has no port "gone"' });
    const free = await listen(createTcpServer());
    await free[Symbol.asyncDispose]();
    assert.deepEqual(await get('/ok', { port: free.port }), {
      ok: false,
      message: `Get "http://127.0.0.1:${free.port}/ok": dial tcp 127.0.0.1:${free.port}: connect: connection refused`,
    });
  });

  test('HTTPS takes any certificate', async () => {
    const directory = mkdtempSync(join(tmpdir(), `umiak-probe-${process.pid}-`));
    try {
      const authority = await CertificateAuthority.open({ directory, clock: systemClock });
      const pair = await authority.issue({ commonName: 'nobody', hosts: ['elsewhere.example'], usages: ['serverAuth'] });
      await using tls = await listen(
        createTlsServer({ cert: pair.certificate, key: pair.key }, (_request, response) => response.end('safe')),
      );
      const result = await httpProbe({ port: tls.port, scheme: 'HTTPS' }, container(), '127.0.0.1', 10 * SECONDS);
      assert.deepEqual(result, { ok: true, message: 'safe' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test('TCP probes: whoever accepts is well', async () => {
  const open = await listen(createTcpServer(socket => socket.on('error', () => {}).resume()));
  const at = (port: number | string, within: number | AbortSignal = 10 * SECONDS) =>
    tcpProbe({ port }, container(open.port), '127.0.0.1', within);
  assert.deepEqual(await at(open.port), { ok: true, message: '' });
  assert.deepEqual(await at('web'), { ok: true, message: '' });
  assert.deepEqual(await at('gone'), { ok: false, note: 'error', message: 'the container has no port "gone"' });
  assert.deepEqual(await at(open.port, AbortSignal.abort()), { ok: false, message: `dial tcp 127.0.0.1:${open.port}: i/o timeout` });
  await open[Symbol.asyncDispose]();
  assert.deepEqual(await at(open.port), { ok: false, message: `dial tcp 127.0.0.1:${open.port}: connect: connection refused` });
});

test('ports by number, name, or a number in words', () => {
  const of = (port: string | number) => portNumber({ name: 'c', ports: [{ name: 'web', containerPort: 8080 }] }, port);
  assert.deepEqual([of(80), of('web'), of('80'), of('gone'), of(''), of(0), of(65_536), of('8.5')], [80, 8080, 80, ...Array(5)]);
});
