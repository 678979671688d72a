import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { isUmiakError } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { ContentStore } from './content-store.ts';
import { buildImage, buildLayout, buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

const run = promisify(execFile);

/** A file system of so many bytes, gone afterwards. */
async function smallDisk(size: string): Promise<AsyncDisposable & { path: string }> {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'disk');
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'umiak-test', path]);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run('umount', ['-l', path]);
      await directory[Symbol.asyncDispose]();
    },
  };
}

const usedBytes = async (path: string) => {
  const { blocks, bfree, bsize } = await statfs(path);
  return (blocks - bfree) * bsize;
};

test('a disk that is full ends a pull and a load with a clear error and nothing left behind; with room they work', {
  timeout: 60_000,
}, async () => {
  await using disk = await smallDisk('6m');
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  // Downloads are too large, or, as here gzip is of no use, their files are.
  const layers = [buildTar([{ name: 'a', content: randomBytes(1_000_000) }]), buildTar([{ name: 'b', content: randomBytes(1_500_000) }])];
  const sample = buildImage(layers);
  registry.add('app', '1', sample);
  const name = `${registry.host}/app:1`;
  await using images = await openImages({ dataDir: disk.path, log: silentLog });
  const ballast = join(disk.path, 'ballast');
  const before = await usedBytes(disk.path);
  for (const [what, bytes] of [
    ['no room for the blobs', 4_500_000],
    ['no room for the files', 3_000_000],
  ] as const) {
    await writeFile(ballast, Buffer.alloc(bytes));
    for (const act of [() => images.pull(name), () => images.load(inPieces(buildLayout(sample, 'app:1')))])
      await assert.rejects(act(), error => {
        assert.ok(isUmiakError(error), `${what}: ${error}`);
        assert.match(error.message, /can't be (pulled|loaded): there is no space left on the disk of|do not fit: the disk has/, what);
        return true;
      });
    await rm(ballast);
    assert.deepEqual(await readdir(join(disk.path, 'content/sha256')), [], what);
    assert.deepEqual(await readdir(join(disk.path, 'content/ingest')), [], what);
    assert.deepEqual(await readdir(join(disk.path, 'layers')), ['empty'], what);
    assert.ok((await usedBytes(disk.path)) <= before + 64 * 1024, what);
  }
  assert.equal((await images.pull(name)).id, sample.configDigest);
});

test('the memory of a write does not grow with what is written', { timeout: 120_000 }, async () => {
  const MIB = 1 << 20;
  const most = process.env.UMIAK_SOAK ? 20_000 : 300;
  await using directory = await temporaryDirectory();
  const content = await ContentStore.open(directory.path);
  const piece = Buffer.alloc(MIB);
  const hash = createHash('sha256');
  for (let i = 0; i < most; i++) hash.update(piece);
  const digest = `sha256:${hash.digest('hex')}` as const;
  let peak = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < most; i++) {
      yield Buffer.alloc(MIB);
      if (i % 16 === 0) peak = Math.max(peak, process.memoryUsage.rss());
    }
  }
  using lease = content.lease();
  const before = process.memoryUsage.rss();
  await content.write(endless(), { lease, expected: { digest, size: most * MIB } });
  assert.equal(await content.verify(digest), 'right');
  peak = Math.max(peak, process.memoryUsage.rss());
  assert.ok(peak - before < 100 * MIB, `${Math.round((peak - before) / MIB)} MiB more for ${most} MiB`);
});
