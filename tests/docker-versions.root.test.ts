import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();
/** The oldest, those between which waiting, mounts and addresses changed, and what the command itself asks for. */
const VERSIONS = ['1.24', '1.30', '1.41', '1.43', undefined];

describe(`the docker command ${clients?.version} as older ones speak`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  for (const version of VERSIONS)
    test(`version ${version ?? 'negotiated'}`, async () => {
      const env = version === undefined ? {} : { DOCKER_API_VERSION: version };
      const docker = async (...args: string[]) => {
        const { stdout, stderr, code } = await host.tryDocker(args, { env });
        assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`);
        return stdout.trimEnd();
      };
      const spoken = await docker('version', '--format', '{{.Client.APIVersion}} {{.Server.APIVersion}}');
      assert.match(spoken, version === undefined ? /^1\.\d\d 1\.51$/ : new RegExp(`^${version} 1\\.51$`));
      // Before 1.25 it is the command itself that removes, and may be over too soon.
      if (version !== '1.24') assert.equal(await docker('run', '--rm', 'busybox', 'echo', 'hello'), 'hello');
      assert.equal((await host.tryDocker(['run', '--name', 'ended', 'busybox', 'sh', '-c', 'exit 7'], { env })).code, 7);
      await docker('rm', 'ended');
      await docker('volume', 'create', 'kept');
      const id = await docker('run', '-d', '--name', 'old', '-p', '80', '-v', 'kept:/kept', 'busybox', 'sh', '-c', 'echo up; sleep 600');
      assert.match(await docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Names}} {{.Ports}}'), new RegExp(`^${id} old .*->80/tcp`));
      const shown = '{{.State.Status}} {{(index .Mounts 0).Name}} {{.NetworkSettings.Networks.bridge.IPAddress}}';
      assert.match(await docker('inspect', '-f', shown, 'old'), /^running kept \d+\.\d+\.\d+\.\d+$/);
      assert.equal(await docker('exec', 'old', 'echo', 'inside'), 'inside');
      assert.equal(await docker('logs', 'old'), 'up');
      assert.match(await docker('top', 'old'), /sleep 600/);
      assert.match(await docker('stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}}', 'old'), /^old [1-9]/);
      const back = join(mkdtempSync(join(host.cluster.directory, 'test-')), 'passwd');
      await docker('cp', 'old:/etc/passwd', back);
      assert.match(readFileSync(back, 'utf8'), /^root:/);
      await docker('update', '-m', '64m', '--memory-swap', '128m', 'old');
      assert.equal(await docker('commit', 'old', 'made').then(made => made.length), 71);
      assert.match(await docker('images', '--format', '{{.Repository}} {{.Size}}', 'made'), /^made [\d.]+MB$/);
      assert.match(await docker('history', '-q', 'made'), /^[0-9a-f]{12}/);
      const since = String(Math.floor(Date.now() / 1000));
      await docker('network', 'create', 'shop');
      await docker('network', 'connect', 'shop', 'old');
      assert.match(await docker('network', 'inspect', '-f', '{{range .Containers}}{{.Name}}{{end}}', 'shop'), /^old$/);
      await docker('network', 'disconnect', 'shop', 'old');
      await docker('network', 'rm', 'shop');
      await docker('restart', '-t', '0', 'old');
      await docker('stop', '-t', '0', 'old');
      assert.equal(await docker('wait', 'old'), '137');
      const until = String(Math.ceil(Date.now() / 1000) + 1);
      assert.match(await docker('events', '--since', since, '--until', until, '--format', '{{.Action}}'), /^die$/m);
      await docker('rm', 'old');
      await docker('rmi', 'made');
      await docker('volume', 'rm', 'kept');
      assert.match(await docker('info', '--format', '{{.Containers}} {{.Driver}}'), /^0 overlay2$/);
    });

  test('too old and too new ones are refused in docker’s words', async () => {
    for (const [version, says] of [
      ['1.12', /client version 1.12 is too old. Minimum supported API version is 1.24/],
      ['1.99', /client version 1.99 is too new. Maximum supported API version is 1.51/],
    ] as const)
      assert.match((await host.tryDocker(['ps'], { env: { DOCKER_API_VERSION: version } })).stderr, says);
  });
});
