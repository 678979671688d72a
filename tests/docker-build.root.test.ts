import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();

describe(`the docker command ${clients?.version}: classic builds`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  function contextOf(name: string, files: Record<string, string>): string {
    const directory = join(host.cluster.directory, name);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
    return directory;
  }

  test('build: the steps as they go, an image that runs, and at once when nothing changed', async () => {
    const directory = contextOf('app', {
      Dockerfile: 'FROM busybox\nCOPY a /a\nRUN cat /a; echo oops >&2\nCMD ["cat","/a"]\n',
      a: 'hello\n',
      '.dockerignore': 'secret*\n!secret-not\n',
      secret: 'x',
    });
    const since = String(Date.now() / 1000 - 0.1);
    const said = await host.docker('build', '-t', 'app', '-t', 'localhost:5000/app:2', directory);
    assert.match(said, /Step 1\/4 : FROM busybox\n ---> [0-9a-f]{12}\nStep 2\/4 : COPY a \/a\n ---> [0-9a-f]{12}\nStep 3\/4/);
    assert.match(said, /---> Running in ([0-9a-f]{12})\n[\s\S]*hello\n[\s\S]* ---> Removed intermediate container [0-9a-f]{12}\n/);
    const [, id = ''] =
      /Successfully built ([0-9a-f]{12})\nSuccessfully tagged app:latest\nSuccessfully tagged localhost:5000\/app:2$/.exec(said) ?? [];
    assert.match(await host.docker('images', '--no-trunc', '-q', 'app'), new RegExp(`^sha256:${id}`));
    assert.equal(await host.docker('run', '--rm', 'app'), 'hello');
    const again = await host.docker('build', '-t', 'app', directory);
    assert.equal(again.match(/Using cache/g)?.length, 3);
    assert.match(again, new RegExp(`Successfully built ${id}`));
    const window = ['--since', since, '--until', String(Date.now() / 1000 + 0.1)];
    const made = await host.docker('events', ...window, '-f', 'type=image', '-f', 'event=create', '--format', '{{.Actor.ID}}');
    assert.match(made, new RegExp(`^sha256:${id}\\w+$`), 'told once: what was there already was not made');
    assert.equal(await host.docker('ps', '-aq'), '');
    assert.match(
      await host.docker('history', '--no-trunc', '--format', '{{.CreatedBy}}', 'app'),
      /#\(nop\) {2}CMD \["cat" "\/a"\]\n\/bin\/sh -c cat \/a/,
    );
  });

  test('build -q and --iidfile say the image’s id; a quiet failure says everything', async () => {
    const directory = contextOf('quiet', { Dockerfile: 'FROM busybox\nRUN echo said\n', Broken: 'FROM busybox\nRUN echo said; exit 3\n' });
    const id = await host.docker('build', '-q', directory);
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    await host.docker('build', '--iidfile', join(directory, 'iid'), directory);
    assert.equal((await host.command('cat', [join(directory, 'iid')])).stdout, id);
    for (const args of [['-q'], []]) {
      const { code, stdout, stderr } = await host.tryDocker(['build', ...args, '-f', join(directory, 'Broken'), directory]);
      assert.equal(code, 3);
      assert.match(stdout + stderr, /said\n/);
      assert.match(stderr, /The command '\/bin\/sh -c echo said; exit 3' returned a non-zero code: 3/);
    }
  });

  test('options: arguments, targets, labels, networks, hosts, limits; what is not to be had is refused by its name', async () => {
    const dockerfile = [
      'FROM busybox AS first',
      'ARG WHO',
      'RUN echo "who $WHO"; cat /etc/hosts; ls /sys/class/net; ulimit -n; df -k /dev/shm; cat /etc/resolv.conf',
      'FROM first',
      'RUN exit 1',
    ].join('\n');
    const directory = contextOf('options', { Dockerfile: dockerfile });
    const options = [
      '--target',
      'first',
      '--build-arg',
      'WHO=me',
      '--label',
      'a=b',
      '--add-host',
      'there:10.9.8.7',
      '--ulimit',
      'nofile=123',
    ];
    const said = await host.docker(
      'build',
      '--no-cache',
      '--network',
      'none',
      '--shm-size',
      '32m',
      '-m',
      '64m',
      ...options,
      '-t',
      'options',
      directory,
    );
    assert.match(said, /who me\n[\s\S]*10\.9\.8\.7\s+there\nlo\n123\n[\s\S]*32768[\s\S]*\nnameserver /);
    assert.equal(await host.docker('image', 'inspect', '-f', '{{.Config.Labels.a}}', 'options'), 'b');
    const refused: [string[], RegExp][] = [
      [['--squash'], /experimental|does not squash/],
      [['--network', 'nowhere'], /network nowhere not found/],
      [['--security-opt', 'x=y'], /security options/],
      [['--isolation', 'hyperv'], /isolation/],
      [['-t', 'UPPER'], /invalid|lower/],
    ];
    for (const [args, message] of refused) {
      const { code, stderr } = await host.tryDocker(['build', ...args, directory]);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    }
    const { status, text } = await host.api('POST', '/build?version=2', buildTar([]));
    assert.equal(status, 501, text);
    assert.match(text, /DOCKER_BUILDKIT=0/);
  });

  test('a network that somebody made, and that of another container', async () => {
    const directory = contextOf('networks', {
      Dockerfile: 'FROM busybox\nRUN cat /etc/hosts; nslookup there; ls /sys/class/net; ping -c1 there\n',
    });
    await host.docker('network', 'create', '--subnet', '10.231.7.0/24', 'builds');
    await host.docker('run', '-d', '--name', 'there', '--network', 'builds', 'busybox', 'sleep', '1000');
    try {
      const said = await host.docker('build', '--network', 'builds', '--add-host', 'far:10.1.1.1', directory);
      assert.match(said, /10\.1\.1\.1\s+far[\s\S]*10\.231\.7\.2[\s\S]*eth0/);
      const other = await host.docker('build', '--no-cache', '--network', 'container:there', directory);
      assert.match(other, /10\.231\.7\.2\s[\s\S]*eth0/);
      assert.equal(await host.docker('network', 'inspect', '-f', '{{len .Containers}}', 'builds'), '1', 'the steps have left');
      const { stderr } = await host.tryDocker(['build', '--network', 'container:nobody', directory]);
      assert.match(stderr, /No such container: nobody/);
    } finally {
      await host.docker('rm', '-f', 'there');
      await host.docker('network', 'rm', 'builds');
    }
  });

  test('contexts from standard input, compressed by anything; Dockerfiles that are wrong', async () => {
    const archive = buildTar([{ name: 'Dockerfile', content: 'FROM busybox\nRUN echo piped\n' }]);
    const xz = await compressed('xz', archive);
    const bzip2 = await compressed('bzip2', archive);
    for (const input of [archive, gzipSync(archive), xz, bzip2, Buffer.from('FROM busybox\nRUN echo piped\n')]) {
      const { stdout, stderr, code } = await host.tryDocker(['build', '-'], { input });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /Successfully built/);
    }
    const directory = contextOf('elsewhere', { kept: 'kept\n', Dockerfile: 'nonsense' });
    const own = await host.tryDocker(['build', '-m', '16m', '-f', '-', directory], {
      input: 'FROM busybox\nCOPY kept /\nRUN cat /kept; ls -A / | grep -c docker; tail /dev/zero\n',
    });
    assert.match(own.stdout, /kept\n0\n/);
    assert.match(own.stderr, /returned a non-zero code: 137/);
    const wrong: [string, RegExp][] = [
      ['FROM busybox\n\nFOO bar\n', /dockerfile parse error line 3: unknown instruction: FOO/],
      [`FROM busybox\nRUN echo ${'x'.repeat(1 << 20)}\n`, /longer than 1048576 bytes/],
      [`FROM busybox\nRUN echo ${'x'.repeat(300_000)}\n`, /line 2: the instruction has more than/],
      [
        'FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nCOPY --from=a /x /\n',
        /line 2: invalid from flag value b: that stage comes later/,
      ],
      ['FROM a AS a\n', /a/],
      ['', /cannot be empty|no instructions/],
    ];
    for (const [content, message] of wrong) {
      const answer = await host.api('POST', '/build', buildTar([{ name: 'Dockerfile', content }]));
      assert.ok(answer.status >= 400 && answer.status < 600, answer.text);
      assert.match(answer.text, message);
    }
    const { status } = await host.api('POST', '/build', Buffer.from('neither an archive nor anything else'.repeat(100)));
    assert.equal(status, 400);
  });

  async function compressed(program: string, bytes: Buffer): Promise<Buffer> {
    const { execFileSync } = await import('node:child_process');
    return execFileSync(program, ['-c'], { input: bytes });
  }

  test('a build whose client leaves, or that is cancelled, ends with its containers', async () => {
    const directory = contextOf('long', { Dockerfile: 'FROM busybox\nRUN echo up; sleep 1000\n' });
    const running = () => readdirSync(join(host.cluster.dataDir, 'engine/containers')).length;
    const before = running();
    const client = host.spawnDocker('build', directory);
    await until('the step runs', () => running() > before);
    client.kill('SIGKILL');
    await until('it has ended', () => running() === before);
    const building = host.api(
      'POST',
      '/build?buildid=mine',
      buildTar([{ name: 'Dockerfile', content: 'FROM busybox\nRUN echo up; sleep 1001\n' }]),
    );
    await until('the step runs', () => running() > before);
    assert.equal((await host.api('POST', '/build/cancel?id=mine')).status, 200);
    assert.match((await building).text, /build cancelled/);
    assert.equal(running(), before);
  });

  test('what was built before a restart stays in the cache when its image is removed before the next build', async () => {
    const directory = contextOf('kept', { Dockerfile: 'FROM busybox\nRUN echo kept > /kept\nCMD ["cat","/kept"]\n' });
    await host.docker('build', '-t', 'kept', directory);
    await host.killAgent();
    await host.startAgent();
    await host.docker('rmi', 'kept');
    assert.equal((await host.docker('build', '-t', 'kept', directory)).match(/Using cache/g)?.length, 2);
    assert.equal(await host.docker('run', '--rm', 'kept'), 'kept');
  });

  test('system df counts the build cache, builder prune empties it', async () => {
    assert.match(await host.docker('system', 'df'), /Build Cache +[1-9]/);
    assert.match(await host.docker('builder', 'prune', '-af'), /Deleted build cache objects:\n[0-9a-f]{64}\n[\s\S]*Total reclaimed space/);
    assert.match(await host.docker('system', 'df'), /Build Cache +0/);
    assert.equal(await host.docker('run', '--rm', 'app'), 'hello', 'images stay whole');
  });

  test('kill -9 at moments of a build: nothing of it stays, what was built before is there, and the next build is whole', async () => {
    const containers = () => readdirSync(join(host.cluster.dataDir, 'engine/containers')).length;
    const before = containers();
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`files/${i}`, `content ${i}`]));
    const content =
      'FROM busybox\nCOPY files /files\nRUN cp -r /files /copy && ls /copy | wc -l\nCOPY --from=busybox /bin /bin2\nRUN sleep 1\n';
    for (const [round, afterMs] of [60, 300].entries()) {
      const directory = contextOf('killed', { ...files, Dockerfile: content, 'files/round': `${round}` });
      const client = host.spawnDocker('build', directory);
      await setTimeout(afterMs);
      await host.killAgent();
      client.kill('SIGKILL');
      await host.startAgent();
      assert.equal(containers(), before, `after ${afterMs} ms`);
    }
    assert.equal(await host.docker('ps', '-aq'), '');
    assert.equal(await host.docker('run', '--rm', 'app'), 'hello');
    const directory = contextOf('killed', { ...files, Dockerfile: content.replace('sleep 1', 'true') });
    // Steps that were whole before a kill may come from the cache.
    assert.match(await host.docker('build', '-t', 'whole', directory), /Successfully built/);
    assert.equal(await host.docker('run', '--rm', 'whole', 'sh', '-c', 'ls /files /copy | wc -l; cat /copy/299'), '605\ncontent 299');
    assert.deepEqual(readdirSync(join(host.cluster.dataDir, 'builder/tmp')).sort(), ['nothing', 'nothing-more']);
  });
});
