import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { isUmiakError } from '#base/errors.ts';
import { createLog } from '#base/log.ts';
import { getXattr, listXattrs, makeNode, setXattr } from '#linux/file-attributes.ts';
import { commitLayer } from './commit-layer.ts';
import { digestOf } from './digest.ts';
import { temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';
import { hostPlatform, mediaTypes } from './oci.ts';
import { unpackLayer } from './unpack.ts';

const bytes = (path: string) => Buffer.from(path);
const isText = (name: string) => !name.includes('\ufffd');

/** Everything that a layer says of a tree, by path. */
function describe(root: string, path = ''): Record<string, unknown> {
  const here = join(root, path);
  const stat = lstatSync(here, { bigint: true });
  const { uid, gid, mode, nlink, rdev, mtimeNs } = stat;
  const isWhiteout = stat.isCharacterDevice() && rdev === 0n;
  const xattrs = listXattrs(bytes(here)).map(name => [name, getXattr(bytes(here), name)?.toString('hex')]);
  const content = stat.isFile() ? digestOf(readFileSync(here)) : stat.isSymbolicLink() ? readlinkSync(here) : '';
  const its =
    path === ''
      ? {}
      : { [path]: [uid, gid, mode, stat.isDirectory() ? 0 : nlink, rdev, isWhiteout ? 0 : mtimeNs, xattrs, content].map(String) };
  if (!stat.isDirectory()) return its;
  return Object.assign(
    its,
    ...readdirSync(here)
      .filter(isText)
      .map(name => describe(root, join(path, name))),
  );
}

function fill(upper: string): void {
  mkdirSync(join(upper, 'etc/deep'), { recursive: true });
  mkdirSync(join(upper, 'replaced'));
  writeFileSync(join(upper, 'etc/hosts'), 'x'.repeat(100_000), { mode: 0o4751 });
  linkSync(join(upper, 'etc/hosts'), join(upper, 'etc/deep/hosts'));
  writeFileSync(join(upper, 'empty'), '');
  writeFileSync(join(upper, `long-${'n'.repeat(200)}`), 'long');
  writeFileSync(Buffer.concat([bytes(`${upper}/`), Buffer.from([0x66, 0xff, 0xfe])]), 'no UTF-8');
  symlinkSync('../../etc/shadow', join(upper, 'etc/link'));
  makeNode(bytes(join(upper, 'gone')), 'char', 0);
  makeNode(bytes(join(upper, 'etc/null')), 'char', 0o666, 1, 3);
  makeNode(bytes(join(upper, 'fifo')), 'fifo', 0o600);
  setXattr(bytes(join(upper, 'replaced')), 'trusted.overlay.opaque', Buffer.from('y'));
  setXattr(bytes(join(upper, 'etc')), 'trusted.overlay.impure', Buffer.from('y'));
  setXattr(bytes(join(upper, 'etc/hosts')), 'trusted.overlay.origin', Buffer.from('whence'));
  setXattr(bytes(join(upper, 'etc/hosts')), 'user.note', Buffer.from('a\0b'));
  execFileSync('chown', ['-h', '7:8', join(upper, 'etc/link'), join(upper, 'etc/deep')]);
  for (const [name, at] of [
    ['empty', 3_000_000_000.123456],
    ['etc/hosts', 0],
  ] as const)
    utimesSync(join(upper, name), at, at);
  execFileSync('dd', ['if=/dev/urandom', `of=${join(upper, 'sparse')}`, 'bs=4096', 'count=3', 'seek=5000', 'status=none']);
  truncateSync(join(upper, 'sparse'), 60 << 20);
}

const request = (source: string, blobPath: string) => ({ source, blobPath, cancelled: new Int32Array(new SharedArrayBuffer(4)) });

/** `commitLayer` runs in worker threads only. */
function inWorker(call: Parameters<typeof commitLayer>[0]): Promise<ReturnType<typeof commitLayer>> {
  const code = `import('${new URL('./commit-layer.ts', import.meta.url)}').then(({ commitLayer }) => {
    const { parentPort, workerData } = require('node:worker_threads');
    parentPort.postMessage(commitLayer(workerData));
  })`;
  const { promise, resolve, reject } = Promise.withResolvers<ReturnType<typeof commitLayer>>();
  new Worker(code, { eval: true, workerData: call }).once('message', resolve).once('error', reject);
  return promise;
}

test('a layer holds all that the directory does, and comes out of its archive as it was', async () => {
  await using directory = await temporaryDirectory();
  const [upper, again] = [join(directory.path, 'upper'), join(directory.path, 'again')];
  mkdirSync(upper);
  mkdirSync(again);
  fill(upper);
  const first = await inWorker({ ...request(upper, join(directory.path, 'blob')) });
  const second = await inWorker({ ...request(upper, join(directory.path, 'blob2')), target: join(directory.path, 'taken') });
  assert.equal(first.diffId, second.diffId, 'the same directory gives the same bytes');
  assert.equal(first.diffId, digestOf(readFileSync(join(directory.path, 'blob'))));
  assert.equal(lstatSync(join(directory.path, 'blob')).size, first.sizeBytes);
  assert.ok(first.sizeBytes < 1 << 20, 'holes take no room');
  const { diffId } = await unpackLayer(join(directory.path, 'blob'), again);
  assert.equal(diffId, first.diffId);
  assert.ok(second.isMoved && !existsSync(upper));
  assert.deepEqual(describe(join(directory.path, 'taken')), describe(again), 'what was taken is what the archive unpacks to');
  assert.equal(lstatSync(join(again, 'sparse')).size, 60 << 20);
  assert.match(
    execFileSync('tar', ['tf', join(directory.path, 'blob')], { encoding: 'utf8' }),
    /^empty\netc\/\n.*replaced\/\.wh\.\.wh\.\.opq/s,
  );
});

test('an image of committed layers runs, is saved and loads elsewhere without the directory being unpacked', async () => {
  await using directory = await temporaryDirectory();
  const log = createLog({ level: 'warn' });
  const upper = join(directory.path, 'upper');
  mkdirSync(upper);
  fill(upper);
  const inode = lstatSync(join(upper, 'empty')).ino;
  await using images = await openImages({ dataDir: join(directory.path, 'data'), log });
  using lease = images.content.lease();
  const layer = await images.commitLayer(upper, { lease, takes: true });
  assert.ok(!existsSync(upper));
  assert.equal(lstatSync(join(images.layerDirectory(layer.diffId), 'empty')).ino, inode, 'the very directory');
  await images.prune();
  const config = { ...hostPlatform(), config: {}, rootfs: { type: 'layers', diff_ids: [layer.diffId] } };
  const document = async (mediaType: string, value: unknown) => ({
    mediaType,
    ...(await images.content.writeDocument(Buffer.from(JSON.stringify(value)), lease)),
  });
  const manifest = await document(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: await document(mediaTypes.ociConfig, config),
    layers: [{ mediaType: mediaTypes.ociLayer, digest: layer.digest, size: layer.sizeBytes }],
  });
  const [record] = await images.adopt([{ names: ['docker.io/library/made:1'], target: manifest, manifest }]);
  assert.deepEqual(record?.layers, [images.layerDirectory(layer.diffId)]);
  await using elsewhere = await openImages({ dataDir: join(directory.path, 'elsewhere'), log });
  const [loaded] = await elsewhere.load(await images.save(['made:1']));
  assert.equal(loaded?.id, record?.id);
  assert.deepEqual(describe(loaded!.layers[0]!), describe(record!.layers[0]!));
});

test('the same content twice is one layer; nothing is left of a commit that was given up', async () => {
  await using directory = await temporaryDirectory();
  await using images = await openImages({ dataDir: join(directory.path, 'data'), log: createLog({ level: 'warn' }) });
  using lease = images.content.lease();
  const make = (name: string) => {
    mkdirSync(join(directory.path, name));
    writeFileSync(join(directory.path, name, 'file'), 'x'.repeat(1 << 24));
    utimesSync(join(directory.path, name, 'file'), 1, 1);
    return join(directory.path, name);
  };
  const first = await images.commitLayer(make('a'), { lease, takes: true });
  assert.deepEqual(await images.commitLayer(make('b'), { lease, takes: true }), first);
  assert.deepEqual(readdirSync(directory.path), ['data']);
  const leaving = new AbortController();
  const given = images.commitLayer(make('c'), { lease, takes: true, signal: leaving.signal });
  leaving.abort(new Error('nobody waits'));
  await assert.rejects(given, /nobody waits/);
  assert.deepEqual(readdirSync(join(directory.path, 'data/content/ingest')), []);
  assert.equal(readdirSync(join(directory.path, 'data/layers')).length, 2, 'the empty one, and the one that was made');
});

test('a directory that becomes a link meanwhile leads nowhere; what no layer can hold is refused by name', async () => {
  await using directory = await temporaryDirectory();
  const upper = join(directory.path, 'upper');
  mkdirSync(join(directory.path, 'secret'));
  writeFileSync(join(directory.path, 'secret/key'), 'TOP SECRET');
  mkdirSync(join(upper, 'swapped'), { recursive: true });
  for (let i = 0; i < 200; i++) writeFileSync(join(upper, `swapped/${i}`), 'plain');
  symlinkSync(join(directory.path, 'secret'), join(upper, 'link'));
  let commits = 0;
  const swapping = (async () => {
    while (commits < 8) {
      for (const [from, to] of [
        ['swapped', 'x'],
        ['link', 'swapped'],
        ['swapped', 'link'],
        ['x', 'swapped'],
      ] as const)
        renameSync(join(upper, from), join(upper, to));
      await new Promise(setImmediate);
    }
  })();
  for (; commits < 8; commits++) {
    const blob = join(directory.path, `blob${commits}`);
    await inWorker(request(upper, blob)).catch(error => assert.match(String(error), /can't be archived/));
    if (existsSync(blob)) assert.ok(!readFileSync(blob).includes('TOP SECRET'));
  }
  await swapping;
  writeFileSync(join(upper, '.wh.name'), '');
  await assert.rejects(
    inWorker(request(upper, join(directory.path, 'bad'))),
    /"\/\.wh\.name" can't be archived: an image has no files called/,
  );
  assert.ok(!existsSync(join(directory.path, 'bad')));
  assert.throws(
    () => commitLayer(request(upper, join(directory.path, 'bad'))),
    error => isUmiakError(error, 'InternalError'),
  );
});

test('of a whole root file system the layer is what differs from the layers that it was made of', async () => {
  await using directory = await temporaryDirectory();
  const [below, above, whole, again] = ['below', 'above', 'whole', 'again'].map(name => join(directory.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const path of [below, above, whole, again]) mkdirSync(path);
  for (const [root, names] of [
    [below, ['kept', 'gone', 'changed', 'dir/kept', 'dir/gone', 'hidden/by-above']],
    [above, ['upper']],
    [whole, ['kept', 'changed', 'dir/kept', 'upper', 'new/file', 'etc/hosts']],
  ] as const)
    for (const name of names) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), name === 'etc/hosts' ? '' : name);
      utimesSync(join(root, name), 1, 1);
    }
  makeNode(bytes(join(above, 'hidden')), 'char', 0);
  writeFileSync(join(whole, 'changed'), 'otherwise');
  await inWorker({ ...request(whole, join(directory.path, 'blob')), layers: [above, below], mountPoints: ['/etc', '/etc/hosts'] });
  await unpackLayer(join(directory.path, 'blob'), again);
  const whiteouts = ['gone', 'dir/gone'];
  assert.deepEqual(Object.keys(describe(again)).sort(), ['changed', 'dir', 'new', 'new/file', ...whiteouts].sort());
  for (const name of whiteouts) assert.ok(lstatSync(join(again, name)).isCharacterDevice(), name);
});
