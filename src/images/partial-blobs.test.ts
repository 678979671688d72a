import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { type Digest, digestOf, hexOf } from './digest.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';
import { KeptPulls } from './kept-pulls.ts';
import { PartialBlobs } from './partial-blobs.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

const sample = buildImage([buildTar([{ name: 'a', content: randomBytes(900_000) }])]);
const digest = [...sample.blobs.keys()].find(each => each !== sample.configDigest)!;
const blob = sample.blobs.get(digest)!;
const part = `${hexOf(digest)}.part`;

/** A registry that sends half a layer and then no more; `asked` are the bytes from which it was asked. */
async function startHalting(): Promise<{ registry: RegistryFixture; asked: number[]; halted: Promise<void>; heal(): void }> {
  const registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', sample);
  const asked: number[] = [];
  let isHalting = true;
  const { promise: halted, resolve } = Promise.withResolvers<void>();
  const fault: RegistryFixture['faults'][number] = ({ url, headers }, response) => {
    if (!url?.includes(digest)) return false;
    asked.push(Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0));
    registry.faults.push(fault);
    if (!isHalting) {
      registry.faults.length = 1;
      return false;
    }
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 500_000), () => resolve());
    return true;
  };
  registry.faults.push(fault);
  const heal = () => {
    isHalting = false;
  };
  return { registry, asked, halted, heal };
}

/** Once some of the layer lies on the disk. */
async function begun(onProgress: (seen: (bytes: number) => void) => Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const pull = onProgress(bytes => void (bytes > 0 && resolve())).then(
    () => {},
    () => {},
  );
  await Promise.race([promise, pull]);
}

for (const how of ['is closed', 'gives the pull up'] as const)
  test(`a layer that is half here when the store ${how} is gone on with after a restart`, { timeout: 20_000 }, async () => {
    const { registry, asked, halted, heal } = await startHalting();
    await using _ = registry;
    const dataDir = join(directory.path, how);
    const name = `${registry.host}/app:1`;
    const leaving = new AbortController();
    {
      await using images = await openImages({ dataDir, log: silentLog });
      await begun(seen =>
        images.pull(name, {
          signal: leaving.signal,
          onProgress: event => event.status === 'downloading' && event.digest === digest && seen(event.currentBytes),
        }),
      );
      await halted;
      if (how === 'gives the pull up') leaving.abort();
    }
    assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), [part]);
    heal();
    await using images = await openImages({ dataDir, log: silentLog });
    await images.pull(name);
    assert.ok(asked.at(-1)! > 0, `asked from bytes ${asked}`);
    assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), []);
  });

test('a part that a power failure tore is fetched anew', async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', sample);
  for (const [i, torn] of [Buffer.alloc(500_000), Buffer.alloc(blob.length), Buffer.alloc(blob.length + 1), Buffer.alloc(0)].entries()) {
    const dataDir = join(directory.path, `torn-${i}`);
    await mkdir(join(dataDir, 'content/ingest'), { recursive: true });
    await writeFile(join(dataDir, 'content/ingest', part), torn);
    await using images = await openImages({ dataDir, log: silentLog });
    await images.pull(`${registry.host}/app:1`);
    assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), []);
  }
});

test('parts stay a day and up to 8 GB, the newest first; all go when room is asked for but those that grow or are held', async () => {
  const dir = join(directory.path, 'parts');
  const held = digestOf('held');
  const parts = new PartialBlobs(dir, each => each === held);
  await parts.open();
  const nowMs = Date.now();
  const put = async (name: Digest, size: number, ageHours: number) => {
    using grown = parts.grow(name);
    await writeFile(grown!.path, '');
    await truncate(grown!.path, size);
    await utimes(grown!.path, (nowMs - ageHours * 3_600_000) / 1000, (nowMs - ageHours * 3_600_000) / 1000);
  };
  const [young, large, old, future, growing] = ['young', 'large', 'old', 'future', 'growing'].map(digestOf) as Digest[];
  await put(young!, 1000, 1);
  await put(large!, 8 * 2 ** 30, 2);
  await put(old!, 10, 25);
  await put(future!, 10, -30);
  await put(held, 10, 3);
  await put(growing!, 10, 40);
  using grows = parts.grow(growing!);
  assert.equal(parts.grow(growing!), undefined, 'one at a time');
  const names = (...of: (Digest | undefined)[]) => of.map(each => `${hexOf(each!)}.part`).sort();
  assert.equal(await parts.collect({ nowMs }), 8 * 2 ** 30 + 20);
  assert.deepEqual((await readdir(dir)).sort(), names(young, held, growing));
  await parts.collect({ all: true });
  assert.deepEqual((await readdir(dir)).sort(), names(held, growing));
  assert.ok(grows);
});

test('of what failed pulls brought, the newest stays and no more than 8 GB of the older', () => {
  const clock = new ManualClock();
  let lapses = 0;
  using kept = new KeptPulls(clock, () => lapses++);
  const gone: string[] = [];
  const add = (name: string, gigabytes: number) => kept.add({ [Symbol.dispose]: () => void gone.push(name) }, gigabytes * 2 ** 30);
  add('a', 5);
  add('b', 5);
  add('c', 20);
  assert.deepEqual(gone, ['a']);
  add('d', 1);
  assert.deepEqual(gone, ['a', 'b', 'c']);
  clock.advance(600_000);
  assert.deepEqual([gone, lapses], [['a', 'b', 'c', 'd'], 4]);
});
