import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { digestOf } from './digest.ts';
import { buildTar, temporaryDirectory } from './fixtures.ts';
import { LayerStore } from './layer-store.ts';
import { UnpackWorkers } from './unpack-workers.ts';

test('threads are at most as many as said, are used again, and end when idle', async () => {
  await using directory = await temporaryDirectory();
  const clock = new ManualClock();
  await using workers = new UnpackWorkers({ workers: 2, idleMs: 1000, clock });
  const archives = Array.from({ length: 6 }, (_, i) => buildTar([{ name: `f${i}`, content: 'x' }]));
  let made = 0;
  const unpack = (i: number) => {
    const blobPath = join(directory.path, `blob-${i}`);
    writeFileSync(blobPath, archives[i]!);
    const dir = join(directory.path, `layer-${++made}`);
    mkdirSync(dir);
    return workers.run({ op: 'unpack', blobPath, dir, diffId: digestOf(archives[i]!) });
  };
  const results = Promise.all(archives.map((_, i) => unpack(i)));
  assert.equal(workers.threads, 2);
  assert.deepEqual(
    (await results).map(result => result?.entries),
    [1, 1, 1, 1, 1, 1],
  );
  assert.equal(workers.threads, 2);
  clock.advance(999);
  assert.equal(workers.threads, 2);
  clock.advance(1);
  assert.equal(workers.threads, 0);
  await unpack(0);
  assert.equal(workers.threads, 1);
});

test('one layer is unpacked once for all who ask at the same time, and a failed one leaves nothing', async () => {
  await using directory = await temporaryDirectory();
  await using workers = new UnpackWorkers();
  const layers = await LayerStore.open({ dir: join(directory.path, 'layers'), workers, log: silentLog });
  const archive = buildTar([{ name: 'f', content: 'x' }]);
  const blob = join(directory.path, 'blob');
  writeFileSync(blob, archive);
  await assert.rejects(layers.ensure(digestOf('other'), blob), /announces/);
  assert.deepEqual(readdirSync(join(directory.path, 'layers')), ['empty']);
  const directories = await Promise.all(Array.from({ length: 10 }, () => layers.ensure(digestOf(archive), blob)));
  assert.equal(new Set(directories).size, 1);
  assert.ok(existsSync(join(directories[0]!, 'f')));
  await layers.settled();
  assert.ok(readdirSync(join(directories[0]!, '..')).includes('durable'));
});

test('what layers take of the disk is noted when they come, and counted where the note is missing', async () => {
  await using directory = await temporaryDirectory();
  await using workers = new UnpackWorkers();
  const dir = join(directory.path, 'layers');
  const layers = await LayerStore.open({ dir, workers, log: silentLog });
  const blob = join(directory.path, 'blob');
  const archives = [buildTar([{ name: 'a/' }, { name: 'a/b', content: Buffer.alloc(5000) }]), buildTar([{ name: 'c', content: 'x' }])];
  for (const archive of archives) {
    writeFileSync(blob, archive);
    await layers.ensure(digestOf(archive), blob);
  }
  await layers.settled();
  assert.deepEqual(await layers.usage(), { bytes: 4096 + 8192 + 4096, inodes: 3 + 2 });
  rmSync(join(layers.directory(digestOf(archives[0]!)), '../usage'));
  const again = await LayerStore.open({ dir, workers, log: silentLog });
  const counted = await again.usage();
  assert.ok(counted.inodes >= 5 && counted.bytes >= 16_384, JSON.stringify(counted));
  await again.collect(diffId => diffId === digestOf(archives[1]!));
  assert.deepEqual(await again.usage(), { bytes: 4096, inodes: 2 });
});

test('a layer that takes more than is allowed is refused and leaves nothing', async () => {
  await using directory = await temporaryDirectory();
  await using workers = new UnpackWorkers();
  const layers = await LayerStore.open({ dir: join(directory.path, 'layers'), workers, log: silentLog, limits: { bytes: 1000 } });
  const archive = buildTar([
    { name: 'small', content: 'x' },
    { name: 'big', content: Buffer.alloc(1000) },
  ]);
  const blob = join(directory.path, 'blob');
  writeFileSync(blob, archive);
  await assert.rejects(layers.ensure(digestOf(archive), blob), /"big".*more than 1000 bytes/);
  assert.deepEqual(readdirSync(join(directory.path, 'layers')), ['empty']);
});
