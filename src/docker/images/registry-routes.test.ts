import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { silentLog } from '#base/log.ts';
import { buildImage, buildLayout, buildTar, temporaryDirectory } from '#images/fixtures.ts';
import { type ImageStore, openImages } from '#images/index.ts';
import { type Fault, RegistryFixture } from '#images/registry-fixture.ts';
import { startDockerApi } from '../docker-api.ts';

const exec = promisify(execFile);

let stack: AsyncDisposableStack;
let directory: string;
let images: ImageStore;
const told: string[] = [];

before(async () => {
  stack = new AsyncDisposableStack();
  directory = stack.use(await temporaryDirectory()).path;
  images = stack.use(await openImages({ dataDir: join(directory, 'data'), log: silentLog, proxy: {} }));
  stack.use(await startDockerApi({ socketPath: join(directory, 'docker.sock'), images, version: '9.9.9', log: silentLog }));
});
after(() => stack.disposeAsync());

async function docker(...args: string[]): Promise<string> {
  const env = { ...process.env, DOCKER_CONFIG: directory, DOCKER_HOST: `unix://${directory}/docker.sock` };
  const { stdout } = await exec('docker', args, { env, timeout: 30_000 });
  return stdout.trim();
}

/** `GET /v2/` of whom the fixture lets in. */
const answerRoot: Fault = ({ url, headers: { authorization } }, response) => {
  if (url !== '/v2/' || authorization === undefined) return false;
  response.end('{}');
  return true;
};

test('docker login asks the registry; what it keeps lets docker pull', async () => {
  await using registry = await RegistryFixture.start();
  registry.login = { username: 'anna', password: 'secret' };
  registry.add('team/app', '1', buildImage([buildTar([{ name: 'a', content: 'a' }])]));
  await assert.rejects(docker('login', '-u', 'anna', '-p', 'wrong', registry.host), /incorrect username or password/);
  registry.faults.push(answerRoot);
  assert.match(await docker('login', '-u', 'anna', '-p', 'secret', registry.host), /Login Succeeded/);
  assert.match(await docker('pull', `${registry.host}/team/app:1`), /Downloaded newer image/);
  registry.add('team/app', '2', buildImage([buildTar([{ name: 'a', content: 'b' }])]));
  const all = await docker('pull', '-a', `${registry.host}/team/app`);
  assert.match(all, /1: Pulling from team\/app[\s\S]*up to date[\s\S]*2: Pulling from team\/app[\s\S]*Downloaded newer image for .*app:2/);
  assert.equal((await docker('images', '-q', `${registry.host}/team/app`)).split('\n').length, 2);
});

test('docker search shows what the registry has, and what this machine has', async () => {
  const server = createServer((request, response) => {
    told.push(request.url ?? '');
    response.end(JSON.stringify({ results: [{ name: 'team/app', description: 'of the registry', star_count: 3, is_official: true }] }));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const archive = buildLayout(buildImage([buildTar([{ name: 'b', content: 'b' }])]), `${host}/own/app:1`);
  await images.load(
    (async function* () {
      yield archive;
    })(),
  );
  const search = (...args: string[]) => docker('search', '--format', '{{.Name}} {{.StarCount}} {{.Description}}', ...args, `${host}/app`);
  assert.equal(await search(), `team/app 3 of the registry\n${host}/own/app 0 on this machine`);
  assert.equal(await search('--filter', 'is-official=true'), 'team/app 3 of the registry');
  assert.deepEqual(told.at(-1), '/v1/search?q=app&n=25');
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  assert.equal(await search(), `${host}/own/app 0 on this machine`);
  await docker('rmi', `${host}/own/app:1`);
  await assert.rejects(search(), /can't be reached/);
});
