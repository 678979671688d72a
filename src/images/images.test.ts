import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { type Digest, digestOf, hexOf } from './digest.ts';
import { buildImage, buildLayout, buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, type ImageStoreOptions, openImages } from './images.ts';

let directory: AsyncDisposable & { path: string };
let serial = 0;

before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

function freshOptions(): ImageStoreOptions {
  return { dataDir: join(directory.path, `data-${++serial}`), log: silentLog };
}

const base = buildTar([{ name: 'etc/' }, { name: 'etc/os', content: 'base' }, { name: 'etc/old', content: 'old' }]);
const app = buildTar([{ name: 'etc/' }, { name: 'etc/.wh.old' }, { name: 'app', content: 'one' }]);
const image = buildImage([base, app], { Cmd: ['/app'], Env: ['A=1'] });

async function collected(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function contentOf({ dataDir }: ImageStoreOptions): Promise<{ blobs: number; layers: number; names: number }> {
  const count = async (path: string) => (await readdir(join(dataDir, path))).filter(name => name !== 'empty').length;
  return { blobs: await count('content/sha256'), layers: await count('layers'), names: await count('images') };
}

test('an OCI layout is loaded, unpacked, and its layers make an overlay', async () => {
  const options = freshOptions();
  await using images = await openImages(options);
  const [record] = await images.load(inPieces(buildLayout(image, 'docker.io/library/app:1'), 1000));
  assert.equal(record?.id, image.configDigest);
  assert.deepEqual(record.repoTags, ['docker.io/library/app:1']);
  assert.deepEqual(record.config.config, { Cmd: ['/app'], Env: ['A=1'] });
  assert.deepEqual(await images.ensureUnpacked('app:1'), record.layers);
  const merged = join(options.dataDir, 'merged');
  await mkdir(merged);
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${record.layers.join(':')}`, merged]);
  try {
    assert.deepEqual((await readdir(merged)).sort(), ['app', 'etc']);
    assert.deepEqual(await readdir(join(merged, 'etc')), ['os']);
  } finally {
    execFileSync('umount', [merged]);
  }
});

test('what is saved loads again, in both forms, and is the same bytes each time', async () => {
  const options = freshOptions();
  await using images = await openImages(options);
  await images.load(inPieces(buildLayout(image, 'docker.io/library/app:1')));
  const saved = await collected(await images.save(['app:1']));
  assert.deepEqual(await collected(await images.save(['app:1'])), saved);
  await writeFile(join(directory.path, 'saved.tar.gz'), gzipSync(saved));
  const unpackedDir = join(directory.path, 'saved');
  await mkdir(unpackedDir);
  execFileSync('tar', ['-xzf', join(directory.path, 'saved.tar.gz'), '-C', unpackedDir]);
  const [item] = JSON.parse(await readFile(join(unpackedDir, 'manifest.json'), 'utf8'));
  assert.deepEqual(item.RepoTags, ['app:1']);
  for (const source of [join(directory.path, 'saved.tar.gz'), unpackedDir]) {
    await using other = await openImages(freshOptions());
    const [record] = await other.load(source);
    assert.deepEqual([record?.id, record?.repoTags], [image.configDigest, ['docker.io/library/app:1']]);
  }
});

test('an archive of an older docker save is loaded', async () => {
  const config = image.blobs.get(image.configDigest)!;
  const archive = buildTar([
    { name: 'aaa/layer.tar', content: base },
    { name: 'bbb/layer.tar', content: app },
    { name: 'ccc/layer.tar', type: 'symlink', linkName: '../bbb/layer.tar' },
    { name: 'config.json', content: config },
    {
      name: 'manifest.json',
      content: JSON.stringify([{ Config: 'config.json', RepoTags: ['app:old', 'b/c:2'], Layers: ['aaa/layer.tar', 'ccc/layer.tar'] }]),
    },
    { name: 'repositories', content: '{}' },
  ]);
  await using images = await openImages(freshOptions());
  const [record] = await images.load(inPieces(archive));
  assert.deepEqual([record?.id, record?.repoTags], [image.configDigest, ['docker.io/b/c:2', 'docker.io/library/app:old']]);
  assert.equal(await readFile(join(record!.layers[0]!, 'app'), 'utf8'), 'one');
});

test('bad archives are refused with a reason and leave nothing', async () => {
  const altered = buildLayout(image, 'app:1');
  altered[altered.indexOf('"diff_ids"') + 1] = 0x58;
  const noBlob = { ...image, blobs: new Map([...image.blobs].slice(0, 1)) };
  const evil = buildImage([buildTar([{ name: '../../evil', content: 'x' }])]);
  const table: [string, Buffer, RegExp][] = [
    ['not a tar', Buffer.alloc(3000, 'x'), /damaged/],
    ['empty', Buffer.alloc(0), /holds no image/],
    [
      'names without end',
      buildTar(Array.from({ length: 20_001 }, (_, i) => ({ name: `${i}`, type: 'symlink' as const, linkName: 'a' }))),
      /more than 20000 files/,
    ],
    ['cut', buildLayout(image).subarray(0, 4000), /ends within/],
    ['a root file system', base, /holds no image/],
    ['xz', Buffer.from('fd377a585a0000', 'hex'), /compressed with xz/],
    ['cut gzip', gzipSync(buildLayout(image)).subarray(0, 500), /damaged gzip/],
    ['altered', altered, /./],
    ['a blob missing', buildLayout(noBlob), /is missing/],
    ['a layer that leaves the root', buildLayout(evil, 'evil:1'), /"\.\.\/\.\.\/evil"/],
    ['a bad name', buildLayout(image, 'UPPER/../x'), /image reference/],
    [
      'traversal by digest',
      buildTar([{ name: 'index.json', content: '{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../x","size":1}]}' }]),
      /not a digest/,
    ],
  ];
  const options = freshOptions();
  await using images = await openImages(options);
  for (const [what, archive, message] of table) {
    await assert.rejects(
      images.load(inPieces(archive)),
      error => (isUmiakError(error, 'Invalid') || isUmiakError(error, 'NotFound')) && message.test(error.message),
      what,
    );
    assert.deepEqual(await contentOf(options), { blobs: 0, layers: 0, names: 0 }, what);
  }
});

test('images are found by name, id and the beginning of an id; names move; removal follows docker', async () => {
  const options = freshOptions();
  const inUse = new Set<Digest>();
  await using images = await openImages({ ...options, isInUse: id => inUse.has(id) });
  const other = buildImage([base], { Cmd: ['/other'] });
  await images.load(inPieces(buildLayout(image, 'app:1')));
  await images.load(inPieces(buildLayout(other, 'other:1')));
  await images.tag('app:1', 'localhost:5000/team/app:2');
  assert.equal((await images.inspect(hexOf(image.configDigest).slice(0, 12))).id, image.configDigest);
  assert.equal((await images.inspect(image.configDigest)).repoTags.length, 2);
  await assert.rejects(images.inspect('absent'), error => isUmiakError(error, 'NotFound'));
  await assert.rejects(images.remove(image.configDigest), /2 repositories/);

  await images.tag('other:1', 'app:1');
  assert.equal((await images.inspect('app:1')).id, other.configDigest);
  assert.deepEqual(await images.remove('app:1'), { untagged: ['docker.io/library/app:1'], deleted: [], freedBytes: 0 });

  inUse.add(image.configDigest);
  await assert.rejects(images.remove('localhost:5000/team/app:2'), /used by a container/);
  const forced = await images.remove('localhost:5000/team/app:2', { force: true });
  assert.deepEqual(forced.deleted, []);
  assert.deepEqual((await images.inspect(image.configDigest)).repoTags, []);
  await assert.rejects(images.remove(image.configDigest, { force: true }), /used by a container/);
  assert.deepEqual((await images.prune()).deleted, []);
  assert.deepEqual(await contentOf(options), { blobs: 6, layers: 2, names: 2 });

  inUse.clear();
  assert.deepEqual((await images.prune()).deleted, [image.configDigest, digestOf(app)]);
  assert.deepEqual(await contentOf(options), { blobs: 3, layers: 1, names: 1 });
  assert.deepEqual((await images.remove(other.configDigest)).deleted, [other.configDigest, digestOf(base)]);
  assert.deepEqual(await contentOf(options), { blobs: 0, layers: 0, names: 0 });
});

test('a name that moves leaves the image that had it without a name', async () => {
  await using images = await openImages(freshOptions());
  await images.load(inPieces(buildLayout(image, 'app:1')));
  const other = buildImage([base]);
  await images.load(inPieces(buildLayout(other, 'app:1')));
  const list = await images.list();
  assert.deepEqual(
    list.map(({ id, repoTags }) => [id, repoTags]).sort(),
    [
      [image.configDigest, []],
      [other.configDigest, ['docker.io/library/app:1']],
    ].sort(),
  );
});

test('everything is known again after a restart, and half-made things are gone', async () => {
  const options = { ...freshOptions(), bootId: 'one' };
  {
    await using images = await openImages(options);
    await images.load(inPieces(buildLayout(image, 'app:1')));
  }
  await mkdir(join(options.dataDir, 'layers/tmp-half/fs'), { recursive: true });
  await writeFile(join(options.dataDir, 'content/ingest/half'), 'half');
  await writeFile(join(options.dataDir, 'images/half.json.new'), 'half');
  await using images: ImageStore = await openImages({ ...options, bootId: 'two' });
  assert.equal((await images.inspect('app:1')).id, image.configDigest);
  for (const lower of await images.ensureUnpacked('app:1')) assert.ok((await readdir(lower)).length > 0);
  assert.deepEqual(await contentOf(options), { blobs: 4, layers: 2, names: 1 });
  assert.deepEqual(await readdir(join(options.dataDir, 'content/ingest')), []);
});

test('a layer that was not on the disk before a reboot is unpacked anew', async () => {
  const options = freshOptions();
  const layer = join(options.dataDir, 'layers', hexOf(digestOf(base)));
  await mkdir(join(layer, 'fs'), { recursive: true });
  await mkdir(join(layer, 'boot-one'));
  await using images = await openImages({ ...options, bootId: 'two' });
  const [record] = await images.load(inPieces(buildLayout(buildImage([base]), 'app:1')));
  assert.deepEqual(await readdir(record!.layers[0]!), ['etc']);
});

test('an image without layers and one with the same layer twice have usable directories', async () => {
  await using images = await openImages(freshOptions());
  const [none] = await images.load(inPieces(buildLayout(buildImage([]), 'none:1')));
  assert.deepEqual(await readdir(none!.layers[0]!), []);
  const [twice] = await images.load(inPieces(buildLayout(buildImage([base, app, base]), 'twice:1')));
  assert.equal(twice?.layers.length, 2);
  assert.deepEqual(await readdir(twice!.layers[0]!), ['etc']);
});

test('an image loaded by many at the same time is one image with all their names', async () => {
  const options = freshOptions();
  await using images = await openImages(options);
  await Promise.all(Array.from({ length: 8 }, (_, i) => images.load(inPieces(buildLayout(image, `app:${i}`)))));
  assert.equal((await images.list())[0]?.repoTags.length, 8);
  assert.deepEqual(await contentOf(options), { blobs: 4, layers: 2, names: 8 });
});

test('whatever is loaded, named and removed side by side, what has a name has its content', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  const options = freshOptions();
  await using images = await openImages(options);
  const kinds = [image, buildImage([base], { Cmd: ['/b'] }), buildImage([app], { Cmd: ['/c'] })];
  const name = () => `app:${Math.floor(random() * 4)}`;
  const isExpected = (error: unknown) =>
    assert.ok(isUmiakError(error, 'NotFound') || isUmiakError(error, 'Conflict'), `seed ${seed}: ${(error as Error).stack}`);
  const steps: (() => Promise<unknown>)[] = [
    () => images.load(inPieces(buildLayout(kinds[Math.floor(random() * 3)]!, name()))),
    () => images.tag(name(), name()),
    () => images.remove(name(), { force: true }),
    () => images.prune(),
  ];
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 6 }, () => steps[Math.floor(random() * steps.length)]!().catch(isExpected)));
    for (const { id, layers, repoTags } of await images.list()) {
      await images.ensureUnpacked(id);
      for (const lower of layers) assert.ok((await readdir(lower)).length > 0, `seed ${seed}, round ${round}: ${repoTags}`);
    }
  }
});
