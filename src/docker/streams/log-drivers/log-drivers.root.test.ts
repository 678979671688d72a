import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Container } from '#engine/index.ts';
import { declare } from '#linux/libc.ts';
import { withUnixAddress } from '#linux/unix-address.ts';
import { StreamsBench } from '../testing.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-drivers-${process.pid}-`));
const journalSocket = join(directory, 'journal');
const bench = new StreamsBench('streams-drivers', { journalSocket });

before(() => bench.open());
afterEach(() => bench.bench.clear());
after(async () => {
  await bench[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** Started with a log configuration, as a container of docker's. */
async function start(script: string, LogConfig: { Type: string; Config: Record<string, string> }): Promise<Container> {
  const { id } = await bench.bench.create(script, { stdin: true }, await bench.bench.sandbox({ owner: 'docker' }));
  bench.describe(id, { config: { Labels: { who: 'me' }, Env: [] }, hostConfig: { LogConfig } });
  return await bench.bench.engine.startContainer(id);
}

async function type(id: string, text: string): Promise<void> {
  const session = await bench.bench.engine.attach(id, { stdin: true });
  session.stdin?.write(text);
  await once(session.stdout, 'data');
  session.close();
}

/** Waits for a condition that some event brings about. */
async function until(what: string, isSo: () => boolean, ms = 15_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

test('syslog by udp, with a tag, to the end of what ran shortly', async () => {
  const socket = createSocket('udp4');
  const got: string[] = [];
  socket.on('message', message => got.push(String(message)));
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  const Config = { 'syslog-address': `udp://127.0.0.1:${socket.address().port}`, 'syslog-format': 'rfc5424', tag: '{{.Name}}-{{.ID}}' };
  const { id } = await start('echo out; echo err >&2', { Type: 'syslog', Config });
  await until('both lines', () => got.length === 2);
  socket.close();
  assert.match(got.find(line => line.startsWith('<30>')) ?? '', new RegExp(`^<30>1 \\S+Z \\S+ one-${id.slice(0, 12)} \\d+ \\S+ - out\\n$`));
  assert.ok(got.some(line => /^<27>.* - err\n$/.test(line)));
  assert.match((await bench.call('GET', `/containers/${id}/logs?stdout=1`)).body.toString(), /out\n/);
});

test('syslog by tcp waits for its receiver, and goes on after the agent was away', async () => {
  const lines: string[] = [];
  const open = new Set<Socket>();
  const server = createServer(socket => {
    open.add(socket);
    let rest = '';
    socket.on('data', data => {
      const all = (rest + String(data)).split('\n');
      rest = all.pop() ?? '';
      lines.push(...all.map(line => line.replace(/^.*?: /, '')));
    });
    socket.on('error', () => {});
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { id } = await start('while read x; do echo "$x"; done', {
    Type: 'syslog',
    Config: { 'syslog-address': `tcp://127.0.0.1:${port}` },
  });
  await type(id, 'one\n');
  await until('one', () => lines.includes('one'));
  await bench.closeApi();
  await type(id, 'two\n');
  await bench.bench.engine.rotateLog(id);
  await type(id, 'three\n');
  await bench.openApi();
  await until('three', () => lines.includes('three'));
  for (const socket of open) socket.destroy();
  await type(id, 'four\n');
  await until('four', () => lines.includes('four'));
  assert.deepEqual([...new Set(lines)], ['one', 'two', 'three', 'four']);
  await bench.bench.engine.stopContainer(id, { graceMs: 0 });
  for (const socket of open) socket.destroy();
  server.close();
});

test('what many runs said while nobody listened is sent once', async () => {
  const lines: string[] = [];
  const receiver = () => createServer(socket => socket.on('data', data => lines.push(...String(data).split('\n').filter(Boolean))));
  const before = receiver();
  await new Promise<void>(resolve => before.listen(0, '127.0.0.1', resolve));
  const { port } = before.address() as AddressInfo;
  await new Promise(resolve => before.close(resolve));
  const { id } = await start('echo said', { Type: 'syslog', Config: { 'syslog-address': `tcp://127.0.0.1:${port}` } });
  const runs = 4;
  for (let run = 1; run < runs; run++) {
    await bench.bench.exited(id);
    await bench.bench.engine.startContainer(id);
  }
  await bench.bench.exited(id);
  const after = receiver();
  await new Promise<void>(resolve => after.listen(port, '127.0.0.1', resolve));
  try {
    await until('all runs', () => lines.length >= runs);
    await bench.closeApi();
    await bench.openApi();
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(lines.length, runs);
  } finally {
    after.close();
  }
});

test("the journal's own protocol", async () => {
  const fd = bindDatagrams(journalSocket);
  try {
    const { id } = await start('echo to the journal', { Type: 'journald', Config: { labels: 'who' } });
    const got: string[] = [];
    await until('the message', () => {
      const message = receive(fd);
      if (message) got.push(message);
      return got.length > 0;
    });
    assert.match(got[0] ?? '', /^MESSAGE=to the journal\nPRIORITY=6\n/);
    for (const field of [`CONTAINER_ID_FULL=${id}`, 'CONTAINER_NAME=one', 'WHO=me', 'IMAGE_NAME=busybox'])
      assert.ok(got[0]?.includes(`\n${field}\n`), field);
  } finally {
    closeSync(fd);
  }
});

test('a log stays within its bounds while it is written as fast as may be', async () => {
  const { id, logPath = '' } = await start(
    'i=0; while [ $i -lt 200000 ]; do echo "line $i of many that fill a log"; i=$((i+1)); done; echo end; read x',
    {
      Type: 'json-file',
      Config: { 'max-size': '1m', 'max-file': '3' },
    },
  );
  const log = bench.bench.engine.logs(id, { follow: true });
  for await (const block of log) if (String(block).includes('end\n')) break;
  await until('rotated files', () => readdirSync(dirname(logPath)).length === 3);
  const sizes = readdirSync(dirname(logPath)).map(name => statSync(join(dirname(logPath), name)).size);
  assert.ok(Math.max(...sizes) < 8 << 20, `sizes ${sizes}`);
});

const socketCall = declare('int socket(int family, int type, int protocol)');
const bindCall = declare('int bind(int fd, const void *address, uint32_t length)');
const recvCall = declare('long recv(int fd, void *buffer, size_t length, int flags)');

function bindDatagrams(path: string): number {
  const fd = Number(socketCall(1, 2 | 0o2000000, 0));
  withUnixAddress(path, address => assert.equal(bindCall(fd, address, 2 + address.subarray(2).indexOf(0)), 0));
  return fd;
}

function receive(fd: number): string | undefined {
  const buffer = Buffer.alloc(65_536);
  const bytes = Number(recvCall(fd, buffer, buffer.length, 0x40));
  return bytes > 0 ? buffer.toString('utf8', 0, bytes) : undefined;
}
