import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isUmiakError, type Reason } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { hexOf } from './digest.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { type ImageStoreOptions, openImages } from './images.ts';
import type { PullEvent } from './pull.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
let serial = 0;

before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

function freshOptions(options: Partial<ImageStoreOptions> = {}): ImageStoreOptions {
  return { dataDir: join(directory.path, `data-${++serial}`), log: silentLog, ...options };
}

const base = buildTar([{ name: 'base', content: randomBytes(300_000) }]);
const app = buildTar([{ name: 'app', content: randomBytes(200_000) }]);
const image = buildImage([base, app], { Cmd: ['/app'] });
const [configBlob, baseBlob, appBlob] = [image.configDigest, ...[...image.blobs.keys()].filter(digest => digest !== image.configDigest)];

function refusedWith(reason: Reason, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(isUmiakError(error, reason), String(error));
    assert.match(error.message, message);
    return true;
  };
}

test('a pull by tag goes through the token server, verifies, unpacks, reports and names the image', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('team/app', '1', image);
  await using images = await openImages(freshOptions());
  const events: PullEvent[] = [];
  const record = await images.pull(`${registry.host}/team/app:1`, { onProgress: event => void events.push(event) });
  assert.equal(record.id, image.configDigest);
  assert.deepEqual(record.repoTags, [`${registry.host}/team/app:1`]);
  assert.deepEqual(record.repoDigests, [`${registry.host}/team/app@${image.manifest.digest}`]);
  assert.deepEqual(await readdir(record.layers[0]!), ['app']);
  assert.deepEqual(await readdir(record.layers[1]!), ['base']);
  const seen = (digest: string | undefined) => new Set(events.filter(event => event.digest === digest).map(({ status }) => status));
  assert.deepEqual(seen(baseBlob), new Set(['downloading', 'downloaded', 'unpacking', 'unpacked']));
  assert.deepEqual(seen(configBlob), new Set(['downloading', 'downloaded']));

  const before = registry.requests.length;
  await images.pull(`${registry.host}/team/app:1`);
  assert.deepEqual(
    [registry.count('/blobs/'), registry.requests.slice(before).filter(request => request.includes('blobs')).length],
    [3, 0],
    'what is here is not fetched again',
  );
  const byDigest = await images.pull(`${registry.host}/team/app@${image.manifest.digest}`);
  assert.equal(byDigest.id, record.id);
});

test('credentials: asked for, given, wrong; basic and bearer', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('app', '1', image);
  registry.login = { username: 'ann', password: 'secret' };
  const reference = `${registry.host}/app:1`;
  for (const kind of ['bearer', 'basic'] as const) {
    registry.auth = kind;
    await using images = await openImages(freshOptions());
    await assert.rejects(images.pull(reference), refusedWith('Unauthorized', /login|answered 401: UNAUTHORIZED/));
    await assert.rejects(
      images.pull(reference, { auth: { username: 'ann', password: 'guess' } }),
      refusedWith('Unauthorized', /answered 401/),
    );
    await images.pull(reference, { auth: registry.login });
    await using configured = await openImages(freshOptions({ hosts: { [registry.host]: { auth: registry.login } } }));
    await configured.pull(reference);
  }
});

test('credentials don’t follow a redirect to another origin', async () => {
  await using registry = await RegistryFixture.start();
  await using blobs = await RegistryFixture.start();
  registry.add('app', '1', image);
  blobs.add('app', '1', image);
  registry.redirectTo = blobs;
  const leaked: (string | undefined)[] = [];
  for (let i = 0; i < 3; i++)
    blobs.faults.push(({ headers }) => {
      leaked.push(headers.authorization);
      return false;
    });
  await using images = await openImages(freshOptions());
  await images.pull(`${registry.host}/app:1`);
  assert.equal(blobs.count('/plain/'), 3);
  assert.ok(leaked.length > 0 && leaked.every(header => header === undefined));
});

test('an index gives this platform’s image, another on demand, and says what it has', async () => {
  await using registry = await RegistryFixture.start();
  const arm = buildImage([base], { Cmd: ['/arm'] });
  const digest = registry.addIndex('app', '1', [
    { platform: { os: 'linux', architecture: 's390x' }, image: arm },
    { platform: { os: 'linux', architecture: 'amd64' }, image },
  ]);
  await using images = await openImages(freshOptions({ platform: { os: 'linux', architecture: 'amd64' } }));
  const record = await images.pull(`${registry.host}/app:1`);
  assert.deepEqual([record.id, record.target.digest, record.repoDigests], [image.configDigest, digest, [`${registry.host}/app@${digest}`]]);
  assert.equal((await images.pull(`${registry.host}/app:1`, { platform: { os: 'linux', architecture: 's390x' } })).id, arm.configDigest);
  await assert.rejects(
    images.pull(`${registry.host}/app:1`, { platform: { os: 'linux', architecture: 'riscv64' } }),
    refusedWith('NotFound', /linux\/s390x, linux\/amd64/),
  );
});

test('pulls side by side download once, of one image and of images that share a layer', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('app', '1', image);
  registry.add('app', '2', buildImage([base], { Cmd: ['/other'] }));
  await using images = await openImages(freshOptions());
  const progress = [0, 0];
  const pulls = [0, 1].map(i => images.pull(`${registry.host}/app:1`, { onProgress: () => void progress[i]!++ }));
  await Promise.all([...pulls, images.pull(`${registry.host}/app:2`)]);
  assert.equal(registry.count(`blobs/${baseBlob}`), 1);
  assert.equal(registry.count(`blobs/${appBlob}`), 1);
  assert.ok(progress[0]! > 3 && progress[1]! > 3, 'both see the progress');
});

test('what passes is tried again: 503, 429, a connection cut in the middle of a blob', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('app', '1', image);
  const on =
    (text: string, act: (response: Parameters<RegistryFixture['faults'][number]>[1]) => void): RegistryFixture['faults'][number] =>
    ({ url, headers }, response) => {
      if (!url?.includes(text) || headers.authorization === undefined) return false;
      act(response);
      return true;
    };
  registry.faults.push(
    on('/manifests/', response => response.writeHead(503).end()),
    on(`/blobs/${configBlob}`, response => response.writeHead(429, { 'retry-after': '0' }).end()),
    on(`/blobs/${baseBlob}`, response => {
      response.writeHead(200, { 'content-length': 300_000 });
      response.write(Buffer.alloc(1000), () => response.destroy());
    }),
  );
  await using images = await openImages(freshOptions());
  assert.equal((await images.pull(`${registry.host}/app:1`)).id, image.configDigest);
  assert.equal(registry.faults.length, 0);
});

test('lying registries are refused and leave nothing', async () => {
  const corrupt = (at: string | undefined) => ({
    ...image,
    blobs: new Map([...image.blobs].map(([digest, bytes]) => [digest, digest === at ? Buffer.alloc(bytes.length, 'x') : bytes] as const)),
  });
  const otherLayer = {
    ...image,
    blobs: new Map([...image.blobs].map(([digest, bytes]) => [digest, digest === appBlob ? bytes.subarray(0, 100) : bytes] as const)),
  };
  const evil = buildImage([buildTar([{ name: '../evil', content: 'x' }])]);
  const notJson = { ...image, manifest: { ...image.manifest, bytes: Buffer.from('<html>') } };
  const v1 = { ...image, manifest: { ...image.manifest, bytes: Buffer.from('{"schemaVersion":1,"fsLayers":[]}') } };
  const table: [string, typeof image, Reason, RegExp][] = [
    ['an altered layer', corrupt(appBlob), 'Invalid', /its digest is/],
    ['an altered configuration', corrupt(configBlob), 'Invalid', /its digest is/],
    ['a short layer', otherLayer, 'Invalid', /announced/],
    ['a layer that leaves the root', evil, 'Invalid', /"\.\.\/evil"/],
    ['no JSON', notJson, 'Invalid', /not JSON/],
    ['schema 1', v1, 'Invalid', /schema 1/],
  ];
  for (const [what, lie, reason, message] of table) {
    await using registry = await RegistryFixture.start();
    registry.add('app', '1', lie);
    const options = freshOptions();
    await using images = await openImages(options);
    await assert.rejects(images.pull(`${registry.host}/app:1`), refusedWith(reason, message), what);
    // A download that was under way may end after the pull has failed: it leaves with the next prune.
    const blobs = () => readdir(join(options.dataDir, 'content/sha256'));
    for (const end = performance.now() + 5_000; performance.now() < end; await nextTurn()) {
      await images.prune();
      if ((await blobs()).length === 0) break;
    }
    assert.deepEqual(await blobs(), [], what);
    assert.deepEqual(await readdir(join(options.dataDir, 'layers')), ['empty'], what);
    assert.deepEqual(await images.list(), [], what);
  }
});

test('names that are not there and hosts that don’t answer are told apart', async () => {
  await using registry = await RegistryFixture.start();
  await using images = await openImages(freshOptions());
  await assert.rejects(
    images.pull(`${registry.host}/absent:1`),
    refusedWith('NotFound', /absent:1: the registry answered 404: MANIFEST_UNKNOWN/),
  );
  const { host } = registry;
  await registry[Symbol.asyncDispose]();
  await assert.rejects(images.pull(`${host}/absent:1`), refusedWith('ServiceUnavailable', /can't be reached/));
});

test('a pull that nobody waits for any more stops; others keep theirs', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('app', '1', image);
  const asked = Promise.withResolvers<void>();
  let release = () => {};
  registry.faults.push(({ url }, response) => {
    if (!url?.includes(`/blobs/${baseBlob}`)) return false;
    response.writeHead(200);
    response.write(image.blobs.get(baseBlob!)!.subarray(0, 10));
    release = () => response.end(image.blobs.get(baseBlob!)!.subarray(10));
    asked.resolve();
    return true;
  });
  await using images = await openImages(freshOptions());
  const [first, second] = [new AbortController(), new AbortController()];
  const pulls = [first, second].map(({ signal }) => images.pull(`${registry.host}/app:1`, { signal }));
  await asked.promise;
  first.abort(new Error('first has gone'));
  await assert.rejects(pulls[0]!, /first has gone/);
  release();
  assert.equal((await pulls[1]!).id, image.configDigest);
  assert.ok(hexOf(image.configDigest));
});

test('an endpoint of its own stands in for a registry', async () => {
  await using registry = await RegistryFixture.start();
  registry.add('library/app', '1', image);
  await using images = await openImages(freshOptions({ hosts: { 'docker.io': { endpoint: `http://${registry.host}` } } }));
  assert.deepEqual((await images.pull('app:1')).repoTags, ['docker.io/library/app:1']);
});
