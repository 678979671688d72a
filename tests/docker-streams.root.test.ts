import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';
import { inTerminal } from './terminal.ts';

const { have: clients, missing } = await findDockerClients();

describe(`the docker command ${clients?.version}: streams`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());
  afterEach(() => host.removeContainers());

  const docker = (...args: string[]) => host.docker(...args);
  const line = (command: string) => `${clients?.docker} ${command}`;
  const said = async (name: string, words: string) =>
    await until(`${name} says ${words}`, async () => (await docker('logs', name)).includes(words));

  test('exec -it: a terminal of the size that the person has, keys that detach and leave it running', async () => {
    await docker('run', '-d', '--name', 'one', '--network', 'none', 'busybox', 'sleep', '1000');
    const { output, code } = await inTerminal(
      `stty rows 29 cols 95; ${line('exec -it one sh -c "until stty size | grep 95; do sleep 0.05; done; exit 6"')}`,
      host.env,
    );
    assert.match(output, /29 95/);
    assert.equal(code, 6);
    const shell = 'exec -it --detach-keys ctrl-a,x one sh -c "echo here; read x; while :; do sleep 1; done"';
    const detached = await inTerminal(line(shell), host.env, '\u0001x');
    assert.match(detached.output, /exec attach failed: error on attach stdin: read escape sequence|here|read escape sequence/);
    const { json } = await host.api('GET', '/containers/one/json');
    assert.equal((json as { ExecIDs: string[] }).ExecIDs.length, 1);
  });

  test('exec -d runs alone; exec in what does not run, is paused or is not there is refused', async () => {
    await docker('run', '-d', '--name', 'one', '--network', 'none', 'busybox', 'sh', '-c', 'mkfifo /f; cat /f; sleep 1000');
    await until('the pipe', async () => (await host.tryDocker(['exec', 'one', 'test', '-p', '/f'])).code === 0);
    await docker('exec', '-d', 'one', 'sh', '-c', 'echo through > /f');
    await said('one', 'through');
    const refused = async (args: string[], code: number, says: RegExp) => {
      const { stdout, stderr, code: got } = await host.tryDocker(args);
      assert.match(stdout + stderr, says);
      assert.equal(got, code);
    };
    await refused(['exec', 'one', 'nothing-such'], 127, /OCI runtime exec failed: .*"nothing-such": executable file not found in \$PATH/);
    await refused(['exec', 'one', '/etc'], 126, /permission denied/);
    await refused(['exec', 'nobody', 'true'], 1, /No such container: nobody/);
    await docker('pause', 'one');
    await refused(['exec', 'one', 'true'], 1, /is paused, unpause the container before exec/);
    await docker('unpause', 'one');
    await docker('stop', '-t', '0', 'one');
    await refused(['exec', 'one', 'true'], 1, /container \w+ is not running/);
  });

  test('start -ai of what has ended: input, output and exit code of the new run', async () => {
    await docker('create', '-i', '--name', 'one', '--network', 'none', 'busybox', 'sh', '-c', 'read x; echo "<$x>"; exit 3');
    for (const input of ['a\n', 'b\n']) {
      const { stdout, code } = await host.tryDocker(['start', '-ai', 'one'], { input });
      assert.deepEqual([stdout, code], [`<${input.trim()}>\n`, 3]);
    }
    assert.equal(await docker('logs', 'one'), '<a>\n<b>');
  });

  test('attach in a terminal: typed, heard, left by keys, and taken up again', async () => {
    await docker(
      'run',
      '-dit',
      '--name',
      'one',
      '--network',
      'none',
      'busybox',
      'sh',
      '-c',
      'stty -echo; while read x; do echo "<$x>"; done',
    );
    const first = await inTerminal(line('attach --detach-keys ctrl-a,x one'), host.env, 'word\n\u0001x');
    assert.match(first.output, /read escape sequence/);
    await said('one', '<word>');
    await inTerminal(line('attach --detach-keys ctrl-a,x one'), host.env, 'again\n\u0001x');
    await said('one', '<again>');
    assert.equal(await docker('inspect', '-f', '{{.State.Status}}', 'one'), 'running');
  });

  test('logs: both streams apart, times, details, since, until, tail, followed over a start anew', async () => {
    const options = ['--log-opt', 'labels=who', '--log-opt', 'tag={{.Name}}', '-l', 'who=me'];
    await docker(
      'run',
      '--name',
      'one',
      '--network',
      'none',
      ...options,
      'busybox',
      'sh',
      '-c',
      'echo out; echo err >&2; sleep 0.3; echo end',
    );
    const { stdout, stderr } = await host.tryDocker(['logs', 'one']);
    assert.deepEqual([stdout, stderr], ['out\nend\n', 'err\n']);
    assert.match(await docker('logs', '--details', '-t', '-n', '1', 'one'), /^\d{4}-\S+\.\d{9}Z tag=one,who=me end$/);
    const [time = ''] = (await docker('logs', '-t', '-n', '1', 'one')).split(' ');
    assert.equal(await docker('logs', '--since', time, 'one'), 'end');
    assert.equal((await docker('logs', '--until', time, 'one')).includes('end'), true);
    assert.equal(await docker('logs', '-f', '--since', '1m', '-n', '1', 'one'), 'end');
    await docker('start', 'one');
    assert.equal((await host.tryDocker(['logs', '-f', 'one'])).stdout, 'out\nend\nout\nend\n');
  });

  test('log drivers: none has nothing to read; unknown ones and options are refused by name', async () => {
    const fails = async (args: string[], says: RegExp) => {
      const { stderr, code } = await host.tryDocker(args);
      assert.match(stderr, says);
      assert.notEqual(code, 0);
    };
    assert.equal(await docker('run', '--name', 'one', '--network', 'none', '--log-driver', 'none', 'busybox', 'echo', 'x'), 'x');
    await fails(['logs', 'one'], /configured logging driver does not support reading/);
    await fails(['create', '--log-driver', 'gelf', 'busybox'], /no log driver named 'gelf'/);
    await fails(['create', '--log-opt', 'max-sise=1', 'busybox'], /unknown log opt 'max-sise' for json-file log driver/);
    for (const driver of ['local', 'json-file']) {
      await docker(
        'run',
        '--name',
        driver,
        '--network',
        'none',
        '--log-driver',
        driver,
        '--log-opt',
        'max-size=1m',
        'busybox',
        'echo',
        'x',
      );
      assert.equal(await docker('logs', driver), 'x');
    }
  });

  test('syslog: what was written while the agent was killed is sent by the next; --rm takes nothing away', async () => {
    const socket = createSocket('udp4');
    const got: string[] = [];
    socket.on('message', message => got.push(String(message)));
    await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
    const options = [
      '--log-driver',
      'syslog',
      '--log-opt',
      `syslog-address=udp://127.0.0.1:${socket.address().port}`,
      '--log-opt',
      'tag=t',
    ];
    try {
      await docker('run', '--rm', '--network', 'none', ...options, 'busybox', 'echo', 'short');
      await until('the short one', () => got.some(message => message.endsWith(': short\n')));
      const script = 'i=0; while [ $i -lt 100 ]; do echo "n$i"; i=$((i+1)); sleep 0.02; done';
      await docker('run', '-d', '--name', 'one', '--network', 'none', ...options, 'busybox', 'sh', '-c', script);
      await until('some', () => got.some(message => message.endsWith(': n10\n')));
      await host.killAgent();
      await new Promise(resolve => setTimeout(resolve, 500)); // it writes on meanwhile
      await host.startAgent();
      await until('the last', () => got.some(message => message.endsWith(': n99\n')));
      for (let i = 0; i < 100; i++)
        assert.ok(
          got.some(message => message.endsWith(`: n${i}\n`)),
          `n${i}`,
        );
    } finally {
      socket.close();
    }
  });
});
