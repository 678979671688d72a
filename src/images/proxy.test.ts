import assert from 'node:assert/strict';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { CertificateAuthority } from '#pki/ca.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { HttpClient } from './http-client.ts';
import { openImages } from './images.ts';
import { planProxy, proxyOf } from './proxy.ts';
import { RegistryFixture } from './registry-fixture.ts';
import type { RegistryHosts } from './registry-session.ts';
import { systemAuthorities } from './system-authorities.ts';

let directory: AsyncDisposable & { path: string };
let authority: CertificateAuthority;
before(async () => {
  directory = await temporaryDirectory();
  authority = await CertificateAuthority.open({ directory: join(directory.path, 'ca'), clock: systemClock, commonName: 'house' });
});
after(() => directory[Symbol.asyncDispose]());

test('which proxy an address takes, by Go’s rules', () => {
  const proxy = { http: 'http://plain:3128', https: 'http://secure:3128' };
  const table: [url: string, no: string, expected: string | undefined][] = [
    ['http://r.example/', '', 'http://plain:3128'],
    ['https://r.example/', '', 'http://secure:3128'],
    ['http://localhost:5000/', '', undefined],
    ['http://127.9.9.9/', '', undefined],
    ['http://[::1]:5000/', '', undefined],
    ['https://r.example/', '*', undefined],
    ['https://r.example/', 'example', undefined],
    ['https://r.example/', 'r.example', undefined],
    ['https://r.example/', '.r.example', 'http://secure:3128'],
    ['https://a.r.example/', '.r.example', undefined],
    ['https://a.r.example/', '*.r.example', undefined],
    ['https://ar.example/', 'r.example', 'http://secure:3128'],
    ['https://R.Example/', 'x, R.EXAMPLE', undefined],
    ['https://r.example/', 'r.example:443', undefined],
    ['https://r.example:5000/', 'r.example:443', 'http://secure:3128'],
    ['http://r.example/', 'r.example:80', undefined],
    ['http://10.1.2.3/', '10.1.0.0/16', undefined],
    ['http://10.2.2.3/', '10.1.0.0/16', 'http://plain:3128'],
    ['http://10.1.2.3:8080/', '10.1.2.3:8080', undefined],
    ['http://10.1.2.3:8081/', '10.1.2.3:8080', 'http://plain:3128'],
    ['http://10.1.2.34/', '10.1.2.3', 'http://plain:3128'],
    ['http://[fd00::1]/', 'fd00::/8', undefined],
    ['http://[fd00::1]/', 'fd00::1', undefined],
    ['http://[fd00::1]:81/', '[fd00::1]:80', 'http://plain:3128'],
    ['http://r.example/', '10.0.0.0/99,/8,:80,,', 'http://plain:3128'],
  ];
  for (const [url, no, expected] of table) assert.equal(planProxy(new URL(url), { ...proxy, no }), expected, `${url} with ${no}`);
  assert.equal(planProxy(new URL('http://r.example/'), { http: 'proxy:3128' }), 'http://proxy:3128');
  assert.equal(planProxy(new URL('https://r.example/'), { http: 'proxy:3128' }), undefined);
  const env = { HTTP_PROXY: '', http_proxy: 'a', HTTPS_PROXY: 'b', no_proxy: 'c' };
  assert.deepEqual(proxyOf(env), { http: 'a', https: 'b', no: 'c' });
});

/** A proxy that leads everything to one address, whatever name it was asked for; says what it was asked. */
async function startProxy(
  target: () => string,
  tls?: { cert: string; key: string },
): Promise<AsyncDisposable & { port: number; asked: string[] }> {
  const asked: string[] = [];
  const server: Server = tls ? createTlsServer(tls) : createServer();
  server.on('request', (incoming: IncomingMessage, response) => {
    asked.push(`${incoming.method} ${incoming.url} ${incoming.headers['proxy-authorization'] ?? ''}`);
    const url = new URL(incoming.url ?? '');
    const [host, port] = target().split(':');
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    const onward = httpRequest({ host, port, method: incoming.method, path: url.pathname + url.search, headers }, answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    incoming.pipe(onward);
  });
  server.on('connect', ({ method, url, headers }: IncomingMessage, socket: Socket) => {
    asked.push(`${method} ${url} ${headers['proxy-authorization'] ?? ''}`);
    const [host = '', port] = target().split(':');
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    for (const each of [socket, onward]) each.on('error', () => {});
    socket.on('close', () => onward.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

const image = buildImage([buildTar([{ name: 'app', content: 'x' }])]);
let serial = 0;
/** Pauses between tries are not waited for. */
const clock: Clock = { ...systemClock, after: (_, act) => systemClock.after(0, act) };

async function pullThrough(proxy: { http?: string; https?: string; no?: string }, hosts: RegistryHosts) {
  const dataDir = join(directory.path, `data-${++serial}`);
  await using images = await openImages({ dataDir, log: silentLog, proxy, hosts, clock });
  return (await images.pull('r.example:5000/app:1', { unpack: false })).id;
}

test('a registry is reached through a proxy: plain, by CONNECT, with the proxy’s own login', async () => {
  const pair = await authority.issue({ commonName: 'r', hosts: ['r.example', '127.0.0.1'], usages: ['serverAuth'] });
  const tls = { cert: pair.certificate, key: pair.key };
  await using plain = await RegistryFixture.start();
  await using secure = await RegistryFixture.start(tls);
  for (const registry of [plain, secure]) {
    registry.auth = 'none';
    registry.add('app', '1', image);
  }
  await using toPlain = await startProxy(() => plain.host);
  await using toSecure = await startProxy(() => secure.host);
  const plainly = { 'r.example:5000': { endpoint: 'http://r.example:5000' } };
  assert.equal(await pullThrough({ http: `http://me:pass@127.0.0.1:${toPlain.port}` }, plainly), image.configDigest);
  const login = `Basic ${Buffer.from('me:pass').toString('base64')}`;
  assert.deepEqual(toPlain.asked[0], `GET http://r.example:5000/v2/app/manifests/1 ${login}`);
  const trusting = { 'r.example:5000': { ca: authority.certificate } };
  assert.equal(await pullThrough({ https: `127.0.0.1:${toSecure.port}` }, trusting), image.configDigest);
  assert.deepEqual([...new Set(toSecure.asked)], ['CONNECT r.example:5000 ']);
  for (const https of ['socks5://me:pass@127.0.0.1:1', 'http://', 'a b'])
    await assert.rejects(pullThrough({ https }, trusting), error => /proxy for https/.test(String(error)) && !/pass/.test(String(error)));
  await assert.rejects(pullThrough({ https: '127.0.0.1:1' }, trusting), /can't be reached.*ECONNREFUSED/);
});

test('authorities of SSL_CERT_FILE and SSL_CERT_DIR are trusted besides Node’s', async t => {
  const file = join(directory.path, 'ca', 'ca.crt');
  assert.deepEqual(await systemAuthorities({ SSL_CERT_FILE: file }), [authority.certificate.trim()]);
  assert.ok((await systemAuthorities({ SSL_CERT_DIR: `/absent:${join(directory.path, 'ca')}` })).includes(authority.certificate.trim()));
  assert.deepEqual(await systemAuthorities({ SSL_CERT_FILE: '/absent' }), []);
  const pair = await authority.issue({ commonName: 'r', hosts: ['127.0.0.1'], usages: ['serverAuth'] });
  await using registry = await RegistryFixture.start({ cert: pair.certificate, key: pair.key });
  registry.auth = 'none';
  registry.add('app', '1', image);
  const hosts = { [registry.host]: { endpoint: `https://${registry.host}`, insecure: false } };
  const pull = async () => {
    await using images = await openImages({ dataDir: join(directory.path, `data-${++serial}`), log: silentLog, hosts });
    return (await images.pull(`${registry.host}/app:1`, { unpack: false })).id;
  };
  await assert.rejects(pull(), /can't be reached: .*certificate/);
  const before = process.env.SSL_CERT_FILE;
  t.after(() => {
    if (before === undefined) delete process.env.SSL_CERT_FILE;
    else process.env.SSL_CERT_FILE = before;
  });
  process.env.SSL_CERT_FILE = file;
  assert.equal(await pull(), image.configDigest);

  // A proxy that itself speaks TLS is trusted by the same authorities.
  await using proxy = await startProxy(() => registry.host, { cert: pair.certificate, key: pair.key });
  const trusting = { 'r.example:5000': { ca: authority.certificate } };
  await assert.rejects(pullThrough({ https: `https://127.0.0.1:${proxy.port}` }, trusting), /does not match|altnames/);
  const other = { 'r.example:5000': { insecure: true, endpoint: 'https://r.example:5000' } };
  assert.equal(await pullThrough({ https: `https://127.0.0.1:${proxy.port}` }, other), image.configDigest);
  assert.deepEqual([...new Set(proxy.asked)], ['CONNECT r.example:5000 ']);

  // A registry of this machine that needs no authority does not make others do without one.
  using client = new HttpClient({ insecure: 'loopback', proxy: { https: `https://127.0.0.1:${proxy.port}` } });
  assert.equal((await client.request(new URL(`https://${registry.host}/v2/app/manifests/1`))).resume().statusCode, 200);
  await assert.rejects(client.request(new URL('https://r.example:5000/v2/app/manifests/1')), /does not match|altnames/);
});
