import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, type Reason } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { serveRegistry } from '#tests/registry.ts';
import { type Digest, digestOf } from './digest.ts';
import { buildImage, buildLayout, buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, openImages } from './images.ts';
import type { PushEvent } from './push.ts';
import { RegistryFixture } from './registry-fixture.ts';
import { RegistryPush } from './registry-push.ts';

let directory: AsyncDisposable & { path: string };
let serial = 0;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

const small = buildTar([{ name: 'small', content: randomBytes(3000) }]);
const large = buildTar([{ name: 'large', content: randomBytes(2_500_000) }]);
const image = buildImage([small, large], { Cmd: ['/app'] });

async function storeWith(...names: string[]): Promise<ImageStore> {
  const images = await openImages({ dataDir: join(directory.path, `data-${++serial}`), log: silentLog });
  for (const name of names) await images.load(inPieces(buildLayout(image, name)), { unpack: false });
  return images;
}

function refusedWith(reason: Reason, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(isUmiakError(error, reason), String(error));
    assert.match(error.message, message);
    return true;
  };
}

test('a push sends each blob once, tags last, with the rights it asked for; what comes back by a pull is the same', async () => {
  await using registry = await RegistryFixture.start();
  registry.login = { username: 'ann', password: 'secret' };
  const name = `${registry.host}/team/app:1`;
  await using images = await storeWith(name);
  const events: PushEvent[] = [];
  const auth = registry.login;
  const pushed = await images.push(name, { auth, onProgress: event => void events.push(event) });
  assert.deepEqual(pushed, [{ name, digest: image.manifest.digest, sizeBytes: image.manifest.bytes.length }]);
  assert.deepEqual(
    events.filter(({ status }) => status !== 'uploading').map(({ status }) => status),
    ['preparing', 'uploaded', 'uploaded', 'uploaded', 'pushed'],
  );
  assert.equal(events.filter(({ status }) => status === 'uploading').at(-1)?.status, 'uploading', 'progress is told');
  assert.equal(
    registry.uploadedBytes,
    [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0),
  );
  assert.equal(registry.requests.at(-1), 'PUT /v2/team/app/manifests/1');

  const again: PushEvent[] = [];
  await images.push(name, { auth, onProgress: event => void again.push(event) });
  assert.deepEqual(again.map(({ status }) => status).slice(1, -1), ['exists', 'exists', 'exists'], 'what is there is not sent again');

  await using other = await storeWith();
  assert.equal((await other.pull(name, { auth })).manifestDigest, image.manifest.digest);
});

test('blobs of another repository of the registry are mounted; all tags go with allTags', async () => {
  await using registry = await RegistryFixture.start();
  const [one, two] = [`${registry.host}/team/one:1`, `${registry.host}/team/two:1`];
  await using images = await storeWith(one);
  await images.push(one);
  const { uploadedBytes } = registry;
  await images.tag(one, two);
  await images.tag(one, `${registry.host}/team/two:2`);
  const events: PushEvent[] = [];
  const pushed = await images.push(`${registry.host}/team/two`, { allTags: true, onProgress: event => void events.push(event) });
  assert.deepEqual(pushed.map(each => each.name).sort(), [two, `${registry.host}/team/two:2`]);
  assert.equal(registry.uploadedBytes, uploadedBytes, 'no byte was sent');
  const mounted = events.filter(event => event.status === 'mounted');
  assert.deepEqual([mounted.length, mounted[0]?.from], [3, 'team/one']);
});

test('an index goes whole when all its platforms are here, else the one image', async () => {
  await using source = await RegistryFixture.start();
  const foreign = buildImage([buildTar([{ name: 'arm', content: 'x' }])]);
  const index = source.addIndex('app', 'multi', [
    { platform: { os: 'linux', architecture: 'amd64' }, image },
    { platform: { os: 'linux', architecture: 'arm64' }, image: foreign },
  ]);
  await using target = await RegistryFixture.start();
  await using images = await storeWith();
  const name = `${target.host}/app:multi`;
  const platform = { os: 'linux', architecture: 'amd64' };
  await images.pull(`${source.host}/app:multi`, { unpack: false, platform });
  await images.tag(`${source.host}/app:multi`, name);
  assert.deepEqual(
    (await images.push(name)).map(({ digest }) => digest),
    [image.manifest.digest],
  );
  await images.pull(`${source.host}/app:multi`, { unpack: false, platform: { os: 'linux', architecture: 'arm64' } });
  await images.tag(`${source.host}/app:multi`, name);
  const whole = (await images.push(name)).map(({ digest }) => digest);
  assert.deepEqual(whole, [index]);
});

test('what can’t be pushed is said: no such name, no right, a blob that the disk altered', async () => {
  await using registry = await RegistryFixture.start();
  const name = `${registry.host}/app:1`;
  await using images = await storeWith(name);
  await assert.rejects(images.push(`${registry.host}/other:1`), refusedWith('NotFound', /no image is named/));
  registry.login = { username: 'ann', password: 'secret' };
  await assert.rejects(images.push(name, { auth: { username: 'ann', password: 'guess' } }), refusedWith('Unauthorized', /401/));
  registry.login = undefined;
  registry.faults.push(
    ({ method }, response) => method === 'PUT' && Boolean(response.writeHead(403).end('{"errors":[{"code":"DENIED"}]}')),
  );
  await assert.rejects(images.push(name), refusedWith('Forbidden', /DENIED/));
  const layer = [...image.blobs.keys()].find(digest => digest !== image.configDigest)!;
  await writeFile(images.content.path(layer), Buffer.alloc(image.blobs.get(layer)!.length));
  const elsewhere = `${registry.host}/elsewhere:1`;
  await images.tag(name, elsewhere);
  await images.remove(name);
  await assert.rejects(images.push(elsewhere), refusedWith('NotFound', /altered on disk and is in quarantine/));
  await assert.rejects(images.push(elsewhere), refusedWith('NotFound', /a part of it is not in the content store/));
});

/** One blob of 3 MB to a registry that fails as told; returns what came of it. Pauses are noted, not waited for. */
async function upload({ faults = [], cuts = [] }: { faults?: RegistryFixture['faults']; cuts?: number[] } = {}) {
  await using registry = await RegistryFixture.start();
  registry.faults.push(...faults);
  registry.cutUploadsAfter.push(...cuts);
  const bytes = randomBytes(3_000_000);
  const digest: Digest = digestOf(bytes);
  const starts: number[] = [];
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    after(ms, act) {
      pauses.push(ms);
      return systemClock.after(0, act);
    },
  };
  using push = new RegistryPush({ registry: registry.host, repository: 'app', clock, random: () => 0.5, idleTimeoutMs: 1000 });
  const read = (start: number) => {
    starts.push(start);
    return inPieces(bytes.subarray(start), 100_000);
  };
  const outcome = await push.blob({ digest, size: bytes.length, read }).catch(error => error);
  return { outcome, starts, pauses, requests: registry.requests, uploadedBytes: registry.uploadedBytes };
}

const refusing =
  (wanted: string, status: number, headers: Record<string, string> = {}): RegistryFixture['faults'][number] =>
  ({ method }, response) =>
    method === wanted && Boolean(response.writeHead(status, headers).end('{"errors":[{"code":"TESTED"}]}'));

test('an upload that breaks off goes on where the registry is; one that it forgot begins anew', async () => {
  assert.deepEqual((await upload()).starts, [0]);
  const resumed = await upload({ cuts: [1_000_000, 500_000] });
  assert.equal(resumed.outcome, 'uploaded');
  assert.equal(resumed.starts.length, 3);
  assert.ok(resumed.starts[1]! >= 1_000_000 && resumed.starts[2]! >= resumed.starts[1]! + 500_000, String(resumed.starts));
  assert.equal(resumed.uploadedBytes, 3_000_000, 'no byte twice');
  const anew = await upload({ faults: [refusing('PATCH', 404)] });
  assert.equal(anew.outcome, 'uploaded');
  assert.equal(anew.requests.filter(each => each.startsWith('POST')).length, 2);
});

test('busy, broken and silent registries are asked again, within bounds and as late as they ask', async () => {
  const busy = refusing('POST', 429, { 'retry-after': '7' });
  const patient = await upload({ faults: [busy, refusing('POST', 503)] });
  assert.deepEqual([patient.outcome, patient.pauses], ['uploaded', [7000, 1000]]);
  const never = await upload({ faults: Array.from({ length: 50 }, () => refusing('POST', 503)) });
  assert.ok(isUmiakError(never.outcome, 'ServiceUnavailable'), String(never.outcome));
  assert.ok(never.requests.length < 20, `${never.requests.length} requests`);
  const silent: RegistryFixture['faults'][number] = ({ method }) => method === 'PUT';
  assert.equal((await upload({ faults: [silent] })).outcome, 'uploaded');
  const refused = await upload({ faults: [refusing('POST', 403)] });
  assert.ok(isUmiakError(refused.outcome, 'Forbidden'), String(refused.outcome));
});

test('Debian’s registry takes what we push, and skopeo finds it there', async () => {
  await using registry = await serveRegistry(join(directory.path, 'registry'));
  const name = `${registry.host}/team/app:pushed`;
  await using images = await storeWith(name);
  await images.push(name);
  await images.tag(name, `${registry.host}/team/copy:1`);
  const events: PushEvent[] = [];
  await images.push(`${registry.host}/team/copy:1`, { onProgress: event => void events.push(event) });
  assert.equal(events.filter(({ status }) => status === 'mounted').length, 3, 'a real registry mounts, too');
  await using other = await storeWith();
  const record = await other.pull(`${registry.host}/team/copy:1`);
  assert.equal(record.manifestDigest, `sha256:${createHash('sha256').update(image.manifest.bytes).digest('hex')}`);
});
