import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { silentLog } from '#base/log.ts';
import { buildImage, buildLayout, buildTar, temporaryDirectory } from '#images/fixtures.ts';
import { hostPlatform, type ImageStore, openImages } from '#images/index.ts';
import { serveRegistry } from '#tests/registry.ts';
import { startDockerApi } from './docker-api.ts';

const exec = promisify(execFile);

let stack: AsyncDisposableStack;
let directory: string;
let socketPath: string;
let images: ImageStore;

before(async () => {
  stack = new AsyncDisposableStack();
  directory = stack.use(await temporaryDirectory()).path;
  socketPath = join(directory, 'docker.sock');
  images = stack.use(await openImages({ dataDir: join(directory, 'data'), log: silentLog }));
  await writeFile(socketPath, 'left by a killed process');
  stack.use(await startDockerApi({ socketPath, images, version: '9.9.9', log: silentLog }));
});
after(() => stack.disposeAsync());

async function docker(...args: string[]): Promise<string> {
  const { stdout } = await exec('docker', ['-H', `unix://${socketPath}`, ...args], { env: { ...process.env, DOCKER_CONFIG: directory } });
  return stdout;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

async function call(method: string, path: string, body?: Buffer | string, headers: Record<string, string> = {}): Promise<Answer> {
  const sent = request({ socketPath, method, path, headers });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(await response.toArray()).toString() };
}

async function sample(name: string, text = name): Promise<{ path: string; bytes: Buffer }> {
  const bytes = buildLayout(buildImage([buildTar([{ name: 'a', content: text }])], { Cmd: ['/a'], Labels: { text } }), name);
  const path = join(directory, `${name.replaceAll(/\W/g, '-')}.tar`);
  await writeFile(path, bytes);
  return { path, bytes };
}

test('the socket is for its group, and clients learn who is there', async () => {
  assert.equal((await stat(socketPath)).mode & 0o777, 0o660);
  for (const method of ['GET', 'HEAD']) {
    const { status, headers, text } = await call(method, '/v1.41/_ping');
    assert.deepEqual(
      [status, headers['api-version'], headers.ostype, headers['docker-experimental'], headers['builder-version']],
      [200, '1.51', 'linux', 'false', '1'],
    );
    assert.equal(text, method === 'GET' ? 'OK' : '');
  }
  assert.match(await docker('version', '--format', '{{.Server.Version}} {{.Server.APIVersion}} {{.Server.Os}}'), /^9\.9\.9 1\.51 linux/);
  assert.match(await docker('info', '--format', '{{.ServerVersion}} {{.Images}}'), /^9\.9\.9 \d+/);
});

test('docker loads, lists, inspects, tags, saves and removes images', async () => {
  const { path } = await sample('app:1');
  assert.equal(await docker('load', '-i', path), 'Loaded image: app:1\n');
  assert.match(await docker('images', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}'), /^app:1 [0-9a-f]{12}$/m);
  assert.equal(await docker('image', 'inspect', '--format', '{{json .Config.Cmd}} {{.RootFS.Type}}', 'app:1'), '["/a"] layers\n');
  assert.match(await docker('history', '--format', '{{.ID}} {{.Size}}', 'app:1'), /^[0-9a-f]{12} \d+/);
  await docker('tag', 'app:1', 'localhost:5000/team/app:2');
  assert.match(await docker('images', '-q', '--filter', 'reference=localhost:5000/team/*'), /^[0-9a-f]{12}\n$/);
  const saved = join(directory, 'saved.tar');
  await docker('save', '-o', saved, 'app:1', 'localhost:5000/team/app:2');
  await docker('tag', 'app:1', 'app:3');
  const { id } = await images.inspect('app:1');
  for (const name of ['app', id, id.slice('sha256:'.length), id.slice('sha256:'.length, 20)]) {
    await docker('save', '-o', `${saved}.all`, name);
    const { stdout } = await exec('tar', ['-xOf', `${saved}.all`, 'manifest.json']);
    assert.deepEqual(JSON.parse(stdout)[0].RepoTags, name === 'app' ? ['app:1', 'app:3'] : null, name);
  }
  await docker('rmi', 'app:3');
  assert.equal(await docker('rmi', 'app:1'), 'Untagged: app:1\n');
  assert.match(await docker('rmi', 'localhost:5000/team/app:2'), /^Untagged: localhost:5000\/team\/app:2\nDeleted: sha256:/);
  await assert.rejects(docker('image', 'inspect', 'app:1'), /No such image: app:1/);
  assert.equal(await docker('load', '-i', saved), 'Loaded image: app:1\nLoaded image: localhost:5000/team/app:2\n');
  await docker('rmi', '-f', (await images.inspect('app:1')).id);
});

test('an image is of one platform: others are not found, whoever asks', async () => {
  const { path } = await sample('platform:1');
  const { os, architecture } = hostPlatform();
  const [here, other] = [`${os}/${architecture}`, 'linux/s390x'];
  assert.equal(await docker('load', '--platform', here, '-i', path), 'Loaded image: platform:1\n');
  await assert.rejects(docker('load', '--platform', other, '-i', path), /requested platform .* not found/);
  const saved = join(directory, 'platform.tar');
  const calls = (platform: string) => [
    ['image', 'inspect', '--platform', platform, 'platform:1'],
    ['history', '--platform', platform, 'platform:1'],
    ['save', '--platform', platform, '-o', saved, 'platform:1'],
  ];
  for (const call of calls(here)) await docker(...call);
  for (const call of calls(other))
    await assert.rejects(docker(...call), /platform:1 was found but its platform \(\S+\) does not match the specified platform/);
  assert.match(await docker('image', 'ls', '--tree'), new RegExp(`platform:1[\\s\\S]*${here}`));
  await docker('rmi', 'platform:1');
});

test('prune takes images without a name, or with -a all that nothing uses', async () => {
  const [first, second] = [await sample('same:1', 'first'), await sample('same:1', 'second')];
  await images.load(
    (async function* () {
      yield first.bytes;
    })(),
  );
  await images.load(
    (async function* () {
      yield second.bytes;
    })(),
  );
  assert.equal((await docker('images', '-q', '-f', 'dangling=true')).split('\n').length, 2);
  assert.match(await docker('image', 'prune', '-f'), /deleted: sha256:[\s\S]*Total reclaimed space: [1-9]/i);
  assert.match(await docker('images'), /same/);
  assert.match(await docker('image', 'prune', '-af'), /untagged: same:1[\s\S]*deleted/i);
  assert.equal(await docker('images', '-q'), '');
});

test('docker pulls from Debian’s registry by tag and digest, with progress and with failures in its words', async () => {
  await using registry = await serveRegistry(join(directory, 'registry'));
  const { path } = await sample('pulled:1', 'x'.repeat(200_000));
  const target = `docker://${registry.host}/team/app:1`;
  await exec('skopeo', ['copy', '--insecure-policy', '--dest-tls-verify=false', `oci-archive:${path}`, target]);
  const first = await docker('pull', `${registry.host}/team/app:1`);
  assert.match(first, /1: Pulling from team\/app\n[0-9a-f]{12}: Pulling fs layer/);
  assert.match(first, /Pull complete\nDigest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image for /);
  const again = await docker('pull', `${registry.host}/team/app:1`);
  assert.match(again, /Image is up to date for /);
  const digest = /Digest: (sha256:[0-9a-f]{64})/.exec(first)?.[1];
  assert.match(await docker('pull', `${registry.host}/team/app@${digest}`), /Digest: sha256:/);
  assert.match(await docker('images', '--digests'), new RegExp(`${digest}`));
  await assert.rejects(docker('pull', `${registry.host}/team/app:absent`), /app:absent not found: manifest unknown/);
  const { status, text } = await call('POST', `/images/create?fromImage=${registry.host}/team/absent&tag=1`);
  assert.equal(status, 404, text);
});

test('docker pushes to Debian’s registry, one tag or all, with progress and with failures in its words', async () => {
  await using registry = await serveRegistry(join(directory, 'registry-pushed'));
  const name = `${registry.host}/team/app`;
  await docker('load', '-i', (await sample(`${name}:1`, 'x'.repeat(200_000))).path);
  const first = await docker('push', `${name}:1`);
  assert.match(
    first,
    /The push refers to repository \[127.*team\/app\]\n[0-9a-f]{12}: Preparing\n[\s\S]*[0-9a-f]{12}: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+/,
  );
  await docker('tag', `${name}:1`, `${name}:2`);
  const all = await docker('push', '--all-tags', name);
  assert.match(all, /Layer already exists/);
  assert.match(all, /1: digest: [\s\S]*2: digest: /);
  await docker('rmi', `${name}:1`, `${name}:2`);
  assert.match(await docker('pull', `${name}:2`), /Downloaded newer image/);
  await assert.rejects(docker('push', `${name}:absent`), /tag does not exist: .*:absent/);
  await docker('rmi', `${name}:2`);
});

test('a pinned image is not pruned and not removed but by force', async () => {
  await docker('load', '-i', (await sample('kept:1')).path);
  assert.equal((await call('POST', '/umiak/images/kept:1/pin')).status, 204);
  await docker('image', 'prune', '-af');
  await assert.rejects(docker('rmi', 'kept:1'), /is pinned/);
  assert.equal((await call('POST', '/umiak/images/kept:1/pin?pinned=0')).status, 204);
  await docker('rmi', 'kept:1');
  const { text } = await call('POST', '/umiak/images/verify');
  assert.deepEqual(JSON.parse(text.trim().split('\n').at(-1) ?? '').corrupt, []);
});

const refused: [method: string, path: string, status: number, says: RegExp][] = [
  ['GET', '/plugins/x/json', 404, /plugin "x" not found/],
  ['GET', '/images/search', 400, /term/],
  ['GET', '/system/df?type=planets', 400, /unknown object type: planets/],
  ['GET', '/plugins', 501, /umiak does not have plugins/],
  ['POST', '/v1.40/swarm/init', 501, /umiak does not have swarm/],
  ['GET', '/secrets', 501, /Secrets of Kubernetes/],
  ['POST', '/session', 501, /BuildKit sessions/],
  ['GET', '/images/search?term=x&limit=1000', 400, /limit 1000 is outside the range of \[1, 100\]/],
  ['GET', '/images/search?term=127.0.0.1:1/x', 503, /can't be reached/],
  ['GET', '/distribution/127.0.0.1:1/x/json', 503, /can't be reached/],
  ['POST', '/auth', 400, /username and password/],
  ['POST', '/images/nowhere/push?tag=1', 404, /An image does not exist locally with the tag: nowhere/],
  ['POST', '/images/nowhere/push', 404, /An image does not exist locally with the tag: nowhere/],
  ['POST', '/images/create?fromImage=Busybox', 400, /invalid reference format: .*lower case/],
  ['POST', '/umiak/images/nowhere/pin', 404, /No such image/],
  ['GET', '/nothing/like/it', 404, /page not found/],
  ['POST', '/version', 405, /not a way/],
  ['GET', '/v1.99/version', 400, /too new/],
  ['GET', '/images/nowhere/json', 404, /No such image: nowhere/],
  ['GET', '/images/%E0%A4%A/json', 400, /encoded/],
  ['GET', '/images/json?filters=%7B', 400, /filters/],
  ['GET', '/images/json?filters=%7B%22before%22%3A%5B%22nowhere%22%5D%7D', 404, /No such image/],
  ['GET', '/images/get', 400, /names/],
  ['GET', '/images/get?names=nowhere', 404, /No such image/],
  ['POST', '/images/create', 400, /fromImage/],
  ['POST', '/images/create?fromSrc=-&platform=macos/arm64', 400, /operating system is not supported/],
  ['POST', '/images/create?fromSrc=-&platform=macos', 400, /operating system is not supported/],
  ['POST', '/images/create?fromSrc=-&platform=%20/', 400, /is an invalid OS component/],
  ['POST', '/images/create?fromSrc=-&platform=nintendo64', 400, /unknown operating system or architecture/],
  ['POST', '/images/create?fromImage=x&platform=foobar', 400, /unknown operating system or architecture/],
  ['POST', '/images/create?fromImage=UPPER&tag=x', 400, /lower case/],
  ['POST', '/images/nowhere/tag?repo=x', 404, /No such image/],
  ['POST', '/images/nowhere/tag', 400, /repo/],
  ['POST', '/images/nowhere/tag?repo=sha256&tag=x', 400, /ambiguous tag using digest algorithm as name/],
  ['POST', '/images/nowhere/tag?repo=docker.io/library/sha256&tag=x', 400, /ambiguous tag using digest algorithm as name/],
  ['GET', '/images/get?names=x&platform=linux&platform=amd64', 400, /multiple platform parameters not supported/],
  ['POST', '/images/load?platform=linux&platform=amd64', 400, /multiple platform parameters not supported/],
  ['DELETE', '/images/nowhere', 404, /No such image/],
  ['DELETE', '/images/nowhere?force=perhaps', 400, /force must be a boolean/],
];
for (const [method, path, expected, says] of refused)
  test(`${method} ${path} is refused with ${expected} and a sentence`, async () => {
    const { status, text } = await call(method, path);
    assert.equal(status, expected, text);
    assert.match((JSON.parse(text) as { message: string }).message, says);
  });

test('what is no archive, and bodies without end where none belongs, are refused', async () => {
  for (const body of [Buffer.from('not an archive'), Buffer.alloc(0), Buffer.alloc(1 << 20, 7)]) {
    const { status, text } = await call('POST', '/images/load', body);
    assert.equal(status, 400, text);
  }
  const long = await call('POST', '/images/prune', Buffer.alloc(2 << 20));
  assert.equal(long.status, 413);
  const bad = await call('POST', '/images/create?fromImage=x&tag=1', '', { 'x-registry-auth': '!!!' });
  assert.match(bad.text, /X-Registry-Auth/);
});

test('a client that vanishes while it loads leaves nothing behind', async () => {
  const { bytes } = await sample('torn:1', 'y'.repeat(300_000));
  const socket = connect(socketPath);
  await once(socket, 'connect');
  const half = bytes.subarray(0, bytes.length - 2048);
  socket.write(`POST /images/load HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes.length}\r\n\r\n`);
  await new Promise(resolve => socket.write(half, resolve));
  socket.destroy();
  const { text } = await call('GET', '/images/json?all=1');
  assert.doesNotMatch(text, /torn/);
  const { path } = await sample('torn:1', 'y'.repeat(300_000));
  const { status } = await call('POST', '/images/load?quiet=1', await readFile(path));
  assert.equal(status, 200);
});

test('idle connections are kept: nothing tells a client to count seconds', async () => {
  const { headers } = await call('GET', '/_ping', undefined, { connection: 'keep-alive' });
  assert.deepEqual([headers.connection, headers['keep-alive']], ['keep-alive', undefined]);
});
