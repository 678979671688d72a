import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { startDockerApi } from '#docker/index.ts';
import { buildImage, buildLayout, buildTar, inPieces, temporaryDirectory } from '#images/fixtures.ts';
import { type ImageStore, openImages } from '#images/index.ts';
import { RegistryFixture } from '#images/registry-fixture.ts';
import { DockerClient } from './docker-client.ts';
import {
  assembleImage,
  type ImageCommandContext,
  listImages,
  loadImages,
  pinImages,
  pullImage,
  pullLine,
  pushImage,
  removeImages,
  saveImages,
  tagImage,
  verifyImages,
} from './image.ts';
import type { OutputForm } from './terminal.ts';
import { captureStreams } from './testing.ts';

let stack: AsyncDisposableStack;
let directory: string;
let images: ImageStore;
let docker: DockerClient;

before(async () => {
  stack = new AsyncDisposableStack();
  directory = stack.use(await temporaryDirectory()).path;
  const socketPath = join(directory, 'docker.sock');
  images = stack.use(await openImages({ dataDir: join(directory, 'data'), log: silentLog }));
  stack.use(await startDockerApi({ socketPath, images, version: '1', log: silentLog }));
  docker = new DockerClient(socketPath);
});
after(() => stack.disposeAsync());

function context(options: Parameters<typeof captureStreams>[0] & { form?: OutputForm } = {}) {
  const { streams, out, err } = captureStreams(options);
  const its: ImageCommandContext = { docker, streams, form: options.form ?? 'text' };
  return { its, out, err };
}

const archive = (name: string) => buildLayout(buildImage([buildTar([{ name: 'a', content: name.repeat(1_000_000) }])]), name);

test('images are loaded, listed, named, saved and removed', async () => {
  const file = join(directory, 'app.tar');
  await writeFile(file, archive('app:1'));
  const loaded = context();
  await loadImages(loaded.its, file);
  assert.equal(loaded.out(), 'loaded app:1\n');
  assert.equal(loaded.err(), '', 'no progress where nobody looks');

  const piped = context({ stdin: archive('piped:1'), isTerminal: false, form: 'json' });
  await loadImages(piped.its, '-');
  assert.deepEqual(JSON.parse(piped.out()), { loaded: ['piped:1'] });

  const listed = context();
  await tagImage(listed.its, 'app:1', 'team/other:2');
  await listImages(listed.its);
  assert.match(listed.out(), /^IMAGE +ID +CREATED +SIZE\napp:1 +[0-9a-f]{12}/);
  assert.match(listed.out(), /team\/other:2/);

  const saved = context({ isTerminal: true });
  const output = join(directory, 'saved.tar');
  await saveImages(saved.its, ['app:1'], output);
  assert.match(saved.err(), /\r.*saving .*saved\.tar: /);
  assert.deepEqual(
    (await readdir(directory)).filter(name => name.includes('part')),
    [],
  );

  const removed = context();
  await assert.rejects(removeImages(removed.its, ['app:1', 'absent:1', 'team/other:2', 'piped:1']), /No such image: absent:1/);
  assert.match(removed.out(), /untagged app:1\nuntagged team\/other:2\n/);
  await loadImages(context().its, output);
  assert.deepEqual(
    (await images.list()).flatMap(({ repoTags }) => repoTags),
    ['docker.io/library/app:1'],
  );
});

test('what fails says what, and what to do', async () => {
  const { its } = context();
  await assert.rejects(loadImages(its, join(directory, 'nowhere.tar')), { reason: 'NotFound' });
  const junk = join(directory, 'junk.tar');
  await writeFile(junk, 'junk');
  await assert.rejects(loadImages(its, junk), { reason: 'BadRequest' });
  await assert.rejects(saveImages(its, ['absent:1'], join(directory, 'x.tar')), /No such image/);
  await assert.rejects(pullImage(its, 'localhost:1/absent:1'), /can't be reached/);
  const nobody = { ...its, docker: new DockerClient(join(directory, 'no.sock')) };
  await assert.rejects(listImages(nobody), error => (error as { hint?: string }).hint?.includes('umiak up') === true);
  await assert.rejects(loadImages(nobody, junk), { reason: 'ServiceUnavailable' });
});

test('an image is assembled from a file in this process, its lock where it is asked for', async () => {
  const file = join(directory, 'image.yaml');
  await writeFile(file, 'name: made:1\nfiles: [{ path: /hello, content: hi }]\nentrypoint: [/hello]\n');
  const { its, out } = context({ form: 'json' });
  const lockPath = join(directory, 'locks', 'made.lock');
  await assembleImage(its, file, { cacheDir: join(directory, 'packages'), lockPath });
  assert.deepEqual(JSON.parse(out()), { name: 'made:1', packages: [], lock: lockPath });
  assert.deepEqual((await images.inspect('made:1')).config.config?.Entrypoint, ['/hello']);
});

test('a pull’s layers in one line', () => {
  const line = pullLine([
    { status: 'Pull complete', progressDetail: {} },
    { status: 'Downloading', progressDetail: { current: 1_200_000, total: 40_000_000 } },
  ]);
  assert.equal(line, '1/2 layers, 1.2 MB of 40 MB');
});

test('images are pushed with their login, pinned, verified', async () => {
  await using registry = await RegistryFixture.start();
  registry.login = { username: 'ann', password: 'secret' };
  const name = `${registry.host}/team/app:1`;
  await images.load(inPieces(archive(name)));
  const config = { auths: { [registry.host]: { auth: Buffer.from('ann:secret').toString('base64') } } };
  await writeFile(join(directory, 'config.json'), JSON.stringify(config));
  const pushed = context();
  pushed.its.streams.env.DOCKER_CONFIG = directory;
  await pushImage(pushed.its, name);
  assert.match(pushed.out(), /^pushed 127.*team\/app:1 sha256:[0-9a-f]{64}\n$/);
  await assert.rejects(pushImage(context().its, name), /401|login/);

  const pinned = context();
  await pinImages(pinned.its, [name], true);
  assert.equal(pinned.out(), `pinned ${name}\n`);
  assert.equal((await images.inspect(name)).isPinned, true);
  await pinImages(context().its, [name], false);

  const verified = context();
  await verifyImages(verified.its);
  assert.match(verified.out(), /^\d+ blobs, .*: all right\n$/);
  const { manifestDigest } = await images.inspect(name);
  const manifest = JSON.parse((await images.content.readDocument(manifestDigest, 'm')).toString());
  await writeFile(images.content.path(manifest.layers[0].digest), 'altered');
  const found = context();
  await assert.rejects(verifyImages(found.its), /1 blobs were altered on disk/);
  assert.match(found.out(), /1 corrupt\n127.*team\/app:1 lacks 1 blobs: pull it again\n/);
  await images.remove(name);
});
