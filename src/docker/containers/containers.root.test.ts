import assert from 'node:assert/strict';
import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as passed } from 'node:timers/promises';
import { until } from '#tests/cluster.ts';
import { findDockerClients } from '#tests/docker-clients.ts';
import { DockerHost } from '#tests/docker-host.ts';

const { have: clients } = await findDockerClients();

interface Inspect {
  Id: string;
  Name: string;
  State: { Status: string; Running: boolean; Paused: boolean; Pid: number; ExitCode: number; OOMKilled: boolean };
  HostConfig: Record<string, unknown>;
  RestartCount: number;
}

describe('containers over docker’s API', { skip: clients ? false : 'no docker command' }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.docker(...args);
  const refused = async (...args: string[]) => {
    const { code, stderr } = await host.tryDocker(args);
    assert.notEqual(code, 0, `docker ${args.join(' ')} was not refused`);
    return stderr;
  };
  const inspect = (name: string) => host.must<Inspect>('GET', `/containers/${name}/json`);
  const create = async (name: string, body: object) =>
    (await host.must<{ Id: string }>('POST', `/containers/create?name=${name}`, { Image: 'busybox', ...body })).Id;
  const statuses = async (...calls: [method: string, path: string][]) => {
    const answers = await Promise.all(calls.map(([method, path]) => host.api(method, path)));
    return answers.map(({ status }) => status);
  };

  test('a container is created, runs, is told of, stops and goes', async () => {
    const id = await docker('create', '--name', 'first', 'busybox', 'sh', '-c', 'echo out; sleep 600 & trap "exit 3" TERM; wait');
    assert.match(await docker('ps', '-a', '--format', '{{.Names}} {{.State}}'), /first created/);
    assert.equal(await docker('start', 'first'), 'first');
    assert.deepEqual(await statuses(['POST', '/containers/first/start']), [304]);
    assert.match(await docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Image}} {{.Status}}'), new RegExp(`^${id} busybox Up `));
    const { State, Name } = await inspect(id.slice(0, 8));
    assert.deepEqual([State.Status, State.Running, Name], ['running', true, '/first']);
    assert.match(await docker('top', 'first'), /sleep 600/);
    assert.equal(await docker('stop', 'first'), 'first');
    assert.equal((await inspect('first')).State.ExitCode, 3);
    assert.deepEqual(await statuses(['POST', '/containers/first/stop'], ['POST', '/containers/first/kill']), [304, 409]);
    await docker('restart', '-t', '0', 'first');
    assert.equal((await inspect('first')).State.Status, 'running');
    assert.match(await refused('rm', 'first'), /cannot remove container "\/first": container is running/);
    await docker('rm', '-f', 'first');
    assert.deepEqual(await statuses(['GET', `/containers/${id}/json`], ['DELETE', `/containers/${id}`]), [404, 404]);
  });

  test('exit codes are docker’s, also those of what can not be started', async () => {
    const codes: [code: number, ...args: string[]][] = [
      [0, 'true'],
      [7, 'sh', '-c', 'exit 7'],
      [127, 'nosuch'],
      [127, '/no/such'],
      [126, '/tmp'],
    ];
    for (const [code, ...args] of codes)
      assert.equal((await host.tryDocker(['run', '--rm', '--network', 'none', 'busybox', ...args])).code, code, args.join(' '));
    assert.equal(await docker('ps', '-aq'), '');
  });

  test('names are one’s own, ids are found by their beginnings, renames hold', async () => {
    const id = await create('owned', {});
    const { status, text } = await host.api('POST', '/containers/create?name=owned', { Image: 'busybox' });
    assert.deepEqual(
      [status, JSON.parse(text).message],
      [
        409,
        `Conflict. The container name "/owned" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
      ],
    );
    await docker('rename', 'owned', 'other');
    assert.equal((await inspect(id.slice(0, 12))).Name, '/other');
    assert.deepEqual(await statuses(['GET', '/containers/owned/json']), [404]);
    const second = await create('owned', {});
    assert.match(await refused('rename', 'other', 'owned'), /Conflict. The container name "\/owned"/);
    assert.match(await refused('rename', 'other', '..'), /Invalid container name/);
    await docker('rm', id, second);
  });

  test('what HostConfig limits and joins is so inside', async () => {
    const run = (...args: string[]) => docker('run', '--rm', '--network', 'none', ...args);
    assert.match(await run('--init', 'busybox', 'ps'), /1 root +\/sbin\/docker-init -- ps/);
    assert.match(await run('--shm-size', '8m', 'busybox', 'df', '/dev/shm'), /shm +8192 /);
    assert.match(await run('--user', '1000:1000', '--group-add', 'nogroup', 'busybox', 'id'), /groups=1000,65534/);
    assert.equal(await run('-w', '/new/dir', 'busybox', 'pwd'), '/new/dir');
    assert.match(await run('-e', 'A=1', '-e', 'PATH=/bin', 'busybox', 'env'), /^PATH=\/bin\nHOSTNAME=[0-9a-f]{12}\nA=1\nHOME=\/root$/m);
    assert.equal(
      await run('--hostname', 'hh', '--domainname', 'ex.org', 'busybox', 'sh', '-c', 'hostname; cat /proc/sys/kernel/domainname'),
      'hh\nex.org',
    );
    assert.match(await run('--read-only', '--tmpfs', '/t', 'busybox', 'sh', '-c', 'touch /t/x && touch /x; true'), /^$/);
    assert.match(await run('--cap-drop', 'all', '--cap-add', 'net_raw', 'busybox', 'grep', 'CapEff', '/proc/self/status'), /0{12}2000$/);
    assert.equal(await run('--ulimit', 'nofile=100:200', 'busybox', 'sh', '-c', 'ulimit -n'), '100');
    assert.match(await run('--security-opt', 'no-new-privileges', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status'), /1$/);
    assert.match(
      await run(
        '-m',
        '32m',
        '--memory-swap',
        '-1',
        'busybox',
        'sh',
        '-c',
        'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true',
      ),
      /^33554432$/m,
    );
    const shared = await docker('run', '-d', '--network', 'none', '--ipc', 'shareable', '--name', 'shared', 'busybox', 'sleep', '600');
    const joined = await run(
      '--ipc',
      'container:shared',
      '--pid',
      'container:shared',
      'busybox',
      'sh',
      '-c',
      'ps; for id in self 1; do readlink /proc/$id/ns/ipc; done | uniq | wc -l',
    );
    assert.match(joined, /1 root +sleep 600[\s\S]*\n1$/);
    assert.match(await refused('run', '--rm', '--ipc', 'container:nosuch', 'busybox'), /No such container: nosuch/);
    await docker('kill', shared);
    for (const [flag, what] of [
      ['--network', 'cannot join network of a non running container'],
      ['--pid', 'failed to join PID namespace: container \\w+ is not running'],
      ['--ipc', 'failed to join IPC namespace: container \\w+ is not running'],
    ] as const)
      assert.match(await refused('run', '--rm', flag, 'container:shared', 'busybox'), new RegExp(what));
    assert.equal(await docker('ps', '-aq', '--no-trunc'), shared, 'what was refused is gone, and nobody waits for it');
    await docker('rm', shared);
  });

  test('namespaces, devices, system calls and kernel parameters are the machine’s or its own as asked', async () => {
    const run = (...args: string[]) => docker('run', '--rm', '--network', 'none', ...args);
    for (const [name, option, own] of [
      ['pid', '--pid', []],
      ['uts', '--uts', []],
      ['ipc', '--ipc', ['--ipc', 'private']],
      ['cgroup', '--cgroupns', ['--cgroupns', 'private']],
    ] as const) {
      const inside = (...args: string[]) => run(...args, 'busybox', 'readlink', `/proc/self/ns/${name}`);
      assert.equal(await inside(option, 'host'), readlinkSync(`/proc/self/ns/${name}`));
      assert.notEqual(await inside(...own), readlinkSync(`/proc/self/ns/${name}`));
    }
    assert.equal(await run('--sysctl', 'net.core.somaxconn=77', 'busybox', 'cat', '/proc/sys/net/core/somaxconn'), '77');
    const open = '(: < /dev/mine) 2>/dev/null && echo read; (: > /dev/mine) 2>/dev/null && echo write; true';
    assert.equal(await run('--device', '/dev/fuse:/dev/mine:r', 'busybox', 'sh', '-c', open), 'read');
    const made = `mknod /dev/mine c 10 229; ${open}`;
    assert.equal(await run('busybox', 'sh', '-c', made), '');
    assert.equal(await run('--device-cgroup-rule', 'c 10:* rwm', 'busybox', 'sh', '-c', made), 'read\nwrite');
    const profile = join(host.cluster.directory, 'seccomp.json');
    const syscalls = [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }];
    writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }));
    const mkdir = ['busybox', 'sh', '-c', 'mkdir /new 2>/dev/null || echo no'];
    assert.deepEqual([await run(...mkdir), await run('--security-opt', `seccomp=${profile}`, ...mkdir)], ['', 'no']);
    assert.match(await run('--security-opt', 'seccomp=unconfined', 'busybox', 'grep', 'Seccomp:', '/proc/self/status'), /0$/);
    const covered = ['busybox', 'sh', '-c', 'grep -c " /proc/" /proc/self/mountinfo; true'];
    assert.notEqual(await run(...covered), '0');
    assert.equal(await run('--security-opt', 'systempaths=unconfined', ...covered), '0');
    const groups = await run('--cgroupns', 'host', '--cgroup-parent', '../sub', 'busybox', 'cat', '/proc/self/cgroup');
    assert.match(groups, new RegExp(`/${host.cluster.name}/sub/[0-9a-f]{64}$`, 'm')); // no way out of the instance's own
  });

  test('links are names, also in paths; what can be no image, and a directory that ends in a slash', async () => {
    const db = await create('db', { Cmd: ['sleep', '600'] });
    await docker('start', db);
    await docker('run', '-d', '--name', 'app', '--link', 'db:sql', 'busybox', 'sleep', '600');
    await docker('rename', 'app', 'web');
    assert.equal(await docker('ps', '--no-trunc', '--filter', `id=${db}`, '--format', '{{.Names}}'), 'db,web/sql');
    assert.deepEqual([(await inspect('web/sql')).Id, (await inspect('web')).HostConfig.Links], [db, ['/db:/web/sql']]);
    await docker('rm', '--link', 'web/sql');
    assert.deepEqual(await statuses(['GET', '/containers/web/sql/json'], ['DELETE', '/containers/web?link=1']), [404, 409]);
    await docker('rm', '-f', 'web', 'db');
    await docker('run', '-d', '--name', 'alone', '--network', 'none', 'busybox', 'sleep', '600');
    const apart = /Cannot link to \/alone, as it does not belong to the default network/;
    assert.match(await refused('run', '--rm', '--link', 'alone', 'busybox'), apart);
    await docker('rm', '-f', 'alone');
    assert.match(await refused('create', `busybox:sha256:${db}`), /invalid reference format/);
    const { status, text } = await host.api('POST', '/containers/create', { Image: `busybox:sha256:${db}` });
    assert.deepEqual([status, text], [400, '{"message":"invalid reference format"}\n']);
    const there = await create('there', { WorkingDir: '/tmp/' });
    assert.equal(await docker('inspect', '--format', '{{.Config.WorkingDir}}', there), '/tmp');
    await docker('rm', there);
  });

  test('limits change while it runs; a paused one does nothing until it goes on', async () => {
    const id = await docker('run', '-d', '--network', 'none', '-m', '64m', 'busybox', 'sh', '-c', 'while :; do echo x; sleep 0.05; done');
    await docker('update', '-m', '96m', '--memory-swap', '128m', '--cpus', '0.5', '--restart', 'on-failure:3', id);
    const { HostConfig } = await inspect(id);
    assert.deepEqual(
      [HostConfig.Memory, HostConfig.NanoCpus, HostConfig.RestartPolicy],
      [96 << 20, 5e8, { Name: 'on-failure', MaximumRetryCount: 3 }],
    );
    for (const [version, PidsLimit, now] of [
      ['', 50, 50],
      ['/v1.39', 60, 50],
      ['', -1, 0],
    ] as const) {
      await host.must('POST', `${version}/containers/${id}/update`, { PidsLimit });
      assert.equal((await inspect(id)).HostConfig.PidsLimit, now);
    }
    await docker('pause', id);
    assert.match(await docker('ps', '--filter', 'status=paused', '--format', '{{.Status}}'), /\(Paused\)$/);
    // What it said before may still be on its way into the log; a line every 50 ms would never end.
    await until('the log stands still', async () => {
      const before = await docker('logs', id);
      await passed(200);
      return (await docker('logs', id)) === before;
    });
    assert.match(await refused('pause', id), /already paused/);
    assert.match(await refused('rm', id), /paused/);
    await docker('unpause', id);
    assert.match(await refused('unpause', id), /is not paused/);
    await docker('pause', id);
    await docker('stop', '-t', '0', id);
    assert.equal((await inspect(id)).State.ExitCode, 137);
    await docker('rm', id);
  });

  test('wait answers its conditions; stats and sizes are told', async () => {
    const id = await create('waited', {
      Cmd: ['sh', '-c', 'until [ -e /go ]; do sleep 0.02; done; exit 5'],
      HostConfig: { NetworkMode: 'none' },
    });
    const code = async (condition: string) =>
      (await host.must<{ StatusCode: number }>('POST', `/containers/${id}/wait?condition=${condition}`)).StatusCode;
    assert.equal(await code('not-running'), 0);
    const waits = Promise.all([code('next-exit'), code('removed')]);
    await docker('start', id);
    const { pids_stats: pids, precpu_stats: earlier } = await host.must<{
      pids_stats: { current: number };
      precpu_stats: { system_cpu_usage: number };
    }>('GET', `/containers/${id}/stats?stream=0&one-shot=1`);
    assert.ok(pids.current >= 1 && earlier.system_cpu_usage === undefined);
    assert.equal((await host.api('GET', `/containers/${id}/stats?one-shot=1`)).status, 400);
    await docker('exec', id, 'touch', '/go');
    assert.equal(await code('not-running'), 5);
    assert.match(await docker('ps', '-as', '--filter', 'exited=5', '--format', '{{.Size}}'), /kB \(virtual .*B\)/);
    await docker('rm', id);
    assert.deepEqual(await waits, [5, 5]);
    assert.deepEqual(await statuses(['POST', '/containers/nosuch/wait']), [404]);
  });

  test('malformed bodies are 400, unknown fields nothing', async () => {
    const refusals: [body: object | string, says: RegExp][] = [
      ['{', /invalid JSON/],
      ['[]', /cannot unmarshal array/],
      [{ Image: 'busybox', Cmd: 7 }, /cannot unmarshal number into Go struct field ContainerConfigWrapper.Cmd/],
      [{ Image: 'busybox', HostConfig: { Memory: 'much' } }, /HostConfig.Memory of type int64/],
      [{ Image: 'busybox', HostConfig: { Memory: 4 } }, /Minimum memory limit allowed is 6MB/],
      [{ Image: 'busybox', HostConfig: { RestartPolicy: { Name: 'sometimes' } } }, /unknown policy 'sometimes'/],
      [{ Image: 'busybox', HostConfig: { CpuCount: 2 } }, /CpuCount can't be honoured/],
      [{ Image: 'busybox', HostConfig: { CapAdd: ['flying'] } }, /unknown capability: ."CAP_FLYING/],
      [{ Image: 'busybox', WorkingDir: 'x' }, /absolute path/],
    ];
    for (const [body, says] of refusals) {
      const { status, text } = await host.api('POST', '/containers/create', typeof body === 'string' ? Buffer.from(body) : body, {
        'content-type': 'application/json',
      });
      assert.equal(status, 400, `${JSON.stringify(body)}: ${text}`);
      assert.match(text, says);
    }
    assert.equal((await host.api('POST', '/containers/create', { Image: 'nosuch:1' })).status, 404);
    await docker('rm', await create('loose', { Nonsense: { a: 1 }, hostconfig: { networkmode: 'none' } }));
  });

  test('what is missing is told in docker’s words, a bad body before that', async () => {
    const starts: [says: RegExp, ...args: string[]][] = [
      [/unable to find user nosuch: no matching entries in passwd file/, '-u', 'nosuch'],
      [/unable to find group nosuch: no matching entries in group file/, '--group-add', 'nosuch'],
      [/while adding custom device "\/dev\/nosuch": no such file or directory/, '--device', '/dev/nosuch'],
      [/could not get container for nosuch/, '--link', 'nosuch'],
    ];
    for (const [says, ...args] of starts) assert.match(await refused('run', '--rm', ...args, 'busybox'), says);
    const type = { 'content-type': 'application/json' };
    const update = await host.api('POST', '/containers/nosuch/update', Buffer.from('{} more'), type);
    assert.deepEqual([update.status, update.json], [400, { message: 'unexpected content after JSON' }]);
    assert.equal((await host.api('POST', '/containers/nosuch/update', {})).status, 404);
    assert.equal(await docker('ps', '-aq'), '');
  });

  test('kill and stop end a restart that waits', async () => {
    await docker('run', '-d', '--name', 'again', '--restart', 'always', '--network', 'none', 'busybox', 'false');
    for (const call of ['kill', 'stop?t=0']) {
      // Those after the first few wait long enough.
      await until('it waits for a restart', async () => {
        const { RestartCount, State } = await inspect('again');
        return RestartCount >= 4 && State.Status === 'restarting';
      });
      assert.deepEqual(await statuses(['POST', '/containers/again/pause'], ['POST', `/containers/again/${call}`]), [409, 204]);
      assert.equal((await inspect('again')).State.Status, 'exited');
      await host.api('POST', '/containers/again/start');
    }
    await docker('rm', '-f', 'again');
  });

  test('fifty clients at one name leave nothing, each with a right answer', async () => {
    const seen = new Map<string, Set<number>>();
    const note = (what: string, status: number) => void (seen.get(what) ?? seen.set(what, new Set()).get(what)!).add(status);
    const body = { Image: 'busybox', Cmd: ['sleep', '600'], HostConfig: { NetworkMode: 'none' } };
    const one = async () => {
      for (let round = 0; round < 2; round++) {
        note('create', (await host.api('POST', '/containers/create?name=fought', body)).status);
        note('start', (await host.api('POST', '/containers/fought/start')).status);
        note('stop', (await host.api('POST', '/containers/fought/stop?t=0')).status);
        note('remove', (await host.api('DELETE', '/containers/fought?force=1')).status);
      }
    };
    await Promise.all(Array.from({ length: 50 }, one));
    const allowed: Record<string, number[]> = {
      create: [201, 409],
      start: [204, 304, 404, 409],
      stop: [204, 304, 404],
      remove: [204, 404, 409],
    };
    for (const [what, statuses] of seen)
      assert.deepEqual(
        [...statuses].filter(status => !allowed[what]?.includes(status)),
        [],
        `${what}\n${host.agentLog(2000)}`,
      );
    await host.api('DELETE', '/containers/fought?force=1');
    assert.equal(await docker('ps', '-aq'), '');
  });

  test('fifty clients that do all there is to one container keep no name, volume or network of it', async () => {
    const body = { Image: 'busybox', Cmd: ['sh', '-c', 'sleep 0.05; exit 1'], Volumes: { '/anon': {} } };
    const calls: [what: string, method: string, path: string, body?: object][] = [
      ['create', 'POST', '/containers/create?name=stormy', { ...body, HostConfig: { AutoRemove: true } }],
      ['create', 'POST', '/containers/create?name=stormy', { ...body, HostConfig: { RestartPolicy: { Name: 'always' } } }],
      ['start', 'POST', '/containers/stormy/start'],
      ['rename', 'POST', '/containers/stormy/rename?name=calm'],
      ['rename', 'POST', '/containers/calm/rename?name=stormy'],
      ['update', 'POST', '/containers/stormy/update', { Memory: 64 << 20, MemorySwap: 128 << 20 }],
      ['pause', 'POST', '/containers/stormy/pause'],
      ['unpause', 'POST', '/containers/stormy/unpause'],
      ['restart', 'POST', '/containers/stormy/restart?t=0'],
      ['kill', 'POST', '/containers/stormy/kill'],
      ['stop', 'POST', '/containers/stormy/stop?t=0'],
      ['remove', 'DELETE', '/containers/stormy?force=1&v=1'],
      ['inspect', 'GET', '/containers/stormy/json'],
      ['list', 'GET', '/containers/json?all=1&size=1'],
    ];
    const wrong = new Set<string>();
    const one = async (client: number) => {
      for (let round = 0; round < 8; round++) {
        const [what, method, path, asked] = calls[(client * 3 + round * (1 + (client % 5))) % calls.length] ?? calls[0]!;
        const { status, text } = await host.api(method, path, asked);
        const isRight = [200, 201, 204, 304, 404, 409].includes(status) || text.includes('with the same name as its current name');
        if (!isRight) wrong.add(`${what}: ${status} ${text}`);
      }
    };
    await Promise.all(Array.from({ length: 50 }, (_, client) => one(client)));
    assert.deepEqual([...wrong], [], host.agentLog(2000));
    for (const name of ['stormy', 'calm']) {
      await host.api('DELETE', `/containers/${name}?force=1&v=1`);
      await docker('rm', await create(name, {}));
    }
    assert.deepEqual([await docker('ps', '-aq'), await docker('volume', 'ls', '-q')], ['', '']);
  });

  test('after a kill of the agent everything is as it was acknowledged', async () => {
    const running = await docker('run', '-d', '--name', 'survivor', '--network', 'none', 'busybox', 'sleep', '600');
    const passing = await docker('run', '-d', '--name', 'passing', '--network', 'none', 'busybox', 'sh', '-c', 'sleep 0.5; exit 9');
    await docker('run', '-d', '--rm', '--name', 'leaving', '--network', 'none', 'busybox', 'sleep', '0.5');
    const paused = await docker('run', '-d', '--network', 'none', 'busybox', 'sleep', '600');
    await docker('pause', paused);
    const idle = await create('idle', {});
    await host.killAgent();
    await passed(800);
    await host.startAgent();
    assert.equal((await inspect('survivor')).Id, running);
    await until('the passing one has ended', async () => (await inspect(passing)).State.Status === 'exited');
    assert.equal((await inspect(passing)).State.ExitCode, 9);
    assert.equal((await inspect(paused)).State.Status, 'paused');
    assert.equal((await inspect('idle')).State.Status, 'created');
    await until('the leaving one has gone', async () => (await host.api('GET', '/containers/leaving/json')).status === 404);
    await docker('start', 'passing');
    await docker('rm', '-f', running, passing, paused, idle);
  });
});
