import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Container, Engine, ExecOptions, ExecSession, Sandbox } from '#engine/engine.ts';
import { SpdyConnection } from '#wire/spdy/connection.ts';
import { dialChannels } from '#wire/websocket-channels-client.ts';
import { StreamingServer } from './streaming-server.ts';

const CLOCK = new ManualClock();
const OUT = { stdin: false, stdout: true, stderr: true, tty: false };
let stack: AsyncDisposableStack;
let server: StreamingServer;
let execs: [string, ExecOptions][];
let exec: (options: ExecOptions) => Partial<ExecSession>;
let target: Socket | undefined;

beforeEach(() => {
  stack = new AsyncDisposableStack();
  execs = [];
  exec = () => ({ stdout: Readable.from(['hello\n']), stderr: Readable.from(['oh\n']), exitCode: Promise.resolve(3) });
  const containers: Record<string, string> = { runs: 'running', ended: 'exited' };
  const engine: Pick<Engine, 'container' | 'sandbox' | 'exec' | 'attach' | 'dial'> = {
    container: id => (containers[id] ? ({ id, state: containers[id], config: {} } as Container) : undefined),
    sandbox: id => (id === 'ready' || id === 'stopped' ? ({ id, state: id === 'ready' ? 'ready' : 'notready' } as Sandbox) : undefined),
    exec: async (id, options) => {
      execs.push([id, options]);
      return { resize: () => {}, close: () => {}, ...exec(options) } as ExecSession;
    },
    attach: async () => ({ stdout: Readable.from(['said']), resize: () => {}, close: () => {} }),
    dial: async (id, port) => {
      assert.equal(id, 'ready');
      if (!target) throw new UmiakError('ServiceUnavailable', `nobody listens on port ${port}`);
      return target;
    },
  };
  server = stack.use(new StreamingServer({ engine, clock: CLOCK, log: silentLog }));
});
afterEach(() => stack[Symbol.asyncDispose]());

const get = (url: string) =>
  new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    const request = httpRequest(url, { agent: false }, response => {
      text(response).then(body => resolve({ status: response.statusCode, body }), reject);
    });
    request.on('error', reject).end();
  });

/** As client-go does: POST, and SPDY/3.1 when it is granted. */
function dialSpdy(url: string, protocol: string): Promise<SpdyConnection> {
  return new Promise((resolve, reject) => {
    const headers = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocol };
    // Half open: what is still to be read must not go with the server's end.
    const createConnection = () => connect({ host: '127.0.0.1', port: Number(new URL(url).port), allowHalfOpen: true });
    const request = httpRequest(url, { method: 'POST', headers, createConnection });
    request.on('upgrade', (_response: IncomingMessage, socket: Duplex, head: Buffer) => {
      stack.defer(() => void socket.destroy());
      resolve(new SpdyConnection({ socket, head, role: 'client' }));
    });
    request.on('response', response => reject(new Error(`${response.statusCode}`)));
    request.on('error', reject).end();
  });
}

test('requests are checked before a URL is given', async () => {
  const bad = async (call: Promise<string>, reason: string) => await assert.rejects(call, { reason });
  await bad(server.exec({ ...OUT, containerId: 'nobody', command: ['x'] }), 'NotFound');
  await bad(server.exec({ ...OUT, containerId: 'ended', command: ['x'] }), 'Conflict');
  await bad(server.exec({ ...OUT, containerId: 'runs', command: [] }), 'BadRequest');
  await bad(server.exec({ ...OUT, containerId: 'runs', command: ['x'], tty: true }), 'BadRequest');
  await bad(server.attach({ containerId: 'runs', stdin: false, stdout: false, stderr: false, tty: false }), 'BadRequest');
  await bad(server.portForward({ sandboxId: 'nobody', ports: [] }), 'NotFound');
  await bad(server.portForward({ sandboxId: 'stopped', ports: [] }), 'Conflict');
});

test('a URL opens once, within a minute, for what it was given for', async () => {
  const ask = () => server.exec({ ...OUT, containerId: 'runs', command: ['true'] });
  const url = await ask();
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{32}$/);
  assert.equal((await get(url)).status, 400, 'no upgrade: the token stays good');
  assert.equal((await get(new URL('/metrics', url).href)).status, 404);
  const channels = await dialChannels(url);
  await channels.closed;
  await assert.rejects(dialChannels(url), { reason: 'NotFound' });
  const attach = (await ask()).replace('/exec/', '/attach/');
  await assert.rejects(dialChannels(attach), { reason: 'NotFound' });
  const old = await ask();
  CLOCK.advance(60_000);
  await assert.rejects(dialChannels(old), { reason: 'NotFound' });
});

test('at most a thousand wait; those that are too old make room', async () => {
  const ask = () => server.exec({ ...OUT, containerId: 'runs', command: ['true'] });
  for (let i = 0; i < 1_000; i++) await ask();
  await assert.rejects(ask(), { reason: 'TooManyRequests' });
  CLOCK.advance(60_000);
  await ask();
});

test('exec over WebSocket: both outputs and the exit code', async () => {
  const url = await server.exec({ ...OUT, containerId: 'runs', command: ['sh', '-c', 'x'] });
  const channels = await dialChannels(url);
  assert.deepEqual(await Promise.all([text(channels.stdout), text(channels.stderr)]), ['hello\n', 'oh\n']);
  assert.equal((await channels.status)?.details?.causes?.[0]?.message, '3');
  assert.deepEqual([execs[0]?.[0], execs[0]?.[1].command], ['runs', ['sh', '-c', 'x']]);
});

test('exec over SPDY/3.1: stdin with its end, stdout, status', async () => {
  exec = () => {
    const echo = new PassThrough();
    const ended = new Promise<number>(resolve => echo.once('finish', () => resolve(0)));
    return {
      stdin: new Writable({ write: (chunk, _e, done) => done(void echo.write(chunk)), final: done => done(void echo.end()) }),
      stdout: echo,
      exitCode: ended,
    };
  };
  const url = await server.exec({ containerId: 'runs', command: ['cat'], stdin: true, stdout: true, stderr: false, tty: false });
  const connection = await dialSpdy(url, 'v4.channel.k8s.io');
  const [error, stdin, stdout] = ['error', 'stdin', 'stdout'].map(streamtype => connection.open({ streamtype }));
  stdin?.end('what is typed');
  assert.equal(await text(stdout as Readable), 'what is typed');
  assert.deepEqual(JSON.parse(await text(error as Readable)), { metadata: {}, status: 'Success' });
});

test('attach: what the container says', async () => {
  const channels = await dialChannels(await server.attach({ ...OUT, containerId: 'runs' }));
  assert.equal(await text(channels.stdout), 'said');
  assert.equal((await channels.status)?.status, 'Success');
});

/** A pod whose port says everything back. */
async function openTarget(): Promise<void> {
  const echo = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket)).listen(0, '127.0.0.1');
  stack.defer(() => void echo.close());
  await new Promise(resolve => echo.once('listening', resolve));
  const socket = connect({ port: (echo.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  stack.defer(() => void socket.destroy());
  target = socket;
}

async function forward(connection: SpdyConnection): Promise<{ data: string; error: string }> {
  const headers = { port: '80', requestid: '0' };
  const [error, data] = ['error', 'data'].map(streamtype => connection.open({ streamtype, ...headers }));
  data?.end('ping');
  const [said, failed] = await Promise.all([text(data as Readable), text(error as Readable)]);
  connection.close();
  return { data: said, error: failed };
}

test('port-forward over SPDY/3.1', async () => {
  await openTarget();
  const url = await server.portForward({ sandboxId: 'ready', ports: [] });
  assert.deepEqual(await forward(await dialSpdy(url, 'portforward.k8s.io')), { data: 'ping', error: '' });
});

test('port-forward: a port where nobody listens is told on the error stream', async () => {
  target = undefined;
  const url = await server.portForward({ sandboxId: 'ready', ports: [] });
  const { data, error } = await forward(await dialSpdy(url, 'portforward.k8s.io'));
  assert.deepEqual([data, error], ['', 'error forwarding port 80 to pod: nobody listens on port 80']);
});

test('a server that nobody asked is let go without ever having listened', async () => {
  await server[Symbol.asyncDispose]();
});
