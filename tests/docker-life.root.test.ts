import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();

interface State {
  Status: string;
  Running: boolean;
  Restarting: boolean;
  ExitCode: number;
  StartedAt: string;
  Health?: { Status: string; FailingStreak: number; Log: { ExitCode: number; Output: string }[] };
}

describe(`the docker command ${clients?.version}: restarts, health, events`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.docker(...args);
  const inspect = async (name: string): Promise<{ State: State; RestartCount: number }> => JSON.parse(await docker('inspect', name))[0];
  const stateOf = async (name: string) => (await inspect(name)).State;
  const lastEndOf = (name: string) =>
    until('its last end', async () => {
      const found = await inspect(name);
      return found.State.Status === 'exited' && found;
    });
  const run = (name: string, args: string[], ...command: string[]) => docker('run', '-d', '--name', name, ...args, 'busybox', ...command);
  const restartAgent = async () => {
    await host.killAgent();
    await host.startAgent();
  };

  describe('restart policies', () => {
    test("on-failure tries as often as it may; wait is over with a run's end", async () => {
      await run('tries', ['--restart', 'on-failure:3'], 'sh', '-c', 'exit 7');
      assert.equal(await docker('wait', 'tries'), '7');
      const { State, RestartCount } = await lastEndOf('tries');
      assert.deepEqual([State.Status, State.Restarting, RestartCount], ['exited', false, 3]);
      await docker('rm', 'tries');
    });

    test('always: restarting between, until a person stops it, who waits is told', async () => {
      await run('loops', ['--restart', 'always'], 'sh', '-c', 'exit 1');
      await until('some restarts', async () => (await inspect('loops')).RestartCount >= 4);
      const { Running, Restarting, Status } = await until('it waits', async () => {
        const state = await stateOf('loops');
        return state.Restarting && state;
      });
      assert.deepEqual([Running, Restarting, Status], [true, true, 'restarting']);
      assert.match(await docker('ps', '--format', '{{.Status}}', '--filter', 'name=loops'), /^Restarting \(1\)/);
      const waiting = docker('wait', 'loops');
      await docker('stop', 'loops');
      assert.equal(await waiting, '1');
      assert.equal((await stateOf('loops')).Status, 'exited');
      await docker('rm', 'loops');
    });

    test('a stop at any moment of a loop of restarts holds', async () => {
      for (const moment of [0, 40, 90, 130, 200, 310]) {
        await run('stops', ['--restart', 'always'], 'sh', '-c', 'sleep 0.05; exit 1');
        await new Promise(resolve => setTimeout(resolve, moment));
        await docker('stop', '-t', '0', 'stops');
        const { Status, StartedAt } = await stateOf('stops');
        assert.equal(Status, 'exited', `stopped after ${moment} ms`);
        await docker('run', '--rm', 'busybox', 'sleep', '0.2'); // longer than the restart would have waited
        assert.equal((await stateOf('stops')).StartedAt, StartedAt);
        await docker('rm', 'stops');
      }
    });

    test('an agent that is killed: what runs goes on, what ended comes back, what a person stopped does not', async () => {
      await run('lives', ['--restart', 'unless-stopped'], 'sleep', '1000');
      await run('falls', ['--restart', 'unless-stopped'], 'sh', '-c', 'until [ -e /end ]; do sleep 0.1; done; rm /end; exit 3');
      await run('stopped', ['--restart', 'unless-stopped'], 'sleep', '1000');
      await run('none', [], 'sh', '-c', 'sleep 1000');
      await docker('stop', '-t', '0', 'stopped');
      const before = await stateOf('lives');
      const fallen = await stateOf('falls');
      await docker('exec', 'falls', 'touch', '/end');
      await restartAgent();
      await until('it runs again', async () => {
        const { Running, Restarting, StartedAt } = await stateOf('falls');
        return Running && !Restarting && StartedAt !== fallen.StartedAt;
      });
      assert.equal((await stateOf('lives')).StartedAt, before.StartedAt);
      assert.equal((await stateOf('stopped')).Status, 'exited');
      assert.equal((await stateOf('none')).Status, 'running');
      await docker('rm', '-f', 'lives', 'falls', 'stopped', 'none');
    });

    test('docker update --restart', async () => {
      await run('changes', [], 'sh', '-c', 'until [ -e /end ]; do sleep 0.1; done; exit 1');
      await docker('update', '--restart', 'on-failure:1', 'changes');
      await docker('exec', 'changes', 'touch', '/end');
      assert.equal(await docker('wait', 'changes'), '1');
      assert.equal((await lastEndOf('changes')).RestartCount, 1);
      await docker('update', '--restart', 'always', 'changes');
      assert.equal((await stateOf('changes')).Status, 'exited');
      await docker('rm', 'changes');
    });

    test('killed at any moment of a loop of restarts, no more of them than it may have', async () => {
      await run('counted', ['--restart', 'on-failure:4'], 'sh', '-c', 'echo run; exit 1');
      const pauses = [50, 350, 10];
      for (const pause of pauses) {
        await new Promise(resolve => setTimeout(resolve, pause));
        await restartAgent();
      }
      const { State } = await lastEndOf('counted');
      assert.equal(State.ExitCode, 1);
      const runs = (await docker('logs', 'counted')).split('\n').length;
      assert.ok(runs <= 1 + 4 + pauses.length, `it ran ${runs} times`);
      await docker('rm', 'counted');
    });
  });

  describe('health checks', () => {
    test('starting, healthy, unhealthy; in inspect, ps, events and for a filter', async () => {
      const since = String(Date.now() / 1000);
      const flags = ['--health-cmd', 'echo "is it there"; test -e /well', '--health-interval', '200ms', '--health-retries', '2'];
      await run('checked', [...flags, '--health-start-period', '5s', '--health-start-interval', '100ms'], 'sleep', '1000');
      assert.equal((await stateOf('checked')).Health?.Status, 'starting');
      assert.match(await docker('ps', '--format', '{{.Status}}', '--filter', 'name=checked'), /\(health: starting\)$/);
      await docker('exec', 'checked', 'touch', '/well');
      await until('healthy', async () => (await stateOf('checked')).Health?.Status === 'healthy');
      const { Log = [] } = (await stateOf('checked')).Health ?? {};
      assert.deepEqual([Log.at(-1)?.ExitCode, Log.at(-1)?.Output], [0, 'is it there\n']);
      assert.equal(await docker('ps', '--format', '{{.Names}}', '--filter', 'health=healthy'), 'checked');
      await restartAgent();
      assert.equal((await stateOf('checked')).Health?.Status, 'healthy');
      await docker('exec', 'checked', 'rm', '/well');
      await until('unhealthy', async () => (await stateOf('checked')).Health?.Status === 'unhealthy');
      const told = await docker(
        'events',
        '--since',
        since,
        '--until',
        String(Date.now() / 1000),
        '--filter',
        'event=health_status',
        '--format',
        '{{.Action}}',
      );
      assert.deepEqual(told.split('\n'), ['health_status: healthy', 'health_status: unhealthy']);
      await docker('rm', '-f', 'checked');
    });

    test('--no-healthcheck', async () => {
      await run('unchecked', ['--no-healthcheck'], 'sleep', '1000');
      assert.equal((await stateOf('unchecked')).Health, undefined);
      await docker('rm', '-f', 'unchecked');
    });
  });

  describe('events', () => {
    const eventsOf = async (name: string, since: number): Promise<string[]> => {
      const until = String(Date.now() / 1000);
      const text = await docker(
        'events',
        '--since',
        String(since),
        '--until',
        until,
        '--filter',
        `container=${name}`,
        '--format',
        '{{.Action}}',
      );
      return text.split('\n').filter(Boolean);
    };

    test('of a whole life, with what docker says of each', async () => {
      const since = Date.now() / 1000;
      await docker('create', '--name', 'told', '--label', 'a=b', 'busybox', 'sleep', '1000');
      await docker('start', 'told');
      await docker('pause', 'told');
      await docker('unpause', 'told');
      await docker('rename', 'told', 'retold');
      await docker('exec', 'retold', 'true');
      await docker('stop', '-t', '0', 'retold');
      await docker('rm', 'retold');
      const wanted = ['create', 'start', 'pause', 'unpause', 'rename', 'die', 'stop', 'destroy'];
      const actions = [...(await eventsOf('told', since)), ...(await eventsOf('retold', since))].filter(action => wanted.includes(action));
      assert.deepEqual(actions, wanted);
      const args = ['--since', String(since), '--until', String(Date.now() / 1000), '--filter', 'label=a=b', '--filter', 'event=die'];
      const died = JSON.parse(await docker('events', ...args, '--format', '{{json .}}'));
      const { name, image, exitCode, execDuration } = died.Actor.Attributes;
      assert.deepEqual({ name, image, exitCode, execDuration }, { name: 'retold', image: 'busybox', exitCode: '137', execDuration: '0' });
      assert.equal(died.from, 'busybox');
    });

    test('are kept over an agent that is killed, with what happened without one', async () => {
      const since = Date.now() / 1000;
      await run('outlives', [], 'sh', '-c', 'until [ -e /end ]; do sleep 0.1; done; exit 5');
      await docker('exec', '-d', 'outlives', 'sh', '-c', 'sleep 0.5; touch /end');
      await host.killAgent();
      await until('its end', () => host.cluster.processes().every(({ pid }) => pid === 0));
      await host.startAgent();
      const actions = (await eventsOf('outlives', since)).filter(action => !action.startsWith('exec_'));
      assert.deepEqual(actions, ['create', 'start', 'die']);
      await docker('rm', 'outlives');
    });

    test('live, as they happen', async () => {
      const watching = host.spawnDocker('events', '--filter', 'container=watched', '--format', '{{.Action}}');
      try {
        let text = '';
        watching.stdout?.on('data', (chunk: Buffer) => (text += chunk));
        await until('it listens', async () => {
          await docker('run', '--rm', '--name', 'watched', 'busybox', 'true');
          return text.includes('destroy');
        });
        assert.match(text, /create\n(attach\n)?start\n(.*\n)*die\n(.*\n)*destroy\n/);
      } finally {
        watching.kill();
        await once(watching, 'exit');
      }
    });

    test("of images, and of the daemon's other things", async () => {
      const since = String(Date.now() / 1000);
      await docker('tag', 'busybox', 'other:1');
      await docker('rmi', 'other:1');
      await docker('volume', 'create', 'told');
      await docker('volume', 'rm', 'told');
      const filters = ['--filter', 'type=image', '--filter', 'type=volume'];
      const args = ['--since', since, '--until', String(Date.now() / 1000), ...filters];
      const told = await docker('events', ...args, '--format', '{{.Type}} {{.Action}}');
      assert.deepEqual(told.split('\n'), ['image tag', 'image untag', 'volume create', 'volume destroy']);
    });
  });
});
