import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { StreamsBench, unframe, type Wire } from './testing.ts';

const bench = new StreamsBench('streams-exec');
const OUTPUTS = { AttachStdout: true, AttachStderr: true };

before(() => bench.open());
afterEach(() => bench.bench.clear());
after(() => bench[Symbol.asyncDispose]());

async function create(id: string, script: string, more: object = {}): Promise<string> {
  const { status, json } = await bench.json('POST', `/containers/${id}/exec`, { Cmd: ['sh', '-c', script], ...OUTPUTS, ...more });
  assert.equal(status, 201, JSON.stringify(json));
  return json.Id as string;
}

async function begin(exec: string, body: object = {}, upgrade = true): Promise<Wire> {
  const wire = await bench.hijack(`/exec/${exec}/start`, { upgrade, body });
  const { status, head } = await wire.head();
  assert.equal(status, upgrade ? 101 : 200, head);
  return wire;
}

const inspect = async (exec: string) => (await bench.json('GET', `/exec/${exec}/json`)).json;

for (const upgrade of [true, false])
  test(`an exec's outputs and exit code, ${upgrade ? 'by upgrade' : 'without'}`, async () => {
    const { id } = await bench.start('sleep 100');
    const exec = await create(id, 'echo out; echo err >&2; exit 7');
    assert.deepEqual(bench.streams.execIdsOf(id), [exec]);
    assert.equal((await inspect(exec)).ExitCode, null);
    const wire = await begin(exec, {}, upgrade);
    assert.deepEqual(unframe(await wire.rest()), { stdout: 'out\n', stderr: 'err\n', frames: 2 });
    const { Running, ExitCode, ContainerID, ProcessConfig } = await inspect(exec);
    assert.deepEqual([Running, ExitCode, ContainerID], [false, 7, id]);
    assert.deepEqual(ProcessConfig, {
      tty: false,
      entrypoint: 'sh',
      arguments: ['-c', 'echo out; echo err >&2; exit 7'],
      privileged: false,
    });
    assert.equal(bench.streams.execIdsOf(id), null);
    const actions = bench.told.filter(({ attributes }) => attributes.execID === exec).map(({ action }) => action.split(':')[0]);
    assert.deepEqual(actions, ['exec_create', 'exec_start', 'exec_die']);
  });

test('input to its end, environment, user and directory', async () => {
  const { id } = await bench.start('sleep 100');
  const more = { AttachStdin: true, Env: ['A=b=c'], User: 'web', WorkingDir: '/tmp' };
  const wire = await begin(await create(id, 'cat; echo "$A $(id -u) $PWD"', more));
  wire.write('typed\n');
  wire.end();
  assert.equal(unframe(await wire.rest()).stdout, 'typed\nb=c 1000 /tmp\n');
});

test('a terminal of a size, resized, left by its keys', async () => {
  const { id } = await bench.start('sleep 100');
  const more = { Tty: true, AttachStdin: true, detachKeys: 'ctrl-a,ctrl-b' }; // as docker's Python SDK writes it
  // The runtime sets the size when the process runs already: until then there is none, of which busybox says nothing, with success.
  const exec = await create(id, 'stty -echo; until stty size | grep .; do sleep 0.02; done; while read x; do stty size; done', more);
  const wire = await begin(exec, { Tty: true, ConsoleSize: [30, 90] });
  await wire.says('30 90\r\n');
  const pid = (await inspect(exec)).Pid as number;
  assert.ok(pid > 1 && pid !== bench.find(id).engine.pid);
  assert.equal((await bench.call('POST', `/exec/${exec}/resize?h=20&w=70`)).status, 200);
  wire.write('\n');
  await wire.says('20 70\r\n');
  wire.write('\x01\x02');
  await wire.rest();
  assert.equal((await inspect(exec)).Running, true);
});

test('detached it runs alone; a client that leaves leaves it running', async () => {
  const { id } = await bench.start('mkfifo /f; cat /f; sleep 100');
  const detached = await create(id, 'yes | head -c 300000; while [ ! -p /f ]; do sleep 0.05; done; echo done > /f');
  assert.equal((await bench.call('POST', `/exec/${detached}/start`, { Detach: true })).status, 200);
  const log = bench.bench.engine.logs(id, { follow: true });
  const said = new Promise<string>(resolve => log.once('data', chunk => resolve(String(chunk))));
  assert.equal(await said, 'done\n');
  log.destroy();
  const left = await create(id, 'echo here; sleep 0.2; yes | head -c 300000; echo > /left');
  const wire = await begin(left);
  await wire.says('here');
  wire.vanish();
  const check = await begin(await create(id, 'while [ ! -e /left ]; do sleep 0.1; done; echo seen'));
  assert.equal(unframe(await check.rest()).stdout, 'seen\n');
});

test('what it leaves behind does not hold its client', async () => {
  const { id } = await bench.start('sleep 100');
  const wire = await begin(await create(id, 'sleep 90 & echo said'));
  assert.equal(unframe(await wire.rest()).stdout, 'said\n');
});

test('a slow client gets all, long after the end', async () => {
  const { id } = await bench.start('sleep 100');
  const wire = await begin(await create(id, 'head -c 1000000 /dev/zero'));
  wire.socket.pause();
  await new Promise(resolve => setTimeout(resolve, 3_000)); // longer than an exec is given after its end
  wire.socket.resume();
  assert.equal(unframe(await wire.rest()).stdout.length, 1_000_000);
});

test("what can not be executed is said in docker's words, with its code", async () => {
  const { id } = await bench.start('sleep 100');
  const cases: [string[], number, RegExp][] = [
    [
      ['nothing-like-it'],
      127,
      /OCI runtime exec failed: exec failed: unable to start container process: exec: "nothing-like-it": executable file not found in \$PATH: unknown\r\n/,
    ],
    [['/etc/passwd'], 126, /permission denied/],
    [['/nowhere/x'], 127, /no such file or directory/],
  ];
  for (const [Cmd, code, says] of cases) {
    const exec = await create(id, '', { Cmd });
    assert.match(unframe(await (await begin(exec)).rest()).stdout, says);
    assert.equal((await inspect(exec)).ExitCode, code);
  }
  const lost = await create(id, '', { Cmd: ['true'], WorkingDir: '/nowhere' });
  assert.match(unframe(await (await begin(lost)).rest()).stdout, /chdir to cwd \("\/nowhere"\) failed: no such file or directory/);
  assert.equal((await inspect(lost)).ExitCode, 127);
});

test("docker's refusals", async () => {
  const { id } = await bench.start('sleep 100');
  const says = async (method: string, path: string, body?: unknown) => {
    const { status, json } = await bench.json(method, path, body);
    return `${status} ${json.message}`;
  };
  const nobody = 'f'.repeat(64);
  assert.equal(await says('POST', '/containers/nobody/exec', { Cmd: ['x'] }), '404 No such container: nobody');
  assert.equal(await says('POST', `/containers/${id}/exec`, {}), '400 No exec command specified');
  assert.match(await says('POST', `/containers/${id}/exec`, { Cmd: ['x'], Tty: 3 }), /^400 .*Tty/);
  assert.match(await says('POST', `/containers/${id}/exec`, { Cmd: ['x'], DetachKeys: 'shift-p' }), /^400 Invalid detach keys/);
  const asNobody = { Cmd: ['x'], User: 'nobody-here' };
  const noUser = '400 unable to find user nobody-here: no matching entries in passwd file';
  assert.equal(await says('POST', `/containers/${id}/exec`, asNobody), noUser);
  assert.match(await says('POST', `/exec/${nobody}/start`, { Tty: 3 }), /^400 .*Tty/);
  assert.equal(await says('POST', `/exec/${nobody}/start`, {}), `404 No such exec instance: ${nobody}`);
  assert.equal(await says('GET', `/exec/${nobody}/json`), `404 No such exec instance: ${nobody}`);
  assert.equal(await says('POST', `/exec/${nobody}/resize?h=1&w=1`), `404 No such exec instance: ${nobody}`);
  assert.match(await says('POST', `/containers/${id}/resize?h=a&w=1`), /^400/);
  const exec = await create(id, 'true');
  await (await begin(exec)).rest();
  assert.match(await says('POST', `/exec/${exec}/start`, {}), /^409 .*has already run/);
  assert.match(await says('POST', `/exec/${exec}/resize?h=1&w=1`), /^409 .*is not running/);
  const waiting = await create(id, 'true');
  await bench.bench.engine.stopContainer(id, { graceMs: 0 });
  assert.equal(await says('POST', `/containers/${id}/exec`, { Cmd: ['x'] }), `409 container ${id} is not running`);
  assert.match(await says('POST', `/exec/${waiting}/start`, {}), /^404 No such exec/);
  assert.equal(await says('POST', `/containers/${id}/resize?h=1&w=1`), `409 container ${id} is not running`);
});

test('clients that vanish in each phase, and bodies that are none, harm nobody', async () => {
  const { id } = await bench.start('sleep 100');
  const exec = await create(id, 'cat', { AttachStdin: true });
  for (const piece of [
    'POST /exec/x/start HTTP/1.1\r\nHost',
    `POST /exec/${exec}/start HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{"Det`,
  ]) {
    const wire = bench.dial();
    wire.write(piece);
    await new Promise(resolve => wire.socket.once('connect', resolve));
    wire.vanish();
  }
  for (const body of ['{', '[]', '3', '\0'.repeat(100)]) {
    const wire = bench.dial();
    wire.write(
      `POST /exec/${exec}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assert.equal((await wire.head()).status, 400);
    await wire.rest();
  }
  const huge = bench.dial();
  huge.write(`POST /exec/${exec}/start HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999\r\n\r\n`);
  huge.write(randomBytes(2 << 20));
  assert.equal((await huge.head()).status, 413);
  huge.vanish();
  const wire = await begin(exec);
  wire.write('still\n');
  await wire.says('still');
  wire.vanish();
});
