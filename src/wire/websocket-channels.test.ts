import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, test } from 'node:test';
import { WebSocket } from 'ws';
import { ManualClock } from '#base/clock.ts';
import { isUmiakError, messageOf } from '#base/errors.ts';
import { refuseUpgrade } from './upgrade.ts';
import { acceptChannels, type Channels, toExitStatus } from './websocket-channels.ts';
import { dialChannels } from './websocket-channels-client.ts';

let server: Server;
let url: string;
let session: (channels: Channels) => unknown;
let sockets: Set<Socket>;
const clock = new ManualClock();

beforeEach(async () => {
  sockets = new Set();
  server = createServer();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', async (request, socket, head) => {
    try {
      await session(await acceptChannels(request, socket, head, { clock }));
    } catch (error) {
      refuseUpgrade(socket, isUmiakError(error, 'BadRequest') ? 400 : 500, messageOf(error));
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/exec`;
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
});

/** Waits until all connections are gone. */
async function quiet(): Promise<void> {
  for (const socket of sockets) if (!socket.destroyed) await once(socket, 'close');
}

test('chooses the best protocol both speak', async () => {
  session = ({ terminate }) => terminate();
  const cases: [string[], string][] = [
    [['v4.channel.k8s.io', 'v5.channel.k8s.io'], 'v5.channel.k8s.io'],
    [['v4.channel.k8s.io'], 'v4.channel.k8s.io'],
    [['channel.k8s.io', 'base64.channel.k8s.io'], 'channel.k8s.io'],
  ];
  for (const [offered, chosen] of cases) {
    const socket = new WebSocket(url.replace('http', 'ws'), offered);
    await once(socket, 'open');
    assert.equal(socket.protocol, chosen);
    await once(socket, 'close');
  }
});

test('a session: input, output, errors, end of input, exit code', async () => {
  session = async ({ stdin, stdout, stderr, sendStatus }) => {
    stderr.write('begun');
    for await (const chunk of stdin) stdout.write(String(chunk).toUpperCase());
    stdout.write('!');
    await sendStatus(toExitStatus(3));
  };
  const client = await dialChannels(url);
  assert.equal(client.protocol, 'v5.channel.k8s.io');
  client.stdin.write('hello ');
  client.stdin.end('world');
  const [out, err] = await Promise.all([client.stdout.toArray(), client.stderr.toArray()]);
  assert.equal(Buffer.concat(out).toString(), 'HELLO WORLD!');
  assert.equal(Buffer.concat(err).toString(), 'begun');
  const status = await client.status;
  assert.deepEqual(status?.details?.causes, [{ reason: 'ExitCode', message: '3' }]);
  assert.equal(status?.reason, 'NonZeroExitCode');
  await quiet();
});

test('v4 has no end of input, only the end of the connection', async () => {
  const ended = Promise.withResolvers<string>();
  session = async ({ protocol, stdin }) => ended.resolve(`${protocol} ${Buffer.concat(await stdin.toArray())}`);
  const client = await dialChannels(url, { protocols: ['v4.channel.k8s.io'] });
  client.stdin.end('abc');
  await once(client.stdin, 'finish');
  client.close();
  assert.equal(await ended.promise, 'v4.channel.k8s.io abc');
  assert.equal(await client.status, undefined);
});

test('the oldest protocol tells of success by the end alone, of failure in words', async () => {
  const messages = async (exitCode: number) => {
    session = async ({ stdout, sendStatus }) => {
      stdout.write('out');
      await sendStatus(toExitStatus(exitCode));
    };
    const socket = new WebSocket(url.replace('http', 'ws'), ['channel.k8s.io']);
    const seen: string[] = [];
    socket.on('message', (data: Buffer) => data.length > 1 && seen.push(`${data[0]} ${data.subarray(1)}`));
    await once(socket, 'close');
    return seen;
  };
  assert.deepEqual(await messages(0), ['1 out']);
  assert.match((await messages(3)).join(), /^1 out,3 command terminated with non-zero exit code/);
});

test('terminal sizes arrive, the latest wins, nonsense is ignored', async () => {
  const sizes: object[] = [];
  const seen = Promise.withResolvers<void>();
  session = async ({ resize, closed }) => {
    for await (const size of resize) {
      sizes.push(size);
      if (size.width === 132) seen.resolve();
    }
    await closed;
    sizes.push({ ended: true });
  };
  const socket = new WebSocket(url.replace('http', 'ws'), ['v4.channel.k8s.io']);
  await once(socket, 'open');
  for (const text of [
    '{"Width":80,"Height":24}',
    'nonsense',
    '{"Width":-1,"Height":2}',
    '[]',
    '{"Width":1e9,"Height":2}',
    '{"Width":132,"Height":50}',
  ])
    socket.send(Buffer.concat([Buffer.of(4), Buffer.from(text)]));
  await seen.promise;
  socket.close();
  await once(socket, 'close');
  await quiet();
  assert.deepEqual(sizes.at(-2), { width: 132, height: 50 });
  for (const size of sizes.slice(0, -2)) assert.deepEqual(size, { width: 80, height: 24 });
  assert.deepEqual(sizes.at(-1), { ended: true });
});

test('fifty megabytes each way arrive whole, and a slow reader holds its writer up', async () => {
  const payload = randomBytes(50 << 20);
  const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  session = async ({ stdin, stdout, sendStatus }) => {
    await pipeline(stdin, stdout, { end: false });
    await sendStatus(toExitStatus(0));
  };
  const client = await dialChannels(url);
  client.stdin.end(payload);
  // Read nothing for as long as the writer goes on: it must come to a stand long before the end.
  let written = -1;
  while (written !== [...sockets][0]!.bytesRead) {
    written = [...sockets][0]!.bytesRead;
    await new Promise(resolve => setTimeout(resolve, 150));
  }
  assert.ok(written < 30 << 20, `${written} bytes were taken with nobody reading`);
  const chunks = await client.stdout.toArray();
  assert.equal(digest(Buffer.concat(chunks)), digest(payload));
  assert.equal((await client.status)?.status, 'Success');
});

test('a client that goes away ends the session’s streams, also while input is held up', async () => {
  const over = Promise.withResolvers<Channels>();
  session = async channels => {
    await channels.closed;
    over.resolve(channels);
  };
  const client = await dialChannels(url);
  client.stdin.write(Buffer.alloc(4 << 20));
  [...sockets][0]!.resetAndDestroy();
  const channels = await over.promise;
  assert.equal(channels.stdout.destroyed, true);
  await channels.sendStatus(toExitStatus(0));
  await assert.rejects(pipeline(['late'], channels.stdout));
  await channels.stdin.toArray();
  await client.closed;
});

test('a peer that answers no ping is given up', async () => {
  const over = Promise.withResolvers<void>();
  session = async ({ closed }) => closed.then(over.resolve);
  const socket = new WebSocket(url.replace('http', 'ws'), ['v5.channel.k8s.io'], { autoPong: false });
  await once(socket, 'open');
  const pinged = once(socket, 'ping');
  clock.advance(30_000);
  await pinged;
  clock.advance(30_000);
  await over.promise;
});

test('a message that is too long ends the session', async () => {
  const over = Promise.withResolvers<void>();
  session = async ({ closed }) => closed.then(over.resolve);
  const socket = new WebSocket(url.replace('http', 'ws'), ['v5.channel.k8s.io']);
  await once(socket, 'open');
  socket.send(Buffer.alloc(5 << 20));
  const [code] = await once(socket, 'close');
  assert.equal(code, 1009);
  await over.promise;
});

test('says what it does not speak', async () => {
  session = () => assert.fail('no session');
  const refused = (protocols: string[]) => dialChannels(url, { protocols: protocols as never });
  await assert.rejects(refused(['v3.channel.k8s.io']), { reason: 'BadRequest', message: /none of the offered subprotocols/ });
  const response = await new Promise<string>((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    socket.on('error', reject);
    socket.on('unexpected-response', (_request, answer) => resolve(answer.statusCode === 400 ? 'refused' : String(answer.statusCode)));
  });
  assert.equal(response, 'refused');
  await assert.rejects(dialChannels('http://127.0.0.1:1/'), { reason: 'ServiceUnavailable' });
});
