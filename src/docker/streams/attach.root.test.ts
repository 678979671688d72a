import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { StreamsBench, unframe, type Wire } from './testing.ts';

const bench = new StreamsBench('streams-attach');
const ALL = 'stream=1&stdin=1&stdout=1&stderr=1';

before(() => bench.open());
afterEach(() => bench.bench.clear());
after(() => bench[Symbol.asyncDispose]());

async function headOf(wire: Wire, status: number): Promise<string> {
  const { status: got, head } = await wire.head();
  assert.equal(got, status, head);
  return head;
}

for (const upgrade of [true, false])
  test(`attached before its start nothing is lost, ${upgrade ? 'by upgrade' : 'without'}`, async () => {
    const { id } = await bench.create('echo out; echo err >&2; cat; echo end', { stdin: true, stdinOnce: true });
    const wire = await bench.hijack(`/v1.51/containers/${id}/attach?${ALL}`, { upgrade });
    const head = await headOf(wire, upgrade ? 101 : 200);
    assert.match(head, upgrade ? /^HTTP\/1.1 101 UPGRADED\r\nContent-Type: application\/vnd.docker.multiplexed-stream\r\n/ : /raw-stream/);
    assert.match(head, /Api-Version: 1\.\d+/i);
    await bench.bench.engine.startContainer(id);
    wire.write('typed\n');
    wire.end();
    const { stdout, stderr } = unframe(await wire.rest());
    assert.equal(stdout, 'out\ntyped\nend\n');
    assert.equal(stderr, 'err\n');
  });

test('what comes in one piece with an old request is input', async () => {
  const { id } = await bench.create('cat', { stdin: true, stdinOnce: true });
  const wire = bench.dial();
  wire.write(`POST /v1.24/containers/${id}/attach?${ALL} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\nGET me some\r\nmore\n`);
  await headOf(wire, 200);
  await bench.bench.engine.startContainer(id);
  wire.write('and more\n');
  wire.end();
  assert.equal(unframe(await wire.rest()).stdout, 'GET me some\r\nmore\nand more\n');
});

test('older versions call the content what they did', async () => {
  const { id } = await bench.start('sleep 100');
  const wire = await bench.hijack(`/v1.41/containers/${id}/attach?${ALL}`);
  assert.match(await headOf(wire, 101), /Content-Type: application\/vnd.docker.raw-stream\r\n/);
  wire.vanish();
});

test('a terminal is attached raw, resized, and left by its keys while it goes on', async () => {
  const { id } = await bench.start('stty -echo; trap "stty size" WINCH; echo ready; while :; do read x && echo "<$x>"; done', {
    stdin: true,
    stdinOnce: true, // as `docker run -it` says it
    tty: true,
  });
  const wire = await bench.hijack(`/containers/${id}/attach?${ALL}&logs=1`);
  assert.match(await headOf(wire, 101), /raw-stream/);
  await wire.says('ready\r\n');
  wire.write('one\n');
  await wire.says('<one>\r\n');
  assert.equal((await bench.call('POST', `/containers/${id}/resize?h=33&w=101`)).status, 200);
  wire.write('two\n');
  await wire.says('33 101');
  wire.write('\x10x\n'); // only half of the keys: input
  await wire.says('<\x10x>');
  wire.write('\x10');
  wire.write('\x11');
  await wire.rest();
  assert.equal(bench.bench.engine.container(id)?.state, 'running');
  assert.ok(bench.told.some(({ action }) => action === 'detach'));
  const again = await bench.hijack(`/containers/${id}/attach?${ALL}&detachKeys=a,ctrl-b`);
  await headOf(again, 101);
  again.write('three\n');
  await again.says('<three>\r\n');
  again.write('a\x02');
  await again.rest();
  assert.equal(bench.bench.engine.container(id)?.state, 'running');
});

test('a container that ended is attached at its next start', async () => {
  const { id } = await bench.start('echo run');
  await bench.bench.exited(id);
  const wire = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
  await headOf(wire, 101);
  await bench.bench.engine.startContainer(id);
  assert.equal(unframe(await wire.rest()).stdout, 'run\n');
});

test('logs come before the stream, and alone without it', async () => {
  const { id } = await bench.start('echo before; read x; echo after', { stdin: true });
  const first = await bench.hijack(`/containers/${id}/attach?${ALL}&logs=1`);
  await headOf(first, 101);
  await first.says('before');
  const alone = await bench.hijack(`/containers/${id}/attach?stdout=1&logs=1`);
  await headOf(alone, 101);
  assert.equal(unframe(await alone.rest()).stdout, 'before\n');
  first.write('\n');
  assert.equal(unframe(await first.rest()).stdout, 'before\nafter\n');
});

test('who waits for a start is let go when the container is removed; who leaves is forgotten', async () => {
  const { id } = await bench.create('true');
  const stays = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
  const leaves = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
  await headOf(stays, 101);
  await headOf(leaves, 101);
  leaves.vanish();
  await bench.bench.engine.removeContainer(id);
  assert.equal((await stays.rest()).length, 0);
});

test('a client that vanishes leaves the container and the others as they are', async () => {
  const { id } = await bench.start('while read x; do echo "$x"; done', { stdin: true });
  const [one, other] = [await bench.hijack(`/containers/${id}/attach?${ALL}`), await bench.hijack(`/containers/${id}/attach?${ALL}`)];
  await headOf(one, 101);
  await headOf(other, 101);
  one.write('first\n');
  await other.says('first');
  one.vanish();
  other.write('second\n');
  await other.says('second');
  other.vanish();
});

test('megabytes both ways arrive whole', async () => {
  const { id } = await bench.create('cat', { stdin: true, stdinOnce: true });
  const wire = await bench.hijack(`/containers/${id}/attach?${ALL}`);
  await headOf(wire, 101);
  await bench.bench.engine.startContainer(id);
  const bytes = randomBytes(8 << 20);
  wire.write(bytes);
  wire.end();
  const got = await wire.rest();
  const hash = createHash('sha256');
  for (let at = 0; at < got.length; at += 8 + got.readUInt32BE(at + 4))
    hash.update(got.subarray(at + 8, at + 8 + got.readUInt32BE(at + 4)));
  assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
});

test('a thousand attached clients hear the same; all leave', async () => {
  const { id } = await bench.start('read x; echo "<$x>"; read x', { stdin: true });
  const wires = await Promise.all(Array.from({ length: 1_000 }, () => bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`)));
  for (const wire of wires) await headOf(wire, 101);
  const typist = await bench.hijack(`/containers/${id}/attach?${ALL}`);
  await headOf(typist, 101);
  typist.write('all\n');
  for (const wire of wires) await wire.says('<all>');
  for (const wire of wires) wire.vanish();
  typist.write('\n');
  await typist.rest();
});

test('input without end that nobody reads waits with its client; output that nobody reads, in the container', async () => {
  const { id } = await bench.start('yes', { stdin: true });
  const wire = await bench.hijack(`/containers/${id}/attach?${ALL}`);
  await headOf(wire, 101);
  wire.socket.pause();
  const before = process.memoryUsage().rss;
  const block = Buffer.alloc(1 << 20, 'y');
  let sent = 0;
  while (sent < 64 && wire.socket.write(block) !== undefined && (await drains(wire.socket))) sent++;
  assert.ok(sent < 16, `${sent} MB were taken`);
  assert.ok(process.memoryUsage().rss - before < 100 << 20);
  wire.vanish();
  assert.equal(bench.bench.engine.container(id)?.state, 'running');
});

/** Whether what was written goes out within half a second. */
async function drains(socket: Wire['socket']): Promise<boolean> {
  if (!socket.writableNeedDrain) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once('drain', () => resolve(true));
  const timer = setTimeout(() => resolve(false), 500);
  return await promise.finally(() => clearTimeout(timer));
}

test('by WebSocket, bytes as they are', async () => {
  const { id } = await bench.start('while read x; do echo "<$x>"; done', { stdin: true });
  const socket = new WebSocket(`ws+unix://${bench.socketPath}:/containers/${id}/attach/ws?${ALL}`);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const answered = new Promise<string>(resolve => socket.once('message', data => resolve(String(data))));
  socket.send('hello\n');
  assert.equal(await answered, '<hello>\n');
  const closed = new Promise(resolve => socket.once('close', resolve));
  await bench.bench.engine.stopContainer(id, { graceMs: 0 });
  await closed;
  assert.equal((await bench.call('GET', `/containers/${id}/attach/ws`)).status, 400);
});

const refused: [path: string, status: number, says: RegExp][] = [
  ['/containers/nobody/attach?stream=1', 404, /No such container: nobody/],
  ['/containers/ID/attach?stream=1&detachKeys=ctrl-%C3%A9', 400, /Invalid detach keys/],
  ['/containers/ID/attach?stream=perhaps', 400, /stream must be a boolean/],
];
test('what is refused is refused before the connection is taken over', async () => {
  const { id } = await bench.start('sleep 100');
  for (const upgrade of [true, false])
    for (const [path, status, says] of refused) {
      const wire = await bench.hijack(path.replace('ID', id), { upgrade });
      await headOf(wire, status);
      assert.match((await wire.rest()).toString(), says);
    }
  bench.restarting.add(id);
  const wire = await bench.hijack(`/containers/${id}/attach?stream=1`);
  await headOf(wire, 409);
  assert.match((await wire.rest()).toString(), /is restarting, wait until the container is running/);
  bench.restarting.delete(id);
});
