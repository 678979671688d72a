import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { ContentStore } from './content-store.ts';
import { type Digest, digestOf, hexOf } from './digest.ts';
import { buildImage, buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { ImageIndex } from './image-index.ts';
import { type ImageStore, openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
let registry: RegistryFixture;
let name: string;
let serial = 0;
const image = buildImage([buildTar([{ name: 'a', content: 'a'.repeat(50_000) }]), buildTar([{ name: 'b', content: 'b' }])]);
const layer = [...image.blobs.keys()].find(digest => digest !== image.configDigest)!;

before(async () => {
  directory = await temporaryDirectory();
  registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', image);
  name = `${registry.host}/app:1`;
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function open(at = `data-${++serial}`, isInUse = false): Promise<ImageStore> {
  return await openImages({ dataDir: join(directory.path, at), log: silentLog, isInUse: () => isInUse });
}

/** One byte of a blob becomes another, as a disk does it. */
async function rot({ content }: ImageStore, digest: Digest): Promise<void> {
  const bytes = await readFile(content.path(digest));
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  await writeFile(content.path(digest), bytes);
}

const missing = (error: unknown) => {
  assert.ok(isUmiakError(error, 'NotFound'), String(error));
  assert.match(`${error.message} ${error.hint}`, /altered on disk and is in quarantine since .* Pull or load the image again/);
  return true;
};

for (const digest of [image.manifest.digest, image.configDigest])
  test(`a document (${digest === image.configDigest ? 'configuration' : 'manifest'}) that the disk altered: the image is not found, and whole again by a pull`, async () => {
    const at = `document-${++serial}`;
    {
      await using images = await open(at);
      await images.pull(name);
      await rot(images, digest);
    }
    await using images = await open(at, true);
    await assert.rejects(images.inspect(name), missing);
    await assert.rejects(images.inspect(name), missing, 'the second time, too');
    assert.deepEqual(await images.list(), []);
    await images.prune();
    assert.ok((await readdir(join(directory.path, at, 'layers'))).length > 1, 'what a container may run on stays');
    assert.equal((await images.pull(name)).id, image.configDigest);
    assert.equal((await images.list()).length, 1);
    await images.remove(name, { force: true });
    await rot(images, digest);
    await images.verify();
    await images.prune();
    assert.ok((await readdir(join(directory.path, at, 'layers'))).length > 1, 'nor does it go when it had no name any more');
  });

test('a layer that the disk altered is met when it is unpacked, and fetched again by the same pull', async () => {
  await using images = await open();
  await images.pull(name, { unpack: false });
  await rot(images, layer);
  await assert.rejects(images.ensureUnpacked(name), missing);
  const noted = JSON.parse(await readFile(join(directory.path, `data-${serial}`, 'content/quarantine', `${hexOf(layer)}.json`), 'utf8'));
  assert.deepEqual([noted.digest, noted.sizeBytes], [layer, image.blobs.get(layer)!.length]);
  await images.pull(name);
  await images.ensureUnpacked(name);

  await using other = await open();
  await other.pull(name, { unpack: false });
  await rot(other, layer);
  const before = registry.count(`/blobs/${layer}`);
  await other.pull(name);
  assert.equal(registry.count(`/blobs/${layer}`), before + 1, 'only what was wrong');
});

test('a layer that the disk altered is not saved as if it were right; a save that fails holds nothing', async () => {
  await using images = await open();
  await images.pull(name);
  await rot(images, layer);
  await assert.rejects(async () => {
    for await (const _ of await images.save([name]));
  }, missing);
  await assert.rejects(images.save([name, 'absent:1']), error => isUmiakError(error, 'NotFound'));
  await images.remove(name);
  assert.deepEqual(await images.content.list(), []);
});

test('verify finds what is altered, torn or gone, and says whose it is; prune clears the quarantine', async () => {
  await using images = await open();
  await images.pull(name);
  const right = await images.verify();
  assert.deepEqual([right.checked, right.corrupt, right.damaged, right.quarantine], [4, [], [], []]);
  await truncate(images.content.path(layer), 10);
  await rm(images.content.path(image.configDigest));
  const steps: number[] = [];
  const found = await images.verify({ onProgress: checked => void steps.push(checked) });
  assert.deepEqual([found.checked, steps, found.corrupt], [3, [1, 2, 3], [layer]]);
  assert.deepEqual(found.damaged.map(each => each.name).sort(), [name, `${registry.host}/app@${image.manifest.digest}`]);
  assert.ok(found.damaged.every(each => each.missing.includes(layer) || each.missing.includes(image.manifest.digest)));
  assert.equal(found.quarantine.length, 1);
  await images.pull(name);
  const again = await images.verify();
  assert.deepEqual([again.corrupt, again.damaged, again.quarantine.length], [[], [], 1]);
  await images.prune();
  assert.deepEqual((await images.verify()).quarantine, []);
  await assert.rejects(images.verify({ signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('records of names that the disk altered do not keep the store from opening: their images stay without a name, in use or not', async () => {
  const at = `names-${++serial}`;
  const names = join(directory.path, at, 'images');
  {
    await using images = await open(at);
    await images.pull(name);
  }
  const files = (await readdir(names)).sort();
  assert.equal(files.length, 2);
  const [torn, flipped] = await Promise.all(files.map(file => readFile(join(names, file))));
  await writeFile(join(names, files[0]!), torn!.subarray(0, 40));
  flipped![flipped!.indexOf('/app') + 1]! ^= 1; // another name, and JSON all the same
  await writeFile(join(names, files[1]!), flipped!);
  {
    await using images = await open(at, true);
    const [record, ...others] = await images.list();
    assert.deepEqual([record?.id, record?.repoTags, record?.repoDigests, others], [image.configDigest, [], [], []]);
    await assert.rejects(images.inspect(name), { reason: 'NotFound', hint: /was altered on disk. Pull or load the image again/ });
    await assert.rejects(images.push(name), { reason: 'NotFound', hint: /was altered on disk/ });
    await images.prune();
    assert.ok((await images.ensureUnpacked(image.configDigest)).length > 0);
    assert.deepEqual(
      await readdir(names),
      [`${hexOf(digestOf(`<none>@${image.manifest.digest}`)).slice(0, 32)}.json`, 'quarantine'].sort(),
    );
  }
  await mkdir(join(names, files[0]!, 'anything'), { recursive: true });
  await using images = await open(at);
  assert.deepEqual(await readdir(join(names, 'quarantine')), [files[0]]);
  await images.pull(name);
  assert.deepEqual((await images.inspect(name)).repoTags, [name]);
  assert.deepEqual(await readdir(join(names, 'quarantine')), []);
});

test('a record altered while the store was killed in the middle of its recovery is found again', async () => {
  const at = `again-${++serial}`;
  const names = join(directory.path, at, 'images');
  {
    await using images = await open(at);
    await images.pull(name);
  }
  for (const file of await readdir(names)) await writeFile(join(names, file), 'x');
  const { bytes, ...manifest } = image.manifest;
  const descriptor = { ...manifest, size: bytes.byteLength };
  await (await ImageIndex.open(names)).set({ name: `<none>@${manifest.digest}`, target: descriptor, manifest: descriptor, updatedAtMs: 1 });
  await using images = await open(at);
  assert.equal((await images.list()).length, 1);
  assert.equal((await readdir(join(names, 'quarantine'))).length, 2);
});

test('the quarantine keeps the newest few', async () => {
  const dir = join(directory.path, 'few');
  const content = await ContentStore.open(dir);
  using lease = content.lease();
  for (let i = 0; i < 12; i++) {
    const { digest } = await content.write(inPieces(Buffer.from(`blob ${i}`)), { lease });
    await writeFile(content.path(digest), 'x');
    assert.equal(await content.verify(digest), 'corrupt');
  }
  assert.equal((await content.quarantine.list()).length, 8);
  assert.equal((await readdir(join(dir, 'quarantine'))).length, 16);
  assert.equal(await content.verify(digestOf('nothing')), 'absent');
});
