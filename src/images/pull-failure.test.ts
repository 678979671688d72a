import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

test('a layer that is refused while others still come ends the pull at once, with its reason', { timeout: 20_000 }, async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  const image = buildImage([buildTar([{ name: '../escape' }]), buildTar([{ name: 'slow', content: randomBytes(200_000) }])]);
  const { layers } = JSON.parse(image.manifest.bytes.toString()) as { layers: { digest: string }[] };
  registry.add('app', '1', image);
  const closed = Promise.withResolvers<void>();
  registry.faults.push((request, response) => {
    if (!request.url?.includes(layers[1]!.digest)) return false;
    response.writeHead(200).write('x');
    response.once('close', closed.resolve);
    return true;
  });
  await using images = await openImages({ dataDir: join(directory.path, 'refused'), log: silentLog });
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on('unhandledRejection', note);
  try {
    await assert.rejects(images.pull(`${registry.host}/app:1`), error => isUmiakError(error, 'Invalid') && /escape/.test(error.message));
    await closed.promise;
  } finally {
    process.off('unhandledRejection', note);
  }
  assert.deepEqual(unhandled, []);
});
