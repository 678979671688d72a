import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { SpdyConnection, type SpdyStream } from './connection.ts';
import { spdyDictionary } from './dictionary.ts';
import { controlFrame, dataHead, FRAME, FrameReader, words } from './frames.ts';
import { HeaderPacker, HeaderUnpacker } from './headers.ts';

let stack: AsyncDisposableStack;
let serverSocket: Socket;
let clientSocket: Socket;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  clientSocket = connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1', allowHalfOpen: true });
  [serverSocket] = await accepted;
  stack.defer(() => {
    for (const socket of [clientSocket, serverSocket]) socket.destroy();
    server.close();
  });
});
afterEach(() => stack[Symbol.asyncDispose]());

const text = async (stream: SpdyStream) => Buffer.concat(await stream.toArray()).toString();
const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');

test("the header compressors' dictionary is the one of the draft", () => {
  assert.equal(spdyDictionary().length, 1423);
  assert.equal(digest(spdyDictionary()), '51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02');
});

test('blocks of headers lean on those before them, and hostile ones are refused', async () => {
  using packer = new HeaderPacker();
  using unpacker = new HeaderUnpacker();
  const sent = [{ streamtype: 'error', port: '80' }, {}, { streamtype: 'data', port: '80', requestid: 'ü' }];
  const sizes: number[] = [];
  for (const headers of sent) {
    const block = await packer.pack(headers);
    sizes.push(block.length);
    assert.deepEqual({ ...(await unpacker.unpack(block)) }, headers);
  }
  assert.ok(sizes[2]! < sizes[0]! + 20);
  await assert.rejects(unpacker.unpack(Buffer.from('nonsense')), { reason: 'BadRequest' });
  using bomb = new HeaderPacker();
  const huge = await bomb.pack({ a: 'x'.repeat(60_000) });
  using other = new HeaderUnpacker();
  assert.equal((await other.unpack(huge)).a?.length, 60_000);
  using more = new HeaderPacker();
  await assert.rejects(
    more.pack({ a: 'x'.repeat(1 << 20) }).then(block => other.unpack(block)),
    { reason: 'BadRequest' },
  );
});

test('frames may arrive in any pieces', () => {
  const wire = Buffer.concat([
    controlFrame(FRAME.ping, 0, words(1)),
    dataHead(3, 0, 5),
    Buffer.from('hello'),
    dataHead(3, 1, 0),
    controlFrame(FRAME.rstStream, 0, words(3, 5)),
  ]);
  for (let size = 1; size <= wire.length; size++) {
    const reader = new FrameReader();
    const seen: string[] = [];
    for (let at = 0; at < wire.length; at += size)
      for (const frame of reader.read(wire.subarray(at, at + size)))
        seen.push(frame.type === 'data' ? `${frame.payload}${frame.fin ? '.' : ''}` : `<${frame.kind} ${frame.payload.toString('hex')}>`);
    assert.equal(seen.join(''), '<6 00000001>hello.<3 0000000300000005>', `pieces of ${size}`);
  }
  assert.throws(() => [...new FrameReader().read(Buffer.from('8002000100000000', 'hex'))], { reason: 'BadRequest' });
  assert.throws(() => [...new FrameReader().read(Buffer.from('8003000100ffffff', 'hex'))], { reason: 'BadRequest' });
});

test('streams both ways, half-closed, with their headers; megabytes whole', async () => {
  const data = randomBytes(8 << 20);
  const server = new SpdyConnection({
    socket: serverSocket,
    role: 'server',
    onStream(stream) {
      if (stream.headers.streamtype === 'echo') stream.pipe(stream);
      else stream.end(`you are ${stream.headers.name}`);
    },
  });
  const client = new SpdyConnection({ socket: clientSocket, role: 'client' });
  const named = client.open({ streamtype: 'name', name: 'one' });
  named.end();
  assert.equal(await text(named), 'you are one');
  const echo = client.open({ streamtype: 'echo' });
  echo.end(data);
  assert.equal(digest(Buffer.concat(await echo.toArray())), digest(data));
  client.close();
  await Promise.all([client.closed, server.closed]);
});

test('a stream that is destroyed is over on the other side; a lost connection ends all', async () => {
  const streams: SpdyStream[] = [];
  const opened = Promise.withResolvers<void>();
  const server = new SpdyConnection({
    socket: serverSocket,
    role: 'server',
    onStream(stream) {
      streams.push(stream);
      if (streams.length === 2) opened.resolve();
    },
  });
  const client = new SpdyConnection({ socket: clientSocket, role: 'client' });
  const [one, two] = [client.open({ n: '1' }), client.open({ n: '2' })];
  await opened.promise;
  const over = streams.map(stream => once(stream, 'close'));
  one.destroy();
  await over[0];
  assert.equal(streams[1]?.destroyed, false);
  clientSocket.resetAndDestroy();
  await over[1];
  await server.closed;
  await client.closed;
  assert.equal(two.destroyed, true);
});

test('what is not SPDY ends the connection', async () => {
  const server = new SpdyConnection({ socket: serverSocket, role: 'server', onStream: () => {} });
  clientSocket.write('GET / HTTP/1.1\r\n\r\n'.padEnd(4 << 10, '\xff'), 'latin1');
  clientSocket.write(Buffer.from('8002000100000000', 'hex'));
  clientSocket.on('error', () => {});
  clientSocket.end(controlFrame(FRAME.synStream, 0, words(2, 0), Buffer.alloc(2)));
  await server.closed;
});
