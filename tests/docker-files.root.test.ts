import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();

describe('files of containers and images made of them, by the docker command', { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());
  afterEach(() => host.removeContainers());

  const docker = (...args: string[]) => host.docker(...args);
  const directory = () => mkdtempSync(join(host.cluster.directory, 'files-'));
  const inspect = async (name: string) => JSON.parse(await docker('inspect', name))[0];

  test('commit: what was written and removed, configuration over the container’s, history, event', async () => {
    const since = String(Date.now() / 1000 - 1);
    await docker(
      'run',
      '--name',
      'work',
      '-e',
      'A=1',
      '-w',
      '/srv',
      '-l',
      'from=run',
      'busybox',
      'sh',
      '-c',
      'rm /etc/group; mkdir -p /new; echo x > /new/file; ln /new/file /new/hard; chown 7:8 /new/file',
    );
    const changes = [
      'ENTRYPOINT ["cat"]',
      'CMD ["/new/file"]',
      'ENV B=$A',
      'EXPOSE 80',
      'LABEL by=commit',
      'USER 7',
      'VOLUME /v',
      'STOPSIGNAL SIGINT',
    ];
    await docker('commit', '-a', 'somebody', '-m', 'for a reason', ...changes.flatMap(change => ['-c', change]), 'work', 'made:1');
    const { Config, Author, Comment, RootFS } = await inspect('made:1');
    assert.deepEqual([Author, Comment], ['somebody', 'for a reason']);
    assert.deepEqual([Config.Entrypoint, Config.Cmd, Config.User, Config.WorkingDir], [['cat'], ['/new/file'], '7', '/srv']);
    assert.ok(Config.Env.includes('A=1') && Config.Env.includes('B=1'));
    assert.deepEqual([Config.Labels, Config.ExposedPorts, Config.Volumes], [{ from: 'run', by: 'commit' }, { '80/tcp': {} }, { '/v': {} }]);
    assert.equal(RootFS.Layers.length, 2);
    assert.equal(await docker('run', '--rm', 'made:1'), 'x');
    const look = 'stat -c "%h %u:%g" /new/hard; test -e /etc/group || echo gone; test -s /etc/hosts && echo mounted';
    assert.equal(await docker('run', '--rm', '--entrypoint', 'sh', 'made:1', '-c', look), '2 7:8\ngone\nmounted');
    assert.match(
      await docker(
        'events',
        '--since',
        since,
        '--until',
        String(Date.now() / 1000 + 0.5),
        '-f',
        'event=commit',
        '-f',
        'event=create',
        '--format',
        '{{.Type}} {{.Action}} {{.Actor.Attributes.comment}}',
      ),
      /^image create .*\ncontainer commit for a reason$/m,
    );
    await docker('rm', 'work');
    assert.equal(await docker('run', '--rm', 'made:1'), 'x', 'without the container, too');
    await docker('rmi', 'made:1');
  });

  test('commit: nothing changed is no layer; a container that writes goes on; its image runs and is saved', async () => {
    await docker('create', '--name', 'idle', 'busybox', 'true');
    await docker('commit', 'idle', 'same:1');
    assert.equal((await inspect('same:1')).RootFS.Layers.length, (await inspect('busybox')).RootFS.Layers.length);
    await docker('run', '-d', '--name', 'writer', 'busybox', 'sh', '-c', 'i=0; while true; do i=$((i+1)); echo $i > /count; done');
    await until('its first number', async () => (await host.tryDocker(['exec', 'writer', 'test', '-s', '/count'])).code === 0);
    await docker('commit', 'writer', 'counted:1');
    const before = Number(await docker('run', '--rm', 'counted:1', 'cat', '/count'));
    const now = Number((await docker('exec', 'writer', 'cat', '/count')) || '0');
    assert.ok(Number.isInteger(before));
    assert.ok(now !== before || (await docker('exec', 'writer', 'cat', '/count')) !== String(now), 'it is not paused any more');
    assert.equal((await inspect('writer')).State.Paused, false);
    const archive = join(directory(), 'saved.tar');
    await docker('save', '-o', archive, 'counted:1');
    await docker('rmi', 'counted:1');
    await docker('load', '-i', archive);
    assert.equal(Number(await docker('run', '--rm', 'counted:1', 'cat', '/count')), before);
    await docker('rm', '-f', 'writer', 'idle');
    await docker('rmi', 'counted:1', 'same:1');
  });

  test('export, import and run: from a pipe, a file and an address; compressed; with instructions and a platform', async () => {
    const here = directory();
    await docker('run', '--name', 'source', '-v', 'held:/held', 'busybox', 'sh', '-c', 'echo state > /state; echo held > /held/file');
    await docker('export', '-o', join(here, 'all.tar'), 'source');
    const packed = gzipSync(readFileSync(join(here, 'all.tar')), { level: 1 });
    const id = (
      await host.tryDocker(['import', '-m', 'from a pipe', '-c', 'CMD cat /state; ls /held', '-', 'piped:1'], { input: packed })
    ).stdout.trim();
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    assert.equal(await docker('run', '--rm', 'piped:1'), 'state', 'nothing of what was mounted');
    assert.match(await docker('history', '--format', '{{.Comment}}', 'piped:1'), /from a pipe/);
    const server = createServer((_, response) => response.end(packed)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/root.tar.gz`;
    assert.match(await docker('import', '--platform', 'linux/arm64', address, 'fetched:1'), /sha256:[0-9a-f]{64}$/);
    assert.equal((await inspect('fetched:1')).Architecture, 'arm64');
    server.close();
    await docker('rm', '-v', 'source');
    await docker('rmi', 'piped:1', 'fetched:1');
    await docker('volume', 'rm', 'held');
  });

  test('a kill of the agent in the middle of a commit: the container, which was paused for it, goes on with the next agent', async () => {
    const script = 'head -c 300m /dev/urandom > /big; touch /ready; while true; do date +%s%N > /now; done';
    await docker('run', '-d', '--name', 'held', '--network', 'none', 'busybox', 'sh', '-c', script);
    const state = async () => ((await host.api('GET', '/containers/held/json')).json as { State: { Status: string } }).State.Status;
    await until('the file', async () => (await host.tryDocker(['exec', 'held', 'test', '-e', '/ready'])).code === 0);
    let isOver = false;
    const commit = host.api('POST', '/commit?container=held&repo=never').then(
      () => {
        isOver = true;
      },
      () => {}, // the agent is gone
    );
    while ((await state()) !== 'paused') assert.ok(!isOver, 'the commit was never seen to be under way');
    await host.killAgent();
    await commit;
    assert.ok(!isOver);
    await host.startAgent();
    assert.equal(await state(), 'running');
    const now = () => docker('exec', 'held', 'cat', '/now');
    const before = await now();
    await until('it to go on', async () => (await now()) !== before);
    // One that somebody else has paused stays so.
    await docker('pause', 'held');
    await host.killAgent();
    await host.startAgent();
    assert.equal(await state(), 'paused');
    await docker('unpause', 'held');
  });

  test('what can’t be imported or committed is refused in words, and leaves nothing', async () => {
    const images = await docker('images', '-aq');
    const refused: [Buffer, RegExp][] = [
      [Buffer.from('no archive at all, but long enough to be read as one'.repeat(20)), /tar archive is damaged/],
      [buildTar([{ name: '../up', content: 'x' }]), /"..\/up" is refused/],
      [gzipSync(buildTar([{ name: 'a', content: 'x' }])).subarray(0, 40), /damaged gzip stream/],
    ];
    for (const [input, message] of refused) {
      const ran = await host.tryDocker(['import', '-', 'bad:1'], { input });
      assert.match(ran.stderr, message);
      assert.notEqual(ran.code, 0);
    }
    await docker('create', '--name', 'one', 'busybox', 'true');
    for (const [args, message] of [
      [['commit', 'nobody', 'x'], /No such container: nobody/],
      [['commit', '-c', 'RUN rm /', 'one', 'x'], /run is not a valid change command/],
      [['commit', 'one', 'UPPER'], /must be lowercase|invalid reference/],
      [['import', 'http://127.0.0.1:1/nothing', 'bad:1'], /can't be fetched/],
    ] as [string[], RegExp][]) {
      const ran = await host.tryDocker(args);
      assert.match(ran.stderr, message, args.join(' '));
    }
    assert.equal(await docker('images', '-aq'), images);
  });

  test('load tells the names that the archive has, not those that the image has here', async () => {
    const id = await docker('inspect', '--format', '{{.Id}}', 'busybox');
    const file = join(directory(), 'image.tar');
    await docker('save', '-o', file, id);
    assert.equal(await docker('load', '-i', file), `Loaded image ID: ${id}`);
    await docker('tag', 'busybox', 'second:2');
    await docker('save', '-o', file, 'second:2');
    assert.equal(await docker('load', '-i', file), 'Loaded image: second:2');
    await docker('rmi', 'second:2');
  });

  test('an archive that is empty is one: nothing is unpacked, and that is answered', async () => {
    await docker('create', '--name', 'box', 'busybox');
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      const { status } = await host.api('PUT', '/containers/box/archive?path=/tmp', '', headers as Record<string, string>);
      assert.equal(status, 200);
    }
  });

  test('cp into and out of volumes, of containers that run, are stopped and never ran', async () => {
    const here = directory();
    writeFileSync(join(here, 'file'), 'into the volume');
    for (const state of ['created', 'running', 'stopped']) {
      const name = `cp-${state}`;
      await docker(
        'create',
        '--name',
        name,
        '-v',
        `${name}:/volume`,
        '--read-only',
        'busybox',
        'sleep',
        state === 'running' ? '1000' : '0',
      );
      if (state !== 'created') await docker('start', name);
      if (state === 'stopped') await docker('wait', name);
      await docker('cp', join(here, 'file'), `${name}:/volume/file`);
      assert.equal(await docker('run', '--rm', '-v', `${name}:/v`, 'busybox', 'cat', '/v/file'), 'into the volume', state);
      await docker('cp', `${name}:/volume/file`, join(here, name));
      assert.equal(readFileSync(join(here, name), 'utf8'), 'into the volume');
      const ran = await host.tryDocker(['cp', join(here, 'file'), `${name}:/etc/file`]);
      assert.match(ran.stderr, /container rootfs is marked read-only/);
      assert.equal((await docker('diff', name)).includes('file'), false);
      await docker('rm', '-f', name);
      await docker('volume', 'rm', name);
    }
  });
});
