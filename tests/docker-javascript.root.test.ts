import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import Docker from 'dockerode';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { DockerHost } from './docker-host.ts';

let host: DockerHost;
before(async () => {
  host = await DockerHost.start();
});
after(() => host?.[Symbol.asyncDispose]());

describe('dockerode', () => {
  let docker: Docker;
  before(() => {
    docker = new Docker({ socketPath: host.socketPath });
  });

  const start = async (options: Partial<Docker.ContainerCreateOptions>) => {
    const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], ...options });
    await container.start();
    return container;
  };
  /** Both halves of a multiplexed stream, to its end. */
  async function halves(stream: NodeJS.ReadableStream): Promise<[string, string]> {
    const [out, err] = [new PassThrough(), new PassThrough()];
    docker.modem.demuxStream(stream, out, err);
    stream.once('end', () => [out, err].map(half => half.end()));
    return await Promise.all([text(out), text(err)]);
  }

  test('ping, version, info', async () => {
    assert.equal(String(await docker.ping()), 'OK');
    assert.equal((await docker.version()).ApiVersion, '1.51');
    assert.equal((await docker.info()).OSType, 'linux');
  });

  test('run: streams apart, status of its end', async () => {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const create = { Tty: false, HostConfig: { AutoRemove: true } };
    const [{ StatusCode }] = await docker.run('busybox', ['sh', '-c', 'echo o; echo e >&2; exit 2'], [out, err], create);
    // It tells the end before all has come.
    const [said, complained] = await Promise.all([out, err].map(async half => String((await once(half, 'data'))[0])));
    assert.deepEqual([StatusCode, said, complained], [2, 'o\n', 'e\n']);
  });

  test('a container from create to remove', async () => {
    const container = await docker.createContainer({
      name: 'node',
      Image: 'busybox',
      Cmd: ['sh', '-c', 'echo hi; sleep 1000'],
      Labels: { a: 'b' },
    });
    await assert.rejects(container.kill(), { statusCode: 409 });
    await container.start();
    await assert.rejects(container.start(), { statusCode: 304 });
    assert.equal((await container.inspect()).State.Running, true);
    const listed = await docker.listContainers({ filters: { label: ['a=b'] } });
    assert.deepEqual(
      listed.map(({ Names }) => Names),
      [['/node']],
    );
    await until('the log', async () => String(await container.logs({ stdout: true })).includes('hi'));
    assert.match((await container.top()).Processes.join(), /sleep 1000/);
    const stats = await container.stats({ stream: false });
    assert.ok(
      stats.memory_stats.usage > 0 && stats.cpu_stats.cpu_usage.total_usage > 0 && (stats.pids_stats?.current ?? 0) > 0,
      JSON.stringify(stats),
    );
    await container.pause();
    await container.unpause();
    await container.rename({ name: 'renamed' });
    await container.update({ Memory: 64 << 20, MemorySwap: 64 << 20 });
    await container.restart({ t: 0 });
    const ended = container.wait({ condition: 'removed' });
    await container.remove({ force: true });
    assert.equal((await ended).StatusCode, 137);
    await assert.rejects(container.inspect(), { statusCode: 404 });
  });

  test('attach: both ways over one hijacked connection', async () => {
    const container = await docker.createContainer({ Image: 'busybox', Cmd: ['cat'], OpenStdin: true, StdinOnce: true, Tty: false });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    await container.start();
    const said = halves(stream);
    stream.end('typed\n');
    assert.deepEqual(await said, ['typed\n', '']);
    assert.equal((await container.wait()).StatusCode, 0);
    await container.remove();
  });

  test('exec: input closed properly, resize, inspect; a terminal', async () => {
    const container = await start({});
    const exec = await container.exec({ Cmd: ['sh', '-c', 'wc -c; exit 3'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    const said = halves(stream);
    stream.end('12345');
    assert.equal((await said)[0].trim(), '5');
    const { Running, ExitCode } = await until('its end', async () => exec.inspect().then(its => !its.Running && its));
    assert.deepEqual([Running, ExitCode], [false, 3]);
    const shell = await container.exec({ Cmd: ['sh', '-c', 'read go; stty size'], Tty: true, AttachStdin: true, AttachStdout: true });
    const terminal = await shell.start({ hijack: true, stdin: true, Tty: true });
    await shell.resize({ h: 33, w: 99 });
    terminal.write('go\n');
    assert.match(await text(terminal as unknown as Readable), /33 99/);
    await container.remove({ force: true });
  });

  test('archives in and out, changes, commit, export', async () => {
    const container = await start({ Cmd: ['sh', '-c', 'mkdir /in; sleep 1000'] });
    await until('the directory', async () => container.infoArchive({ path: '/in' }).catch(() => undefined));
    await container.putArchive(buildTar([{ name: 'file', content: 'inside' }]), { path: '/in' });
    assert.match(String(await text((await container.getArchive({ path: '/in/file' })) as unknown as Readable)), /inside/);
    await assert.rejects(container.getArchive({ path: '/nothing' }), { statusCode: 404 });
    assert.ok((await container.changes()).some(({ Path, Kind }: { Path: string; Kind: number }) => Path === '/in/file' && Kind === 1));
    const { Id } = await container.commit({ repo: 'from-node', tag: '1' });
    assert.match(Id, /^sha256:/);
    assert.match(await text((await container.export()) as unknown as Readable), /in\/file/);
    await container.remove({ force: true });
    await docker.getImage('from-node:1').remove();
  });

  test('networks, volumes, prune', async () => {
    const network = await docker.createNetwork({ Name: 'nodes', Labels: { x: 'y' } });
    const volume = await docker.createVolume({ Name: 'kept' });
    assert.ok('Name' in volume || 'name' in volume);
    const container = await start({ HostConfig: { NetworkMode: 'nodes', Binds: ['kept:/v'] } });
    const { Containers } = (await network.inspect()) as { Containers: Record<string, unknown> };
    assert.deepEqual(Object.keys(Containers), [container.id]);
    await assert.rejects(docker.getVolume('kept').remove(), { statusCode: 409 });
    await network.disconnect({ Container: container.id });
    await network.connect({ Container: container.id, EndpointConfig: { Aliases: ['again'] } });
    await container.remove({ force: true });
    await network.remove();
    await docker.getVolume('kept').remove();
    assert.deepEqual((await docker.listVolumes()).Volumes, []);
  });

  test('build, image list, history, tag, remove', async () => {
    const context = buildTar([
      { name: 'Dockerfile', content: 'FROM busybox\nCOPY word /word\nLABEL made=here\nCMD cat /word\n' },
      { name: 'word', content: 'from a context' },
    ]);
    const stream = await docker.buildImage(new PassThrough().end(context) as unknown as NodeJS.ReadableStream, { t: 'by-node:1' });
    const steps = (await new Promise((resolve, reject) =>
      docker.modem.followProgress(stream, (error, done) => (error ? reject(error) : resolve(done))),
    )) as { stream?: string; aux?: { ID: string } }[];
    assert.ok(
      steps.some(({ aux }) => aux?.ID.startsWith('sha256:')),
      JSON.stringify(steps.at(-3)),
    );
    assert.match(steps.map(({ stream }) => stream ?? '').join(''), /Successfully tagged by-node:1/);
    const images = await docker.listImages({ filters: { label: ['made=here'] } });
    assert.deepEqual(
      images.map(({ RepoTags }) => RepoTags),
      [['by-node:1']],
    );
    assert.ok((await docker.getImage('by-node:1').history()).length >= 3);
    await docker.getImage('by-node:1').remove();
  });

  test('events and followed logs end when their reader goes', async () => {
    const events = (await docker.getEvents({ filters: { type: ['container'] } })) as Readable;
    const lines: string[] = [];
    events.on('data', chunk => lines.push(String(chunk)));
    const container = await start({ Cmd: ['sh', '-c', 'while :; do echo tick; sleep 0.05; done'] });
    await until('the start', () => lines.join('').includes('"start"'));
    const logs = (await container.logs({ follow: true, stdout: true })) as unknown as Readable;
    await once(logs, 'data');
    for (const stream of [events, logs]) stream.destroy();
    await container.remove({ force: true });
  });
});

describe('testcontainers, without Ryuk (TESTCONTAINERS_RYUK_DISABLED)', () => {
  let tc: typeof import('testcontainers');
  const before_ = { ...process.env };
  before(async () => {
    Object.assign(process.env, { DOCKER_HOST: host.address, DOCKER_CONFIG: host.configDirectory, TESTCONTAINERS_RYUK_DISABLED: 'true' });
    tc = await import('testcontainers');
  });
  after(() => {
    for (const key of ['DOCKER_HOST', 'DOCKER_CONFIG', 'TESTCONTAINERS_RYUK_DISABLED']) {
      if (before_[key] === undefined) delete process.env[key];
      else process.env[key] = before_[key];
    }
  });
  const web = ['sh', '-c', 'mkdir -p /w; echo page > /w/index.html; echo listening; httpd -f -p 8080 -h /w'];

  test('a container with a published port, ready when it listens', async () => {
    const container = await new tc.GenericContainer('busybox').withExposedPorts(8080).withCommand(web).start();
    try {
      const page = await fetch(`http://${container.getHost()}:${container.getMappedPort(8080)}/`);
      assert.equal(await page.text(), 'page\n');
      const { output, exitCode } = await container.exec(['sh', '-c', 'echo inside; exit 2']);
      assert.deepEqual([output, exitCode], ['inside\n', 2]);
      await container.copyContentToContainer([{ content: 'given', target: '/given' }]);
      assert.equal((await container.exec(['cat', '/given'])).output, 'given');
    } finally {
      await container.stop();
    }
  });

  test('waiting for a log line, for HTTP, for health', async () => {
    const strategies = [tc.Wait.forLogMessage('listening'), tc.Wait.forHttp('/', 8080), tc.Wait.forHealthCheck()];
    for (const strategy of strategies) {
      await using _container = await new tc.GenericContainer('busybox')
        .withExposedPorts(8080)
        .withCommand(web)
        .withHealthCheck({ test: ['CMD-SHELL', 'test -e /w/index.html'], interval: 200, timeout: 1_000, retries: 20, startPeriod: 0 })
        .withWaitStrategy(strategy)
        .start();
    }
  });

  test('networks with aliases; files, environment, temporary file systems', async () => {
    await using network = await new tc.Network().start();
    await using _server = await new tc.GenericContainer('busybox')
      .withNetwork(network)
      .withNetworkAliases('server')
      .withCommand(web)
      .withWaitStrategy(tc.Wait.forLogMessage('listening'))
      .start();
    await using client = await new tc.GenericContainer('busybox')
      .withNetwork(network)
      .withEnvironment({ WHO: 'me' })
      .withTmpFs({ '/scratch': 'rw' })
      .withCopyContentToContainer([{ content: 'word', target: '/etc/word' }])
      .withCommand(['sleep', '1000'])
      .start();
    assert.equal((await client.exec(['wget', '-qO-', 'http://server:8080/'])).output, 'page\n');
    assert.equal((await client.exec(['sh', '-c', 'echo $WHO; cat /etc/word; touch /scratch/x'])).output, 'me\nword');
  });

  test('an image from a Dockerfile', async () => {
    const directory = mkdtempSync(join(host.cluster.directory, 'context-'));
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'Dockerfile'), 'FROM busybox\nARG W\nENV W=$W\nCMD echo said $W; sleep 1000\n');
    const built = await tc.GenericContainer.fromDockerfile(directory)
      .withBuildArgs({ W: 'this' })
      .build('by-testcontainers:1', { deleteOnExit: false });
    await using _container = await built.withWaitStrategy(tc.Wait.forLogMessage('said this')).start();
  });
});
