import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { crashImages, crashLayer } from './crash-fixture.ts';
import { digestOf } from './digest.ts';
import { buildImage, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

/** Moments of each test; many more in the soak. */
const ROUNDS = Number(process.env.SOAK_ROUNDS ?? (process.env.UMIAK_SOAK ? 500 : 20));

/** Runs the fixture until it has said `lines` lines, and a bit; returns all it said. */
async function runAndKill(dataDir: string, start: number, lines: number, moreMs: number, ...host: string[]): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-fixture.ts'), dataDir, String(start), ...host], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  const ended = new Promise(resolve => child.once('close', (_code, signal) => resolve(signal)));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const had = said.split('\n').length;
    said += text;
    if (had <= lines && said.split('\n').length > lines) setTimeout(() => child.kill('SIGKILL'), moreMs);
  });
  assert.equal(await ended, 'SIGKILL', 'it ended by itself');
  return said.split('\n').slice(0, -1);
}

test('kill -9 at any moment loses no image that was promised and leaves nothing half-made', { timeout: 3_600_000 }, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  await using directory = await temporaryDirectory();
  const promised = new Set<number>();
  const removed = new Set<number>();
  let next = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const line of await runAndKill(directory.path, next, 1 + Math.floor(random() * 12), random() * 40)) {
      const i = Number(line.slice(1));
      if (line.startsWith('+')) promised.add(i);
      else promised.delete(i);
      if (line.startsWith('-')) removed.add(i);
      next = Math.max(next, i);
    }
    next += 2;
    await using images = await openImages({ dataDir: directory.path, log: silentLog });
    const tags = new Set((await images.list()).flatMap(({ repoTags }) => repoTags));
    const what = `seed ${seed}, round ${round}`;
    for (const i of promised) assert.ok(tags.has(`docker.io/library/app:${i}`), `${what}: app:${i} is lost`);
    for (const i of removed) assert.ok(!tags.has(`docker.io/library/app:${i}`), `${what}: app:${i} has come back`);
    assert.ok(promised.size === 0 || tags.has('docker.io/library/moving:latest'), what);
    await checkStore(images, directory.path, what);
  }
});

test('kill -9 at any moment of a pull, a push or a collection: what was promised is there, in the registry too', {
  timeout: 240_000,
}, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  await using directory = await temporaryDirectory();
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  for (let i = 0; i < crashImages; i++) registry.add('app', String(i), buildImage([crashLayer(i), crashLayer(-1)]));
  const promised = new Set<number>();
  let next = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const what = `seed ${seed}, round ${round}`;
    for (const line of await runAndKill(directory.path, next, 1 + Math.floor(random() * 6), random() * 60, registry.host)) {
      const i = Number(line.slice(1));
      if (line.startsWith('>')) {
        next = i + 1;
        assert.equal((await fetch(`http://${registry.host}/v2/copy/manifests/${i}`)).status, 200, `${what}: copy:${i} was pushed`);
      } else if (line.startsWith('+')) promised.add(i);
      else promised.delete(i);
    }
    await using images = await openImages({ dataDir: directory.path, log: silentLog });
    for (const i of promised) assert.equal((await images.inspect(`${registry.host}/app:${i}`)).isPinned, true, `${what}: app:${i}`);
    await checkStore(images, directory.path, what);
    const { corrupt, damaged, quarantine } = await images.verify();
    assert.deepEqual([corrupt, damaged, quarantine], [[], [], []], what);
  }
});

/** Every image is whole, and nothing half-made is left. */
async function checkStore(images: ImageStore, dataDir: string, what: string): Promise<void> {
  for (const { id, layers } of await images.list()) {
    await images.ensureUnpacked(id);
    for (const lower of layers) {
      const names = await readdir(lower);
      const only = names.find(name => name.startsWith('only-'))!;
      const i = only.slice('only-'.length);
      assert.equal(await readFile(join(lower, only), 'utf8'), i.repeat(20_000), what);
      assert.equal((await readdir(join(lower, 'dir'))).length, 20, what);
    }
  }
  await images.prune({ untagged: false });
  const blobs = await readdir(join(dataDir, 'content/sha256'));
  for (const hex of blobs) assert.equal(digestOf(await readFile(join(dataDir, 'content/sha256', hex))), `sha256:${hex}`, what);
  assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), [], what);
  assert.ok(!(await readdir(join(dataDir, 'layers'))).some(name => name.startsWith('tmp-')), what);
}
