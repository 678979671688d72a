import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, openImages } from './images.ts';
import { hostPlatform } from './oci.ts';
import { parseReference } from './reference.ts';
import { type Fault, RegistryFixture } from './registry-fixture.ts';

let stack: AsyncDisposableStack;
let registry: RegistryFixture;
let images: ImageStore;
const image = buildImage([buildTar([{ name: 'a', content: 'a' }])]);
const login = { username: 'anna', password: 'secret' };

before(async () => {
  stack = new AsyncDisposableStack();
  registry = stack.use(await RegistryFixture.start());
  registry.login = login;
  registry.add('team/app', '1', image);
  registry.addIndex('team/app', 'many', [
    { platform: hostPlatform(), image },
    { platform: { os: 'linux', architecture: 'riscv64' }, image: buildImage([buildTar([{ name: 'b', content: 'b' }])]) },
  ]);
  const directory = stack.use(await temporaryDirectory()).path;
  images = stack.use(await openImages({ dataDir: join(directory, 'data'), log: silentLog, proxy: {} }));
});
after(() => stack.disposeAsync());

const reference = (tag: string) => parseReference(`${registry.host}/team/app:${tag}`);

test('what a registry has under a name, with its platforms', async () => {
  const questions = await images.registries();
  const single = await questions.inspect(reference('1'), { auth: login });
  const { digest, mediaType, bytes } = image.manifest;
  assert.deepEqual(single, { descriptor: { digest, mediaType, size: bytes.length }, platforms: [hostPlatform()] });
  const { platforms } = await questions.inspect(reference('many'), { auth: login });
  assert.deepEqual(
    platforms.map(({ architecture }) => architecture),
    [hostPlatform().architecture, 'riscv64'],
  );
  await assert.rejects(questions.inspect(reference('absent'), { auth: login }), { reason: 'NotFound' });
  await assert.rejects(questions.inspect(reference('1')), { reason: 'Unauthorized' });
});

/** `GET /v2/` of whom the fixture lets in. */
const answerRoot: Fault = ({ url, headers: { authorization } }, response) => {
  if (url !== '/v2/' || authorization === undefined) return false;
  response.end('{}');
  return true;
};

for (const auth of ['bearer', 'basic'] as const)
  test(`a login is right or wrong: ${auth}`, async () => {
    registry.auth = auth;
    registry.faults.length = 0;
    // What the fixture has no document for is there for who may see it.
    registry.faults.push(answerRoot);
    assert.deepEqual(await (await images.registries()).login(registry.host, login), {});
    await assert.rejects((await images.registries()).login(registry.host, { ...login, password: 'wrong' }), { reason: 'Unauthorized' });
    registry.faults.length = 0;
    registry.auth = 'bearer';
  });

test('all tags, page by page; a list without an end is given up', async () => {
  const questions = await images.registries();
  assert.deepEqual(await questions.tags(reference('1'), { auth: login }), ['1', 'many']);
  const server = createServer((_, response) => {
    response.setHeader('link', '</v2/team/app/tags/list?last=1>; rel="next"').end('{"tags":["1"]}');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await assert.rejects(questions.tags(parseReference(`${host}/team/app`)), { reason: 'RequestEntityTooLarge' });
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
});

test('a search, in a registry that has one and in one that has not', async () => {
  const answer = { results: [{ name: 'team/app', description: 'ours', star_count: 3, is_official: true }, 7, { name: 'other' }] };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    if (pathname !== '/v1/search' || searchParams.get('q') !== 'app') return void response.writeHead(404).end();
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const questions = await images.registries();
  assert.deepEqual(await questions.search(host, 'app', 25), [
    { name: 'team/app', description: 'ours', stars: 3, isOfficial: true, isAutomated: false },
    { name: 'other', description: '', stars: 0, isOfficial: false, isAutomated: false },
  ]);
  assert.equal((await questions.search(host, 'app', 1)).length, 1);
  assert.deepEqual(await questions.search(host, 'nothing', 25), []);
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  await assert.rejects(questions.search(host, 'app', 25), { reason: 'ServiceUnavailable' });
});
