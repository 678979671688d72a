import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';
import { serveRegistry } from './registry.ts';

const run = promisify(execFile);
const { have: clients, missing } = await findDockerClients();

describe(`the docker command ${clients?.version}: files, volumes, networks, images, builds`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());
  afterEach(() => host.removeContainers());

  const docker = (...args: string[]) => host.docker(...args);
  const directory = () => mkdtempSync(join(host.cluster.directory, 'test-'));
  const fails = async (args: string[], message: RegExp, code = 1) => {
    const ran = await host.tryDocker(args);
    assert.match(ran.stderr, message, `docker ${args.join(' ')}`);
    assert.equal(ran.code, code, ran.stderr);
  };

  test('cp both ways: files, trees, links, pipes; a container that never ran, runs, has ended', async () => {
    const here = directory();
    mkdirSync(join(here, 'tree/deep'), { recursive: true });
    writeFileSync(join(here, 'tree/deep/file'), 'content', { mode: 0o640 });
    symlinkSync('deep/file', join(here, 'tree/link'));
    await docker('create', '--name', 'files', 'busybox', 'sh', '-c', 'cat /tree/link; echo changed > /tree/deep/file; rm /etc/group');
    await docker('cp', join(here, 'tree'), 'files:/');
    assert.equal(await docker('start', '-a', 'files'), 'content');
    await docker('cp', 'files:/tree', join(here, 'back'));
    assert.equal(readFileSync(join(here, 'back/link'), 'utf8'), 'changed\n');
    assert.equal(statSync(join(here, 'back/deep/file')).mode & 0o777, 0o640);
    const { stdout } = await host.tryDocker(['cp', 'files:/tree/deep', '-']);
    assert.match(stdout, /deep\/file\0/);
    await fails(['cp', 'files:/nowhere', here], /Could not find the file \/nowhere in container/);
    await fails(['cp', join(here, 'tree'), 'files:/nowhere/below'], /no such directory|Could not find the file/i);
    const changes = (await docker('diff', 'files')).split('\n');
    for (const line of ['A /tree', 'A /tree/deep/file', 'C /etc', 'D /etc/group'])
      assert.ok(changes.includes(line), `${line} in ${changes}`);
    await docker('rm', 'files');
  });

  test('export, import, commit', async () => {
    const here = directory();
    await docker('run', '--name', 'made', 'busybox', 'sh', '-c', 'echo state > /state');
    await docker('export', '-o', join(here, 'made.tar'), 'made');
    assert.match((await run('tar', ['tf', join(here, 'made.tar')])).stdout, /^state$/m);
    await docker('import', '-c', 'CMD cat /state', join(here, 'made.tar'), 'imported:1');
    assert.equal(await docker('run', '--rm', 'imported:1'), 'state');
    await docker('commit', '-m', 'why', '-a', 'me', '-c', 'CMD ["cat", "/state"]', 'made', 'committed:1');
    assert.equal(await docker('run', '--rm', 'committed:1'), 'state');
    assert.match(await docker('history', 'committed:1'), /why/);
    await docker('rm', 'made');
    await docker('rmi', 'imported:1', 'committed:1');
  });

  test('volumes: made, filled from the image, shared, read-only, sub-paths, kept and removed', async () => {
    await docker('volume', 'create', '--label', 'for=test', 'store');
    await fails(['volume', 'inspect', 'nothing'], /no such volume/);
    await docker('run', '--rm', '-v', 'store:/etc', 'busybox', 'sh', '-c', 'echo mine >> /etc/passwd');
    assert.match(await docker('run', '--rm', '-v', 'store:/v', 'busybox', 'cat', '/v/passwd'), /root:[\s\S]*mine/);
    await fails(['run', '--rm', '-v', 'store:/v:ro', 'busybox', 'touch', '/v/x'], /Read-only file system/);
    await docker('run', '--rm', '--mount', 'type=volume,src=store,dst=/v', 'busybox', 'sh', '-c', 'mkdir /v/sub; echo part > /v/sub/file');
    assert.equal(
      await docker('run', '--rm', '--mount', 'type=volume,src=store,dst=/p,volume-subpath=sub', 'busybox', 'cat', '/p/file'),
      'part',
    );
    const [{ Mountpoint, Labels }] = JSON.parse(await docker('volume', 'inspect', 'store'));
    assert.equal(readFileSync(join(Mountpoint, 'sub/file'), 'utf8'), 'part\n');
    assert.deepEqual(Labels, { for: 'test' });
    await docker('create', '--name', 'user', '-v', 'store:/v', 'busybox');
    await fails(['volume', 'rm', 'store'], /volume is in use/);
    await docker('rm', 'user');
    await docker('volume', 'rm', 'store');
    assert.equal(await docker('volume', 'ls', '-q', '-f', 'label=for=test'), '');
  });

  test('binds and tmpfs', async () => {
    const here = directory();
    writeFileSync(join(here, 'file'), 'of the machine');
    assert.equal(await docker('run', '--rm', '-v', `${here}:/b`, 'busybox', 'cat', '/b/file'), 'of the machine');
    await fails(
      ['run', '--rm', '--mount', `type=bind,src=${here}/nothing,dst=/b`, 'busybox', 'true'],
      /bind source path does not exist/,
      125,
    );
    await docker('run', '--rm', '-v', `${here}/made:/b`, 'busybox', 'true');
    assert.ok(statSync(join(here, 'made')).isDirectory());
    assert.match(
      await docker('run', '--rm', '--tmpfs', '/t:size=1m,mode=700', 'busybox', 'mount'),
      /tmpfs on \/t type tmpfs .*size=1024k,mode=700/,
    );
    await fails(['run', '--rm', '--read-only', 'busybox', 'touch', '/x'], /Read-only file system/);
  });

  test('networks: names and aliases are found, others are not reached, connected and left while running', async () => {
    await docker('network', 'create', '--subnet', '10.231.7.0/24', 'front');
    await docker('network', 'create', 'back');
    await docker(
      'run',
      '-d',
      '--name',
      'server',
      '--network',
      'front',
      '--network-alias',
      'www',
      'busybox',
      'sh',
      '-c',
      'mkdir /w; echo page > /w/index.html; httpd -f -h /w',
    );
    const ask = (network: string, name: string) =>
      host.tryDocker(['run', '--rm', '--network', network, 'busybox', 'timeout', '2', 'wget', '-qO-', `http://${name}/`]);
    await until('the server', async () => (await ask('front', 'server')).stdout === 'page\n', 10_000);
    assert.equal((await ask('front', 'www')).stdout, 'page\n');
    assert.notEqual((await ask('back', 'server')).code, 0);
    await docker('network', 'connect', '--alias', 'inner', 'back', 'server');
    assert.equal((await ask('back', 'inner')).stdout, 'page\n');
    assert.match(await docker('inspect', '-f', '{{.NetworkSettings.Networks.front.IPAddress}}', 'server'), /^10\.231\.7\.\d+$/);
    const [{ Containers }] = JSON.parse(await docker('network', 'inspect', 'front'));
    assert.deepEqual(
      Object.values(Containers as Record<string, { Name: string }>).map(({ Name }) => Name),
      ['server'],
    );
    await docker('network', 'disconnect', 'back', 'server');
    assert.notEqual((await ask('back', 'inner')).code, 0);
    await fails(['network', 'rm', 'front'], /has active endpoints/);
    await fails(['run', '--rm', '--network', 'nowhere', 'busybox', 'true'], /network nowhere not found/, 125);
    await fails(['network', 'create', 'front'], /network with name front already exists/);
    await docker('rm', '-f', 'server');
    await docker('network', 'rm', 'front', 'back');
    assert.deepEqual((await docker('network', 'ls', '--format', '{{.Name}}')).split('\n').sort(), ['bridge', 'host', 'none']);
  });

  test('published ports: named, reached from the machine, refused when taken', async () => {
    await docker(
      'run',
      '-d',
      '--name',
      'open',
      '-p',
      '127.0.0.1::80',
      'busybox',
      'sh',
      '-c',
      'mkdir /w; echo published > /w/index.html; httpd -f -h /w',
    );
    const address = await docker('port', 'open', '80/tcp');
    assert.match(address, /^127\.0\.0\.1:\d+$/);
    assert.equal(await until('the page', () => page(`http://${address}/`)), 'published\n');
    await fails(['run', '--rm', '-p', `${address}:80`, 'busybox', 'true'], /port is already allocated/, 125);
    assert.match(await docker('ps', '--format', '{{.Ports}}'), new RegExp(`${address}->80/tcp`));
    await docker('rm', '-f', 'open');
    assert.equal(await page(`http://${address}/`), undefined);
  });

  test('another container’s network, the machine’s, none', async () => {
    await docker('run', '-d', '--name', 'owner', 'busybox', 'sleep', '1000');
    const address = await docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'owner');
    assert.match(
      await docker('run', '--rm', '--network', 'container:owner', 'busybox', 'ip', 'addr'),
      new RegExp(address.replaceAll('.', '\\.')),
    );
    assert.doesNotMatch(await docker('run', '--rm', '--network', 'none', 'busybox', 'ip', 'addr'), /eth0/);
    assert.match(await docker('run', '--rm', '--network', 'host', 'busybox', 'ip', '-o', 'link'), new RegExp(`${host.cluster.name}0:`));
    await docker('rm', '-f', 'owner');
  });

  test('build: stages, arguments, copies, cache, ignored files, errors with their line', async () => {
    const here = directory();
    writeFileSync(join(here, 'Dockerfile'), DOCKERFILE);
    writeFileSync(join(here, '.dockerignore'), 'secret\n');
    writeFileSync(join(here, 'source'), 'first');
    writeFileSync(join(here, 'secret'), 'x');
    const build = () => docker('build', '--build-arg', 'WHO=you', '-t', 'built:1', here);
    await build();
    assert.equal(await docker('run', '--rm', 'built:1'), 'first for you as 1000 in /app');
    const id = await docker('inspect', '-f', '{{.Id}}', 'built:1');
    assert.match(await build(), /Using cache/);
    assert.equal(await docker('inspect', '-f', '{{.Id}}', 'built:1'), id);
    writeFileSync(join(here, 'source'), 'second');
    await build();
    assert.equal(await docker('run', '--rm', 'built:1'), 'second for you as 1000 in /app');
    await docker('build', '--target', 'maker', '-t', 'built:maker', here);
    assert.equal(await docker('run', '--rm', 'built:maker', 'ls', '/src'), 'Dockerfile\nsource');
    writeFileSync(join(here, 'Dockerfile'), 'FROM busybox\nRUN exit 12\n');
    await fails(['build', here], /The command '\/bin\/sh -c exit 12' returned a non-zero code: 12/, 12);
    writeFileSync(join(here, 'Dockerfile'), 'FROM busybox\nNONSENSE x\n');
    await fails(['build', here], /dockerfile parse error.* line 2: unknown instruction: NONSENSE/i);
    await fails(['build', '-f', '../outside', here], /Dockerfile|outside/i);
    await docker('rmi', 'built:1', 'built:maker');
  });

  test('save and load, tag and rmi, push and pull', async () => {
    const here = directory();
    await docker('tag', 'busybox', 'other/name:2');
    await docker('save', '-o', join(here, 'two.tar'), 'busybox', 'other/name:2');
    await docker('rmi', 'other/name:2');
    assert.match(await docker('load', '-i', join(here, 'two.tar')), /Loaded image: other\/name:2/);
    await using registry = await serveRegistry(join(here, 'registry'));
    await docker('tag', 'busybox', `${registry.host}/a/b:1`);
    await docker('push', `${registry.host}/a/b:1`);
    await docker('rmi', `${registry.host}/a/b:1`, 'other/name:2');
    assert.match(await docker('pull', `${registry.host}/a/b:1`), /Downloaded newer image|Image is up to date/);
    await docker('create', '--name', 'holder', `${registry.host}/a/b:1`, 'true');
    await docker('rm', 'holder');
    await docker('rmi', `${registry.host}/a/b:1`);
  });

  test('info, version, system df, prune', async () => {
    assert.match(await docker('version', '-f', '{{.Server.APIVersion}} {{.Server.MinAPIVersion}}'), /^1\.51 1\.24$/);
    assert.match(await docker('info'), /Storage Driver: overlay2[\s\S]*Cgroup Version/);
    await docker('run', '--name', 'done', '-v', 'kept:/v', 'busybox', 'true');
    await docker('volume', 'create', '--opt', 'type=tmpfs', '--opt', 'device=tmpfs', 'mounted');
    assert.match(await docker('system', 'df'), /Images[\s\S]*Containers +1[\s\S]*Local Volumes +1 /, 'what options mount does not count');
    await docker('system', 'prune', '-f', '--volumes');
    assert.equal(await docker('ps', '-aq'), '');
    await docker('volume', 'prune', '-f', '-a');
    assert.equal(await docker('volume', 'ls', '-q'), 'mounted');
    await docker('volume', 'rm', 'mounted');
  });
});

const DOCKERFILE = `# syntax of 2014
ARG BASE=busybox
FROM $BASE AS maker
ARG WHO=nobody
COPY . /src/
RUN cp /src/source /made && echo -n " for $WHO" >> /made
FROM busybox
LABEL a=b
ENV DIR=/app
WORKDIR $DIR
COPY --from=maker --chown=1000 /made result
USER 1000
CMD echo "$(cat result) as $(id -u) in $(pwd)"
`;

function page(url: string): Promise<string | undefined> {
  return new Promise(resolve => {
    get(url, { agent: false, timeout: 2_000 }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => (text += chunk));
      response.once('end', () => resolve(text));
    }).once('error', () => resolve(undefined));
  });
}
