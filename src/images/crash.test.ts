import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { digestOf } from './digest.ts';
import { temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';

const ROUNDS = Number(process.env.SOAK_ROUNDS ?? 6);

/** Runs the fixture until it has said `lines` lines, and a bit; returns all it said. */
async function runAndKill(dataDir: string, start: number, lines: number, moreMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-fixture.ts'), dataDir, String(start)], {
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

test('kill -9 at any moment loses no image that was promised and leaves nothing half-made', { timeout: 120_000 }, async () => {
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
    const blobs = await readdir(join(directory.path, 'content/sha256'));
    for (const hex of blobs) assert.equal(digestOf(await readFile(join(directory.path, 'content/sha256', hex))), `sha256:${hex}`, what);
    assert.deepEqual(await readdir(join(directory.path, 'content/ingest')), [], what);
    assert.ok(!(await readdir(join(directory.path, 'layers'))).some(name => name.startsWith('tmp-')), what);
  }
});
