import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();
/** A root with one program and nothing else. */
const bare = [{ name: 'bin/' }, { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 }];

describe('containers that go with their run, and roots that lack what things are mounted on', { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());
  afterEach(() => host.removeContainers());

  const docker = (...args: string[]) => host.docker(...args);
  const kept = () => docker('exec', 'short', 'cat', '/kept');

  test('one of --rm keeps what it wrote over restarts, halts and an agent that is killed, and all of that can be taken out', async () => {
    await docker('run', '-d', '--rm', '--name', 'short', 'busybox', 'sleep', '1000');
    await docker('exec', 'short', 'sh', '-c', 'echo here > /kept; echo gone > /dev/shm/file');
    await docker('restart', '-t', '0', 'short');
    assert.equal(await kept(), 'here');
    assert.equal(await docker('exec', 'short', 'ls', '/dev/shm'), '');
    await docker('pause', 'short');
    await host.killAgent();
    await host.startAgent();
    await docker('unpause', 'short');
    assert.equal(await kept(), 'here');
    assert.equal(await docker('diff', 'short'), 'A /kept');
    await docker('commit', 'short', 'taken:1');
    assert.equal(await docker('run', '--rm', 'taken:1', 'cat', '/kept'), 'here');
    await docker('cp', 'short:/kept', join(host.cluster.directory, 'kept'));
    await docker('restart', '-t', '0', 'short');
    assert.equal(await kept(), 'here');
    await docker('stop', '-t', '0', 'short');
    await until('it is gone', async () => (await docker('ps', '-aq')) === '');
  });

  for (const [what, etc] of [
    ['a link', [{ name: 'conf/' }, { name: 'etc', type: 'symlink', linkName: '/conf' }]],
    ['missing', []],
  ] as const)
    test(`where /etc is ${what}, a container has its name and its hosts, read-only too`, async () => {
      const input = buildTar([...bare, ...etc]);
      assert.equal((await host.tryDocker(['import', '-', 'plain:1'], { input })).code, 0);
      const script = 'b=/bin/busybox; $b cat /etc/hostname; $b grep -c named /etc/hosts; $b test -d /sys/fs';
      for (const options of [[], ['--read-only']])
        assert.equal(await docker('run', '--rm', ...options, '-h', 'named', 'plain:1', '/bin/busybox', 'sh', '-c', script), 'named\n1');
      await docker('image', 'rm', 'plain:1');
    });

  test('what things are mounted on is no change of a container whose image has none of it', async () => {
    const input = buildTar(bare);
    assert.equal((await host.tryDocker(['import', '-', 'bare:1'], { input })).code, 0);
    await docker('run', '--name', 'left', 'bare:1', '/bin/busybox', 'touch', '/etc/own');
    assert.deepEqual(
      (await docker('diff', 'left')).split('\n').map(line => line.slice(2)),
      ['/etc', '/etc/own'],
    );
    await docker('commit', 'left', 'left:1');
    assert.equal(await docker('run', '--rm', 'left:1', '/bin/busybox', 'ls', '/etc/own'), '/etc/own');
  });
});
