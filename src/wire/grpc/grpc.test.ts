import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import { ProtobufSchema } from '../protobuf-schema.ts';
import { listenOnSocket } from '../unix-socket.ts';
import { GrpcClient } from './client.ts';
import { toFrame } from './frames.ts';
import { type GrpcCall, GrpcServer } from './server.ts';
import { bindService, type GrpcHandlers } from './service.ts';
import { rawCall } from './testing.ts';

interface Text {
  text?: string | undefined;
  data?: Uint8Array | undefined;
}
interface Echo {
  Say: { request: Text; response: Text };
  Count: { request: Text; response: Text; streams: 'response' };
  Join: { request: Text; response: Text; streams: 'request' };
  Talk: { request: Text; response: Text; streams: 'both' };
  Nobody: { request: Text; response: Text };
}
const schema = new ProtobufSchema({
  messages: { Text: { 1: ['text', 'string'], 2: ['data', 'bytes'] } },
  enums: {},
  services: {
    'test.Echo': {
      Say: ['Text', 'Text'],
      Count: ['Text', 'Text', 'response'],
      Join: ['Text', 'Text', 'request'],
      Talk: ['Text', 'Text', 'both'],
      Nobody: ['Text', 'Text'],
    },
  },
});

let stack: AsyncDisposableStack;
let directory: string;
let socketPath: string;
let server: GrpcServer;
let listener: Server;
let client: GrpcClient<Echo>;
let say: (request: Text, call: GrpcCall) => Promise<Text>;
let count: (request: Text, call: GrpcCall) => AsyncIterable<Text>;
let failures: unknown[];

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  directory = mkdtempSync(join(tmpdir(), 'umiak-grpc-'));
  socketPath = join(directory, 'echo.sock');
  say = async request => request;
  count = async function* ({ text }) {
    for (let i = 0; i < Number(text); i++) yield { text: String(i) };
  };
  failures = [];
  const handlers: Partial<GrpcHandlers<Echo>> = {
    Say: (request, call) => say(request, call),
    Count: (request, call) => count(request, call),
    async Join(requests) {
      const texts: string[] = [];
      for await (const { text = '' } of requests) texts.push(text);
      return { text: texts.join(' ') };
    },
    async *Talk(requests) {
      for await (const { text = '' } of requests) yield { text: text.toUpperCase() };
    },
  };
  const methods = bindService<Echo>(schema, 'test.Echo', handlers);
  server = new GrpcServer({ methodOf: path => methods.get(path), onFailure: (_, error) => failures.push(error) });
  listener = createServer({ pauseOnConnect: true }, socket => {
    server.accept(socket);
    socket.resume();
  });
  await listenOnSocket(listener, socketPath);
  stack.defer(async () => {
    await server[Symbol.asyncDispose]();
    await new Promise(resolve => listener.close(resolve));
    rmSync(directory, { recursive: true });
  });
  client = stack.use(new GrpcClient<Echo>({ schema, service: 'test.Echo', socketPath }));
});
afterEach(() => stack[Symbol.asyncDispose]());

describe('gRPC, client and server', () => {
  it('answers one with one, many at once', async () => {
    const texts = await Promise.all(Array.from({ length: 50 }, (_, i) => client.call('Say', { text: `boat ${i}` })));
    assert.deepEqual(
      texts.map(({ text }) => text),
      Array.from({ length: 50 }, (_, i) => `boat ${i}`),
    );
    const connections = await new Promise<number>(resolve => listener.getConnections((_, count) => resolve(count)));
    assert.equal(connections, 1);
  });

  it('carries messages up to 16 MiB, and no larger', async () => {
    const data = Buffer.alloc((16 << 20) - 16, 'x');
    assert.equal((await client.call('Say', { data })).data?.length, data.length);
    await assert.rejects(client.call('Say', { data: Buffer.alloc((16 << 20) + 1) }), /bytes, 16777216 are the most/);
    say = async () => ({ data: Buffer.alloc((16 << 20) + 1) });
    await assert.rejects(client.call('Say', {}), { reason: 'TooManyRequests' });
  });

  it('streams answers with back-pressure, and ends the handler when the client leaves', async () => {
    const got: (string | undefined)[] = [];
    for await (const { text } of client.stream('Count', { text: '5' })) got.push(text);
    assert.deepEqual(got, ['0', '1', '2', '3', '4']);
    const { promise: ended, resolve } = Promise.withResolvers<number>();
    count = async function* () {
      let made = 0;
      try {
        for (; made < 1e6; made++) yield { data: Buffer.alloc(64 << 10) };
      } finally {
        resolve(made);
      }
    };
    for await (const _ of client.stream('Count', {})) break;
    assert.ok((await ended) < 200, 'it was held back');
  });

  it('takes streams of requests, and both at once', async () => {
    async function* words() {
      yield { text: 'over' };
      yield { text: 'the' };
      yield { text: 'sea' };
    }
    const got: (string | undefined)[] = [];
    for await (const { text } of client.converse('Talk', words())) got.push(text);
    assert.deepEqual(got, ['OVER', 'THE', 'SEA']);
  });

  it("tells failures by gRPC's codes with messages in any script", async () => {
    say = async () => {
      throw new UmiakError('NotFound', 'ikke fundet: 100 % væk\n', { hint: 'Look elsewhere.' });
    };
    await assert.rejects(client.call('Say', {}), { reason: 'NotFound', message: 'ikke fundet: 100 % væk\n (Look elsewhere.)' });
    assert.equal(failures.length, 0);
    say = async () => {
      throw new TypeError('ours');
    };
    await assert.rejects(client.call('Say', {}), { reason: 'InternalError', message: 'ours' });
    assert.equal(failures.length, 1);
    await assert.rejects(client.call('Nobody', {}), { reason: 'NotImplemented', message: 'unknown method Nobody for service test.Echo' });
  });

  it("holds to the client's deadline, and hears of its leaving", async () => {
    let reason: unknown;
    let heard = Promise.withResolvers<void>();
    say = (_, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          heard.resolve();
          reject(signal.reason);
        });
      });
    await assert.rejects(client.call('Say', {}, { timeoutMs: 50 }), { reason: 'Timeout' });
    await heard.promise;
    assert.match(String(reason), /deadline exceeded/);
    heard = Promise.withResolvers<void>();
    const leaving = new AbortController();
    const call = client.call('Say', {}, { signal: leaving.signal });
    setTimeout(() => leaving.abort(new Error('enough')), 50);
    await assert.rejects(call, /enough/);
    await heard.promise;
    assert.match(String(reason), /the client left/);
  });

  it('answers a handler that never ends when its deadline has come', async () => {
    say = () => new Promise(() => {});
    await assert.rejects(client.call('Say', {}, { timeoutMs: 30 }), { reason: 'Timeout' });
  });

  it('ends calls with UNAVAILABLE when the server stops', async () => {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    say = () => {
      resolve();
      return new Promise(() => {});
    };
    const call = assert.rejects(client.call('Say', {}), { reason: 'ServiceUnavailable', message: 'the server is stopping' });
    await begun;
    await server[Symbol.asyncDispose]();
    await call;
  });

  it('has handlers undo what they made before it has stopped, within reason', async () => {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    let isUndone = false;
    say = async (_, { signal }) => {
      resolve();
      await new Promise(abort => signal.addEventListener('abort', abort));
      await new Promise(soon => setTimeout(soon, 20));
      isUndone = true;
      return {};
    };
    const call = assert.rejects(client.call('Say', {}), { reason: 'ServiceUnavailable' });
    await begun;
    await server[Symbol.asyncDispose]();
    assert.ok(isUndone);
    await call;
  });

  it('tells a handler of nothing once its call is answered', async () => {
    const signals: AbortSignal[] = [];
    say = async (request, { signal }) => {
      signals.push(signal);
      return request;
    };
    await client.call('Say', {});
    for await (const _ of client.stream('Count', { text: '2' }));
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [false],
    );
  });

  it('says so when nobody listens', async () => {
    using lost = new GrpcClient<Echo>({ schema, service: 'test.Echo', socketPath: join(directory, 'nobody.sock') });
    await assert.rejects(lost.call('Say', {}), { reason: 'ServiceUnavailable' });
  });
});

const raw = (headers: Record<string, string>, body: Buffer) => rawCall(socketPath, { ':path': '/test.Echo/Say', ...headers }, body);

describe('what a gRPC server is sent', () => {
  const frame = toFrame(schema.encode('Text', { text: 'hi' }));
  const compressed = Buffer.from(frame);
  compressed[0] = 1;
  const long = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
  const refused: [what: string, headers: Record<string, string>, body: Buffer, code: string][] = [
    ['a compressed message', {}, compressed, '12'],
    ['an encoding', { 'grpc-encoding': 'gzip' }, frame, '12'],
    ['a message without its end', {}, frame.subarray(0, -1), '3'],
    ['a message that says to be too long', {}, long, '8'],
    ['no message', {}, Buffer.alloc(0), '3'],
    ['two messages', {}, Buffer.concat([frame, frame]), '13'],
    ['bytes that are no message', {}, toFrame(Buffer.from([0x0a, 0xff])), '3'],
    ['a method that is not there', { ':path': '/test.Echo/Sing' }, frame, '12'],
    ['a path that is none', { ':path': '/' }, frame, '12'],
  ];
  for (const [what, headers, body, code] of refused)
    it(`refuses ${what} with ${code}`, async () => {
      const { headers: answered } = await raw(headers, body);
      assert.deepEqual([answered[':status'], answered['grpc-status']], [200, code]);
    });

  it('refuses what is no gRPC with 415', async () => {
    assert.equal((await raw({ 'content-type': 'application/json' }, frame)).headers[':status'], 415);
  });

  it('answers with trailers after the message', async () => {
    const { headers, data } = await raw({}, frame);
    assert.deepEqual([headers['grpc-status'], headers['content-type'], data], ['0', 'application/grpc', frame]);
  });

  it('loses a connection that speaks no HTTP/2, and no other', async () => {
    const held = client.call('Say', { text: 'before' });
    for (const noise of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(1000, 7),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff'),
    ]) {
      const socket = connect(socketPath);
      await new Promise<void>(resolve => {
        socket.on('error', () => {});
        socket.once('close', () => resolve());
        socket.resume();
        socket.end(noise);
      });
    }
    assert.equal((await held).text, 'before');
    assert.equal((await client.call('Say', { text: 'after' })).text, 'after');
  });

  it('ends a connection that begins and leaves calls without end', async () => {
    let begun = 0;
    say = async request => {
      begun++;
      return request;
    };
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    const closed = new Promise(resolve => session.once('close', resolve));
    session.on('error', () => {});
    for (let i = 0; i < 20_000 && !session.destroyed && !session.closed; i++) {
      const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc' });
      stream.on('error', () => {});
      stream.end(frame);
      stream.close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise(resolve => setImmediate(resolve));
    }
    await closed;
    assert.ok(begun < 5_000, String(begun));
    assert.equal((await client.call('Say', { text: 'others' })).text, 'others');
  });

  it('keeps no more answers than some of the largest for a client that does not read', async () => {
    const { promise: begun, resolve: allBegun } = Promise.withResolvers<void>();
    let count = 0;
    say = async () => {
      if (++count === 12) allBegun();
      return { data: Buffer.alloc(15 << 20) };
    };
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath), settings: { initialWindowSize: 0 } });
    const statuses = Array.from({ length: 12 }, async () => {
      const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc' });
      stream.resume().end(frame);
      const [headers] = await once(stream, 'trailers');
      return headers['grpc-status'];
    });
    await begun;
    await raw({ ':path': '/' }, frame); // what was begun before has been answered
    session.setLocalWindowSize(2 ** 30);
    session.settings({ initialWindowSize: 2 ** 30 });
    const codes = (await Promise.all(statuses)).sort();
    assert.deepEqual(codes, ['0', '0', '0', '0', '0', '8', '8', '8', '8', '8', '8', '8']);
    session.destroy();
    say = async request => request;
    assert.equal((await client.call('Say', { text: 'others' })).text, 'others');
  });

  it('lives on when clients leave in the middle of a message', async () => {
    for (let i = 0; i < 20; i++) {
      const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
      session.on('error', () => {});
      const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc' });
      stream.on('error', () => {});
      stream.write(frame.subarray(0, 4));
      if (i % 2) await new Promise(resolve => session.once('connect', resolve));
      if (i % 3) stream.close(constants.NGHTTP2_CANCEL);
      session.destroy();
    }
    assert.equal((await client.call('Say', { text: 'still here' })).text, 'still here');
  });
});
