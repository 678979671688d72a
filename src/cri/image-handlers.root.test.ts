import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { buildImage, buildTar } from '#images/fixtures.ts';
import { RegistryFixture } from '#images/registry-fixture.ts';
import { CriBench } from './testing.ts';

let bench: CriBench;
before(async () => {
  bench = await CriBench.open();
});
after(() => bench[Symbol.asyncDispose]());

describe('ImageService', () => {
  it('pulls with a login, shows and removes', async () => {
    await using registry = await RegistryFixture.start();
    registry.login = { username: 'ada', password: 'secret:1' };
    const layer = buildTar([{ name: 'file', content: Buffer.from('x') }]);
    registry.add('team/app', 'v1', buildImage([layer], { User: 'web:web' }));
    const image = { image: `${registry.host}/team/app:v1` };
    const pull = (auth?: object) => bench.imageService.call('PullImage', { image, auth });
    await assert.rejects(pull(), { reason: 'Unauthorized' });
    await assert.rejects(pull({ username: 'ada', password: 'secret:1', serverAddress: 'elsewhere.example' }), { reason: 'Unauthorized' });
    const { imageRef = '' } = await pull({
      auth: Buffer.from('ada:secret:1').toString('base64'),
      serverAddress: `https://${registry.host}`,
    });
    assert.match(imageRef, /^sha256:[0-9a-f]{64}$/);
    const shown = (await bench.imageService.call('ImageStatus', { image, verbose: true })).image;
    assert.deepEqual([shown?.id, shown?.repoTags, shown?.username, shown?.repoDigests?.length], [imageRef, [image.image], 'web', 1]);
    const { images = [] } = await bench.imageService.call('ListImages', {});
    assert.ok(images.some(({ id }) => id === imageRef) && images.length >= 2);
    const [found, ...others] = (await bench.imageService.call('ListImages', { filter: { image } })).images ?? [];
    assert.deepEqual([found?.pinned ?? false, others], [false, []]);
    await bench.images.pin(image.image);
    assert.equal((await bench.imageService.call('ImageStatus', { image })).image?.pinned, true);
    for (let i = 0; i < 2; i++) await bench.imageService.call('RemoveImage', { image: { image: imageRef } });
    assert.deepEqual(await bench.imageService.call('ImageStatus', { image }), {});
  });
});
