import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';
import { inTerminal } from './terminal.ts';

const { have: clients, missing } = await findDockerClients();

describe(`the docker command ${clients?.version}: containers`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());
  afterEach(() => host.removeContainers());

  const docker = (...args: string[]) => host.docker(...args);
  const fails = async (args: string[], code: number, message: RegExp) => {
    const ran = await host.tryDocker(args);
    assert.match(ran.stderr, message, `docker ${args.join(' ')}`);
    assert.equal(ran.code, code, `docker ${args.join(' ')}: ${ran.stderr}`);
  };
  const state = (name: string) => docker('inspect', '-f', '{{.State.Status}}', name);

  test('run: output, both streams apart, exit codes, nothing left after --rm', async () => {
    assert.equal(await docker('run', '--rm', 'busybox', 'echo', 'hello'), 'hello');
    const both = await host.tryDocker(['run', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual(both, { stdout: 'out\n', stderr: 'err\n', code: 3 });
    await fails(['run', '--rm', 'busybox', '/nowhere'], 127, /no such file or directory/);
    await fails(['run', '--rm', 'busybox', '/etc'], 126, /permission denied|is a directory/);
    await fails(['run', '--rm', 'busybox', 'nothing-such'], 127, /executable file not found in \$PATH/);
    await fails(['run', '--pull', 'never', 'nowhere.invalid/x:1'], 125, /No such image: nowhere\.invalid\/x:1/);
    assert.equal(await docker('ps', '-aq'), '');
  });

  test('run -i: standard input to its end, and megabytes through a pipe both ways', async () => {
    const { stdout, code } = await host.tryDocker(['run', '--rm', '-i', 'busybox', 'wc', '-c'], { input: 'x'.repeat(5_000_000) });
    assert.deepEqual([stdout.trim(), code], ['5000000', 0]);
    const input = Buffer.alloc(3_000_000, 'abcdefgh\n').toString();
    const through = await host.tryDocker(['run', '--rm', '-i', 'busybox', 'cat'], { input });
    assert.ok(through.stdout === input, `${through.stdout.length} of ${input.length} bytes came back`);
  });

  test('run -d, ps, inspect, logs, stop, rm', async () => {
    const script = 'echo one; echo two >&2; sleep 0.2; echo three; trap "exit 7" TERM; while :; do sleep 0.05; done';
    const id = await docker(
      'run',
      '-d',
      '--name',
      'web',
      '-l',
      'tier=front',
      '-e',
      'A=b c',
      '-w',
      '/tmp',
      '--hostname',
      'web1',
      'busybox',
      'sh',
      '-c',
      script,
    );
    assert.match(id, /^[0-9a-f]{64}$/);
    const { stdout } = await host.tryDocker(['ps', '--no-trunc', '--format', '{{.ID}} {{.Names}} {{.Image}} {{.State}} {{.Label "tier"}}']);
    assert.equal(stdout.trim(), `${id} web busybox running front`);
    assert.match(await docker('ps', '--format', '{{.Status}}'), /^Up /);
    await until('the log', async () => (await docker('logs', 'web')).includes('three'));
    const logs = await host.tryDocker(['logs', 'web']);
    assert.deepEqual([logs.stdout, logs.stderr], ['one\nthree\n', 'two\n']);
    assert.equal(await docker('logs', '--tail', '1', 'web'), 'three');
    assert.match(await docker('logs', '-t', '--tail', '1', 'web'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z three$/);
    assert.equal(await docker('logs', '--since', '1h', '--until', '1s', '--tail', '0', 'web'), '');
    const [its] = JSON.parse(await docker('inspect', 'web'));
    assert.deepEqual([its.Name, its.Config.WorkingDir, its.Config.Hostname, its.State.Running], ['/web', '/tmp', 'web1', true]);
    assert.ok(its.Config.Env.includes('A=b c') && its.State.Pid > 0 && its.Image.startsWith('sha256:'));
    await docker('stop', '-t', '5', 'web');
    assert.equal(await docker('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', id.slice(0, 12)), 'exited 7');
    assert.match(await docker('ps', '-a', '--format', '{{.Status}}'), /^Exited \(7\) /);
    assert.equal(await docker('rm', 'web'), 'web');
    await fails(['inspect', 'web'], 1, /No such object: web/i);
    await fails(['logs', 'web'], 1, /No such container: web/);
  });

  test('logs -f follows to the end, and an ended container’s logs stay', async () => {
    await docker('run', '-d', '--name', 'talker', 'busybox', 'sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done');
    assert.equal(await docker('logs', '-f', 'talker'), [1, 2, 3, 4, 5].map(i => `line ${i}`).join('\n'));
    assert.equal(await docker('wait', 'talker'), '0');
    assert.equal((await docker('logs', '-n', '2', 'talker')).split('\n').length, 2);
    await docker('rm', 'talker');
  });

  test('names: given once, renamed, found by any beginning of an id', async () => {
    const id = await docker('create', '--name', 'first', 'busybox', 'true');
    await fails(
      ['create', '--name', 'first', 'busybox'],
      1,
      /Conflict\. The container name "\/first" is already in use by container "[0-9a-f]{64}"/,
    );
    await fails(['create', '--name', 'no/slash', 'busybox'], 1, /Invalid container name \(no\/slash\), only \[a-zA-Z0-9\]/);
    await docker('rename', 'first', 'second');
    assert.equal(await docker('inspect', '-f', '{{.Id}} {{.Name}}', id.slice(0, 8)), `${id} /second`);
    assert.equal(await state('second'), 'created');
    await fails(['stop', 'first'], 1, /No such container: first/);
    await docker('rm', 'second');
    assert.match(await docker('create', 'busybox'), /^[0-9a-f]{64}$/);
    assert.match(await docker('ps', '-a', '--format', '{{.Names}}'), /^[a-z]+_[a-z]+\d?$/);
    await docker('container', 'prune', '-f');
    assert.equal(await docker('ps', '-aq'), '');
  });

  test('exec: output, input, exit code, user, directory, environment', async () => {
    await docker('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000');
    assert.equal(await docker('exec', 'box', 'echo', 'inside'), 'inside');
    const { stdout, stderr, code } = await host.tryDocker(['exec', 'box', 'sh', '-c', 'echo out; echo err >&2; exit 9']);
    assert.deepEqual([stdout, stderr, code], ['out\n', 'err\n', 9]);
    assert.equal((await host.tryDocker(['exec', '-i', 'box', 'wc', '-c'], { input: 'x'.repeat(1_000_000) })).stdout.trim(), '1000000');
    assert.equal(
      await docker('exec', '-u', 'nobody', '-w', '/etc', '-e', 'K=v', 'box', 'sh', '-c', 'id -u; pwd; echo $K'),
      '65534\n/etc\nv',
    );
    const missing = await host.tryDocker(['exec', 'box', 'nothing-such']);
    assert.match(missing.stdout, /executable file not found in \$PATH/);
    assert.equal(missing.code, 127);
    await docker('exec', '-d', 'box', 'sh', '-c', 'echo yes > /tmp/detached');
    await until('the detached exec', async () => (await host.tryDocker(['exec', 'box', 'cat', '/tmp/detached'])).stdout === 'yes\n');
    assert.match(await docker('top', 'box'), /sleep 1000/);
    await docker('stop', '-t', '0', 'box');
    await fails(['exec', 'box', 'true'], 1, /container [0-9a-f]{64} is not running/);
    await docker('rm', 'box');
  });

  test('a terminal: its size, its exit code, keys that detach', async () => {
    const line = (command: string) => `${clients?.docker} ${command}`;
    const { output, code } = await inTerminal(
      `stty rows 31 cols 97; ${line('run --rm -it busybox sh -c "until stty size | grep 97; do sleep 0.05; done; tty; exit 5"')}`,
      host.env,
    );
    assert.match(output, /31 97/);
    assert.match(output, /\/dev\/pts\/0/);
    assert.equal(code, 5);
    const detached = await inTerminal(line('run -it --name kept --detach-keys ctrl-a,d busybox sh'), host.env, 'echo so\u0001d');
    assert.equal(await state('kept'), 'running', detached.output);
    await docker('rm', '-f', 'kept');
  });

  test('attach: what is typed arrives, what is said comes, the exit code is the container’s', async () => {
    await docker('create', '-i', '--name', 'echoing', 'busybox', 'sh', '-c', 'while read word; do echo heard $word; done; exit 4');
    await docker('start', 'echoing');
    const { stdout, code } = await host.tryDocker(['attach', 'echoing'], { input: 'a\nb\n' });
    assert.deepEqual([stdout, code], ['heard a\nheard b\n', 4]);
    await docker('rm', 'echoing');
  });

  test('kill, pause, unpause, restart, wait, update, stats, port', async () => {
    await docker(
      'run',
      '-d',
      '--name',
      'life',
      '-m',
      '64m',
      '--cpus',
      '0.5',
      '--pids-limit',
      '50',
      'busybox',
      'sh',
      '-c',
      'trap "exit 42" USR1; while :; do sleep 0.05; done',
    );
    await docker('pause', 'life');
    assert.equal(await state('life'), 'paused');
    assert.match(await docker('ps', '--format', '{{.Status}}'), /\(Paused\)/);
    await fails(['exec', 'life', 'true'], 1, /is paused, unpause the container before exec/);
    await docker('unpause', 'life');
    const [name, memory] = (await docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}', 'life')).split(/ (.*)/);
    assert.equal(name, 'life');
    assert.match(memory ?? '', /\/ 64MiB$/);
    await docker('update', '-m', '96m', '--memory-swap', '192m', 'life');
    assert.equal(await docker('inspect', '-f', '{{.HostConfig.Memory}}', 'life'), String(96 << 20));
    const before = await docker('inspect', '-f', '{{.State.StartedAt}}', 'life');
    await docker('restart', '-t', '0', 'life');
    assert.notEqual(await docker('inspect', '-f', '{{.State.StartedAt}}', 'life'), before);
    const waiting = docker('wait', 'life');
    await until('the trap', async () => (await docker('top', 'life')).includes('sleep'));
    await docker('kill', '-s', 'USR1', 'life');
    assert.equal(await waiting, '42');
    await fails(['kill', 'life'], 1, /cannot kill container: life: container [0-9a-f]{64} is not running/);
    await docker('rm', 'life');
  });

  test('rm refuses what runs, takes it by force, and -v its anonymous volumes', async () => {
    await docker('run', '-d', '--name', 'stubborn', '-v', '/data', 'busybox', 'sleep', '1000');
    await fails(['rm', 'stubborn'], 1, /cannot remove container .*container is running/i);
    const volumes = (await docker('volume', 'ls', '-q')).split('\n').length;
    await docker('rm', '-f', '-v', 'stubborn');
    assert.equal((await docker('volume', 'ls', '-q')).split('\n').filter(Boolean).length, volumes - 1);
  });

  test('restart policies count, health is told', async () => {
    await docker('run', '-d', '--name', 'again', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'exit 1');
    await until(
      'two restarts',
      async () => (await docker('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'again')) === '2 exited',
      20_000,
    );
    await docker(
      'run',
      '-d',
      '--name',
      'well',
      '--health-cmd',
      'test -e /tmp/ok',
      '--health-interval',
      '200ms',
      '--health-retries',
      '2',
      'busybox',
      'sleep',
      '1000',
    );
    await until('unhealthy', async () => (await docker('inspect', '-f', '{{.State.Health.Status}}', 'well')) === 'unhealthy', 20_000);
    await docker('exec', 'well', 'touch', '/tmp/ok');
    await until('healthy', async () => /\(healthy\)/.test(await docker('ps', '--format', '{{.Status}}', '-f', 'name=well')), 20_000);
    assert.equal(await docker('ps', '-q', '-f', 'health=unhealthy'), '');
    await docker('rm', '-f', 'again', 'well');
  });

  test('filters of ps', async () => {
    await docker('run', '-d', '--name', 'f-run', '-l', 'k=v', 'busybox', 'sleep', '1000');
    await host.tryDocker(['run', '--name', 'f-done', '-l', 'k=w', 'busybox', 'sh', '-c', 'exit 3']);
    const names = async (...filters: string[]) =>
      (await docker('ps', '-a', '--format', '{{.Names}}', ...filters.flatMap(filter => ['-f', filter]))).split('\n').filter(Boolean).sort();
    assert.deepEqual(await names('label=k'), ['f-done', 'f-run']);
    assert.deepEqual(await names('label=k=v'), ['f-run']);
    assert.deepEqual(await names('exited=3'), ['f-done']);
    assert.deepEqual(await names('status=running', 'status=exited', 'name=f-'), ['f-done', 'f-run']);
    assert.deepEqual(await names('ancestor=busybox', 'name=^/f-run$'), ['f-run']);
    assert.deepEqual(await names('before=f-done'), ['f-run']);
    assert.deepEqual(await names('since=f-run'), ['f-done']);
    await fails(['ps', '-f', 'nonsense=1'], 1, /invalid filter 'nonsense'/);
    await docker('rm', '-f', 'f-run', 'f-done');
  });

  test('events tell a container’s life in docker’s words', async () => {
    const listening = host.spawnDocker(
      'events',
      '--filter',
      'type=container',
      '--format',
      '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}',
    );
    let said = '';
    listening.stdout?.setEncoding('utf8').on('data', text => (said += text));
    try {
      // Nothing tells that it listens; what happened before would come by `since`.
      await until('the listener', async () => {
        await docker('create', '--name', 'probe', 'busybox');
        await docker('rm', 'probe');
        return said.includes('destroy probe');
      });
      said = '';
      await host.tryDocker(['run', '--rm', '--name', 'told', 'busybox', 'sh', '-c', 'exit 6']);
      await until('the end', () => said.includes('destroy told'));
      const actions = said.split('\n').filter(line => line.includes(' told'));
      assert.deepEqual(
        actions.map(line => line.split(' ')[0]).filter(action => action !== 'attach' && action !== 'resize'),
        ['create', 'start', 'die', 'destroy'],
      );
      assert.ok(actions.some(line => /^die told 6/.test(line)));
    } finally {
      const ended = once(listening, 'exit');
      listening.kill('SIGKILL');
      await ended;
    }
    assert.match(
      await docker('events', '--since', '1h', '--until', String(Math.ceil(Date.now() / 1000)), '--filter', 'container=told'),
      /container die .*exitCode=6/,
    );
  });

  test('what runs goes on while the agent is killed and started anew; its record too', async () => {
    const id = await docker(
      'run',
      '-d',
      '--name',
      'lasting',
      '--restart',
      'always',
      'busybox',
      'sh',
      '-c',
      'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done',
    );
    const pid = await docker('inspect', '-f', '{{.State.Pid}}', 'lasting');
    await host.killAgent();
    await host.startAgent();
    assert.equal(
      await docker('inspect', '-f', '{{.Id}} {{.State.Pid}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}}', 'lasting'),
      `${id} ${pid} running always`,
    );
    const lines = (await docker('logs', 'lasting')).split('\n').map(Number);
    assert.deepEqual(
      lines,
      lines.map((_, index) => index + 1),
    );
    await docker('rm', '-f', 'lasting');
  });
});
