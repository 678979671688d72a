import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { seededRandom } from '#base/ids.ts';
import { openWatch, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
let port: number;
before(async () => {
  cluster = await startTestCluster();
  port = cluster.server.listeners[0]!.port;
});
after(() => cluster?.[Symbol.asyncDispose]());

const connect = (protocols: string[]) => {
  const { admin, authority } = cluster.pki;
  return tls.connect({
    host: '127.0.0.1',
    port,
    ca: authority.certificate,
    cert: admin.certificate,
    key: admin.key,
    ALPNProtocols: protocols,
  });
};

test('HTTP/2 carries requests beside one another, with bodies and refusals', async () => {
  const session = http2.connect(cluster.url, { createConnection: () => connect(['h2']) });
  try {
    const ask = async (path: string, method = 'GET', body?: object) => {
      const stream = session.request({ ':path': path, ':method': method, 'content-type': 'application/json' });
      stream.end(body && JSON.stringify(body));
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      let text = '';
      for await (const part of stream) text += part;
      return { status: headers[':status'], text };
    };
    const maps = '/api/v1/namespaces/default/configmaps';
    const made = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(maps, 'POST', { metadata: { name: `h2-${i}` } })));
    assert.deepEqual(new Set(made.map(({ status }) => status)), new Set([201]));
    assert.equal((await ask(`${maps}/h2-7`)).status, 200);
    assert.equal((await ask(`${maps}/none`)).status, 404);
    assert.equal((await ask(maps, 'POST', { metadata: { name: 'big' }, data: { a: 'x'.repeat(4 << 20) } })).status, 413);
  } finally {
    session.destroy();
  }
});

test('garbage on the wire ends its own connection and nothing else', async () => {
  const seed = Date.now() % 1e9;
  const random = seededRandom(seed);
  const garbage = () => Buffer.from(Array.from({ length: 400 }, () => Math.floor(random() * 256)));
  const openers = [() => net.connect(port, '127.0.0.1'), () => connect(['http/1.1']), () => connect(['h2'])];
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const socket = openers[i % openers.length]!();
      socket.on('error', () => {});
      if (socket instanceof tls.TLSSocket) await once(socket, 'secureConnect');
      if (i % 4 === 3) socket.write('GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n');
      socket.write(garbage());
      socket.resume();
      if (i % 2 === 0) socket.end();
      const closed = socket.closed ? Promise.resolve() : once(socket, 'close');
      const left = setTimeout(() => socket.destroy(), 200);
      await closed;
      clearTimeout(left);
    }),
  );
  assert.equal((await cluster.call('GET', '/readyz')).text, 'ok', `seed ${seed}`);
});

test('a reader that takes nothing is cut off, and others go on', async () => {
  const path = '/api/v1/namespaces/default/secrets?watch=1';
  const lazy = connect(['http/1.1']);
  lazy.on('error', () => {});
  await once(lazy, 'secureConnect');
  lazy.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  lazy.pause();
  await using keen = await openWatch(cluster, path);
  const value = Buffer.alloc(700_000, 'x').toString('base64');
  const total = 80;
  const reading = keen.until(({ object }) => (object as { metadata: { name: string } }).metadata.name === `s${total - 1}`);
  for (let i = 0; i < total; i++) {
    assert.equal(
      (await cluster.call('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: `s${i}` }, data: { x: value } })).status,
      201,
    );
  }
  assert.equal((await reading).length, total);
  const closed = once(lazy, 'close');
  let received = 0;
  lazy.on('data', part => {
    received += part.length;
  });
  lazy.resume();
  await closed;
  assert.ok(received < total * 900_000, 'it did not get everything');
});

test('a server that ends lets its port go', async () => {
  await using other = await startTestCluster();
  const { port: its } = other.server.listeners[0]!;
  await using watch = await openWatch(other, '/api/v1/namespaces?watch=1');
  assert.ok(await watch.next());
  await other.server[Symbol.asyncDispose]();
  const socket = net.connect(its, '127.0.0.1');
  await assert.rejects(once(socket, 'connect'), /ECONNREFUSED/);
});
