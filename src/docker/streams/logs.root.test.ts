import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';
import { mostBuffered } from '../most-buffered.ts';
import { StreamsBench, unframe } from './testing.ts';

const bench = new StreamsBench('streams-logs');

before(() => bench.open());
afterEach(() => bench.bench.clear());
after(() => bench[Symbol.asyncDispose]());

async function logs(id: string, query: string): Promise<{ stdout: string; stderr: string; frames: number }> {
  const { status, body } = await bench.call('GET', `/containers/${id}/logs?${query}`);
  assert.equal(status, 200, body.toString());
  return unframe(body);
}

async function follow(id: string, query = 'stdout=1&stderr=1&follow=1') {
  const wire = bench.dial();
  wire.write(`GET /containers/${id}/logs?${query} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n`);
  const { status } = await wire.head();
  assert.equal(status, 200);
  return wire;
}

test('both streams in frames, one, tails and times', async () => {
  const { id } = await bench.start('for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.01; done; printf unended');
  await bench.bench.exited(id);
  const both = await logs(id, 'stdout=1&stderr=1');
  assert.deepEqual(both, { stdout: 'out1\nout2\nout3\nunended', stderr: 'err1\nerr2\nerr3\n', frames: 7 });
  assert.equal((await logs(id, 'stdout=1')).stderr, '');
  assert.equal((await logs(id, 'stdout=1&tail=2')).stdout, 'out3\nunended');
  assert.deepEqual(await logs(id, 'stdout=1&stderr=1&tail=0'), { stdout: '', stderr: '', frames: 0 });
  assert.equal((await logs(id, 'stdout=1&stderr=1&tail=all')).frames, 7);
  const { stdout } = await logs(id, 'stdout=1&timestamps=1');
  const times = stdout.split('\n').map(line => line.split(' ')[0] ?? '');
  for (const time of times) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  const second = times[1] ?? '';
  assert.equal((await logs(id, `stdout=1&since=${second}`)).stdout, 'out2\nout3\nunended');
  assert.equal((await logs(id, `stdout=1&until=${second}`)).stdout, 'out1\nout2\n');
  const unix = `${Math.floor(Date.parse(second) / 1000)}.${second.slice(20, 29)}`;
  assert.equal((await logs(id, `stdout=1&since=${unix}&until=${unix}`)).stdout, 'out2\n');
});

test('types of content by version, and raw from a terminal', async () => {
  const { id } = await bench.start('echo x');
  await bench.bench.exited(id);
  const typeOf = async (path: string) => /content-type: (.*)\r/i.exec((await bench.call('GET', path)).head)?.[1];
  assert.equal(await typeOf(`/v1.51/containers/${id}/logs?stdout=1`), 'application/vnd.docker.multiplexed-stream');
  assert.equal(await typeOf(`/v1.41/containers/${id}/logs?stdout=1`), 'application/vnd.docker.raw-stream');
  const terminal = await bench.start('echo x', { tty: true });
  await bench.bench.exited(terminal.id);
  const { body } = await bench.call('GET', `/containers/${terminal.id}/logs?stdout=1`);
  assert.equal(body.toString(), 'x\r\n');
  assert.equal(await typeOf(`/containers/${terminal.id}/logs?stdout=1`), 'application/vnd.docker.raw-stream');
});

test('chosen labels, variables and a tag stand beside each line', async () => {
  const { id } = await bench.start('echo x');
  await bench.bench.exited(id);
  assert.equal((await logs(id, 'stdout=1&details=1')).stdout, ' x\n');
  bench.describe(id, {
    config: { Labels: { who: 'a b', not: '1' }, Env: ['OS=li=nux', 'NOT=1'] },
    hostConfig: { LogConfig: { Type: 'json-file', Config: { labels: 'who', 'env-regex': '^O', tag: '{{.Name}}/{{.ID}}' } } },
  });
  assert.equal((await logs(id, 'stdout=1&details=1')).stdout, `OS=li%3Dnux,tag=one%2F${id.slice(0, 12)},who=a+b x\n`);
});

test('an expression that would take for ever holds nobody up', async () => {
  const { id } = await bench.start('echo x');
  await bench.bench.exited(id);
  bench.describe(id, {
    config: { Labels: { [`${'a'.repeat(40)}!`]: '1', aaa: '2' }, Env: [] },
    hostConfig: { LogConfig: { Type: 'json-file', Config: { 'labels-regex': '^(a+)+$' } } },
  });
  assert.equal((await logs(id, 'stdout=1&details=1')).stdout, 'aaa=2 x\n');
});

test("followed, the log of former runs comes first and the end is this run's", async () => {
  const { id } = await bench.start('echo run; read x; echo "$x"', { stdin: true });
  const session = await bench.bench.engine.attach(id, { stdin: true });
  session.stdin?.end('first\n');
  await bench.bench.exited(id);
  assert.equal((await bench.call('GET', `/containers/${id}/logs?stdout=1&follow=1`)).status, 200, 'one that ended is not waited for');
  await bench.bench.engine.startContainer(id);
  const wire = await follow(id);
  await wire.says('first');
  await bench.bench.engine.rotateLog(id);
  const again = await bench.bench.engine.attach(id, { stdin: true });
  again.stdin?.end('second\n');
  const said = (await wire.rest()).toString().replace(/[^\x20-\x7e\n]/g, '');
  assert.match(said, /run\n.*first\n.*run\n.*second\n/s);
});

test('a follower is let go at the moment it names', async () => {
  const { id } = await bench.start('echo x; sleep 100');
  const until = ((Date.now() + 300) / 1000).toFixed(3);
  const wire = await follow(id, `stdout=1&follow=1&until=${until}`);
  await wire.rest();
});

test('a thousand followers, who all vanish', async () => {
  const { id } = await bench.start('echo x; read x; echo y', { stdin: true });
  const before = process.memoryUsage().rss;
  const wires = await Promise.all(Array.from({ length: 1_000 }, () => follow(id)));
  for (const wire of wires) await wire.says('x');
  assert.ok(process.memoryUsage().rss - before < 150 << 20, 'memory of a thousand followers and of their clients');
  for (const wire of wires.slice(1)) wire.vanish();
  const session = await bench.bench.engine.attach(id, { stdin: true });
  session.stdin?.end('\n');
  assert.match((await wires[0]!.rest()).toString(), /y/);
});

test("refused in docker's words", async () => {
  const { id } = await bench.start('echo x', { log: 'none' });
  const says = async (path: string) => {
    const { status, json } = await bench.json('GET', path);
    return `${status} ${json.message}`;
  };
  assert.equal(await says(`/containers/${id}/logs?stdout=1`), '501 configured logging driver does not support reading');
  assert.equal(await says(`/containers/${id}/logs`), '400 Bad parameters: you must choose at least one stream');
  assert.equal(await says('/containers/nobody/logs?stdout=1'), '404 No such container: nobody');
  assert.match(await says(`/containers/${id}/logs?stdout=1&since=yesterday`), /^400 invalid value for "since"/);
});

test('a long log takes no memory that a collection would have to free', async () => {
  const { id } = await bench.start('yes 0123456789012345678901234567890123456789 | head -c 80m');
  await bench.bench.exited(id);
  const [socketPath, path] = [bench.socketPath, `/containers/${id}/logs?stdout=1`];
  const client = `let n = 0; require('http').get(${JSON.stringify({ socketPath, path })}, r => r.on('data', d => (n += d.length)).on('end', () => console.log(n)))`;
  let said = '';
  const most = await mostBuffered(async () => {
    said = (await promisify(execFile)(process.execPath, ['-e', client])).stdout;
  });
  assert.ok(Number(said) > 80 << 20, said);
  assert.ok(most < 8 << 20, `${most} bytes`);
});
