import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import { ManualClock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { digestOf, hexOf } from './digest.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

const layer = (i: number) => buildTar([{ name: `layer-${i}`, content: `${i}`.repeat(5000) }]);
/** Neighbours share a layer. */
const sample = (i: number) => buildImage([layer(i), layer(i + 1)], { Labels: { i: String(i) } });
const IMAGES = 5;

const passing = (error: unknown) => {
  if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
};

/** Uses an image as the engine does: notes the use as soon as it has the directories, looks at them, ends. */
async function use(images: ImageStore, name: string, used: Map<string, number>, random: () => number): Promise<void> {
  const { id, layers } = await images.inspect(name);
  const directories = await images.ensureUnpacked(id);
  used.set(id, (used.get(id) ?? 0) + 1);
  try {
    assert.deepEqual(directories, layers);
    for (let look = 0; look < 3; look++) {
      for (const directory of directories) {
        const [file = ''] = await readdir(directory);
        const i = file.slice('layer-'.length);
        assert.equal(await readFile(join(directory, file), 'utf8'), i.repeat(5000));
      }
      await wait(random() * 6);
    }
  } finally {
    used.set(id, used.get(id)! - 1);
  }
}

test('whatever is pulled, used, named, removed and pruned side by side, nothing in use or named goes, and all else does', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  await using directory = await temporaryDirectory();
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  for (let i = 0; i < IMAGES; i++) registry.add('app', String(i), sample(i));
  const used = new Map<string, number>();
  const dataDir = directory.path;
  await using images = await openImages({ dataDir, log: silentLog, isInUse: id => (used.get(id) ?? 0) > 0 });
  const pick = () => `${registry.host}/app:${Math.floor(random() * IMAGES)}`;
  const steps: ((name: string) => Promise<unknown>)[] = [
    name => images.pull(name),
    name => images.pull(name, { unpack: false }),
    name => use(images, name, used, random),
    name => use(images, name, used, random),
    name => images.remove(name),
    name => images.remove(name, { force: true }),
    name => images.tag(name, 'moving:latest'),
    () => images.prune(),
    name => images.push(name),
    async name => {
      const leaving = new AbortController();
      const pulled = images.pull(name, { signal: leaving.signal }).catch(() => {});
      await nextTurn();
      leaving.abort();
      await pulled;
    },
  ];
  const rounds = Number(process.env.SOAK_ROUNDS ?? (process.env.UMIAK_SOAK ? 2000 : 25));
  const worker = async () => {
    for (let round = 0; round < rounds; round++) await steps[Math.floor(random() * steps.length)]!(pick()).catch(passing);
  };
  try {
    await Promise.all(Array.from({ length: 6 }, worker));
    await images.prune();
    const named = await images.list();
    const needed = new Set<string>();
    for (const { id, manifestDigest, target } of named) {
      await images.ensureUnpacked(id);
      const { layers, config } = JSON.parse((await images.content.readDocument(manifestDigest, 'the manifest')).toString());
      for (const each of [target.digest, manifestDigest, config.digest, ...layers.map((it: { digest: string }) => it.digest)])
        needed.add(hexOf(each));
    }
    const blobs = await readdir(join(dataDir, 'content/sha256'));
    assert.deepEqual(new Set(blobs), needed);
    for (const hex of blobs) assert.equal(digestOf(await readFile(join(dataDir, 'content/sha256', hex))), `sha256:${hex}`);
    assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), []);
    for (const { id } of named) await images.remove(id, { force: true });
    assert.deepEqual(await readdir(join(dataDir, 'content/sha256')), []);
    assert.deepEqual(await readdir(join(dataDir, 'layers')), ['empty']);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
});

test('an image whose directories were just given out is not removed before its use is noted', async () => {
  await using directory = await temporaryDirectory();
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', sample(1));
  const name = `${registry.host}/app:1`;
  let isUsed = false;
  await using images = await openImages({ dataDir: directory.path, log: silentLog, isInUse: () => isUsed });
  await images.pull(name);
  const given = images.ensureUnpacked(name).then(() => (isUsed = true));
  await assert.rejects(images.remove(name), error => isUmiakError(error, 'Conflict') && /is used by a container/.test(error.message));
  await given;
  isUsed = false;
  await images.remove(name);
});

test('pinned images outlast pruning, restarts and a name that moves; only force removes them', async () => {
  await using directory = await temporaryDirectory();
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', sample(1));
  const name = `${registry.host}/app:1`;
  {
    await using images = await openImages({ dataDir: directory.path, log: silentLog });
    await images.pull(name);
    await images.pin(name);
    assert.equal((await images.inspect(name)).isPinned, true);
  }
  await using images = await openImages({ dataDir: directory.path, log: silentLog });
  registry.add('app', '1', sample(2));
  const moved = await images.pull(name);
  assert.equal(moved.isPinned, true, 'the name is pinned, not what it had');
  await assert.rejects(images.remove(name), error => isUmiakError(error, 'Conflict') && /is pinned as 127/.test(error.message));
  await images.prune();
  assert.deepEqual(
    (await images.list()).filter(({ isPinned }) => isPinned).map(({ id }) => id),
    [moved.id],
  );
  await images.pin(moved.id, false);
  await images.remove(name);
  for (const { id } of await images.list()) await images.remove(id, { force: true });
  assert.deepEqual(await images.list(), []);
  await assert.rejects(images.pin('absent'), error => isUmiakError(error, 'NotFound'));
});

test('whole blobs that a killed process had brought and not named stay for ten minutes, for who tries again; then they go', async () => {
  for (const half of ['content/ingest/half', 'layers/tmp-half']) {
    await using directory = await temporaryDirectory();
    const clock = new ManualClock();
    const open = () => openImages({ dataDir: directory.path, log: silentLog, clock });
    let path: string;
    {
      await using images = await open();
      using lease = images.content.lease();
      path = images.content.path((await images.content.writeDocument(Buffer.from('of a load'), lease)).digest);
    }
    {
      await using _ = await open();
      clock.advance(600_000);
      await wait(20);
      assert.ok(existsSync(path), 'nothing was under way: it is looked at with the next collection');
    }
    await writeFile(join(directory.path, half), 'the next blob');
    await using _ = await open();
    assert.ok(!existsSync(join(directory.path, half)));
    clock.advance(599_000);
    await wait(20);
    assert.ok(existsSync(path));
    clock.advance(1_000);
    for (const end = Date.now() + 10_000; existsSync(path); await nextTurn()) assert.ok(Date.now() < end, 'it is there for ever');
  }
});
