import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { buildTar, type FixtureEntry } from '#images/fixtures.ts';
import { changeKinds } from '#images/layer-changes.ts';
import { readTar } from '#images/tar-reader.ts';
import { EngineBench } from '../test-bench.ts';
import { ContainerFiles } from './container-files.ts';

const bench = new EngineBench('files', 'crun');
let files: ContainerFiles;

before(async () => {
  await bench.open();
  files = new ContainerFiles({ engine: bench.engine, idleMs: 200 });
});
after(async () => {
  await files[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

/** Names and contents of an archive. */
async function archived(id: string, path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await files.archive(id, path, {}, async (_, archive) => {
    for await (const entry of readTar(archive)) {
      let content = entry.type === 'symlink' || entry.type === 'link' ? `-> ${entry.linkName}` : '';
      for await (const chunk of entry.body()) content += chunk.toString();
      found[entry.name] = content;
    }
  });
  return found;
}

async function* source(entries: FixtureEntry[]) {
  yield buildTar(entries);
}

const script =
  'mkdir -p /data/sub; echo one > /data/a; echo two > /data/sub/b; ln -s /data /link; ln -s nowhere /broken; mkfifo /data/fifo; ';

for (const [state, make] of [
  ['running', () => bench.start(`${script} sleep 1000`)],
  [
    'stopped',
    async () => {
      const { id } = await bench.start(script);
      return bench.exited(id);
    },
  ],
] as const)
  test(`a ${state} container: stat, archives in docker's names, and what is not there`, async () => {
    const { id } = await make();
    if (state === 'running')
      await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -p /data/fifo; do :; done'], timeoutMs: 10_000 });
    assert.deepEqual(await archived(id, '/data'), {
      'data/': '',
      'data/a': 'one\n',
      'data/fifo': '',
      'data/sub/': '',
      'data/sub/b': 'two\n',
    });
    assert.deepEqual(Object.keys(await archived(id, '/data/sub/.')), ['./', './b']);
    assert.deepEqual(await archived(id, 'data/../data/a'), { a: 'one\n' });
    assert.deepEqual(await archived(id, '/link'), { link: '-> /data' });
    assert.deepEqual(Object.keys(await archived(id, '/link/')), ['link/', 'link/a', 'link/fifo', 'link/sub/', 'link/sub/b']);
    assert.ok('/bin/busybox' in (await archived(id, '/')));
    const link = await files.stat(id, '/link');
    assert.deepEqual([link.name, link.linkTarget, link.mode], ['link', '/data', 2 ** 27 + 0o777]);
    assert.equal((await files.stat(id, '/broken')).linkTarget, '/nowhere');
    assert.equal((await files.stat(id, '/link/.')).mode, 2 ** 31 + 0o755);
    assert.equal((await files.stat(id, '/data/fifo')).mode, 2 ** 25 + 0o644);
    assert.equal((await files.stat(id, '/')).name, '/');
    for (const path of ['/nothing', '/broken/', '/data/nothing/x'])
      await assert.rejects(files.stat(id, path), error => isUmiakError(error, 'NotFound'), path);
    for (const path of ['/data/a/', '/data/a/x'])
      await assert.rejects(files.stat(id, path), error => isUmiakError(error, 'BadRequest'), path);
    await files.extract(
      id,
      '/link/sub',
      source([
        { name: 'new/deep/file', content: 'made', uid: 5, gid: 6, mode: 0o640 },
        { name: 'b', content: 'over' },
      ]),
      {},
    );
    assert.deepEqual(await archived(id, '/data/sub'), {
      'sub/': '',
      'sub/b': 'over',
      'sub/new/': '',
      'sub/new/deep/': '',
      'sub/new/deep/file': 'made',
    });
    const kinds = Object.fromEntries((await files.changes(id)).map(({ path, kind }) => [path, kind]));
    assert.deepEqual(kinds, {
      '/broken': changeKinds.added,
      ...Object.fromEntries(['/data', '/data/a', '/data/fifo', '/data/sub', '/data/sub/b'].map(path => [path, changeKinds.added])),
      ...Object.fromEntries(['/data/sub/new', '/data/sub/new/deep', '/data/sub/new/deep/file'].map(path => [path, changeKinds.added])),
      '/link': changeKinds.added,
    });
  });
