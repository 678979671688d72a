import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dns from 'node:dns';
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { isUmiakError, type Reason } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { CertificateAuthority } from '#pki/ca.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { type ImageStore, openImages } from './images.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
let serial = 0;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

const image = buildImage([buildTar([{ name: 'app', content: randomBytes(100_000) }])]);
const layer = [...image.blobs.keys()].find(digest => digest !== image.configDigest) ?? '';

/** A store of its own, and a way to write its registries' files. */
async function open(): Promise<
  { images: ImageStore; dataDir: string; hosts: (folder: string, text: string) => Promise<string> } & AsyncDisposable
> {
  const dataDir = join(directory.path, `data-${++serial}`);
  const images = await openImages({ dataDir, log: silentLog });
  const hosts = async (folder: string, text: string) => {
    const file = join(dataDir, 'certs.d', folder, 'hosts.toml');
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, text);
    return file;
  };
  return { images, dataDir, hosts, [Symbol.asyncDispose]: () => images[Symbol.asyncDispose]() };
}

async function serving(...repositories: string[]): Promise<RegistryFixture> {
  const registry = await RegistryFixture.start();
  for (const repository of repositories) registry.add(repository, '1', image);
  return registry;
}

const underscored = (host: string) => `${host.replace(':', '_')}_`;
const pull = async ({ images }: { images: ImageStore }, reference: string) => (await images.pull(reference, { unpack: false })).id;

function refusedWith(reason: Reason, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(isUmiakError(error, reason), String(error));
    assert.match(error.message, message);
    return true;
  };
}

test('a mirror stands in for a registry, at its path and with its headers; the registry is not asked', async () => {
  await using mirror = await serving('cache/library/app');
  await using origin = await serving('library/app');
  await using store = await open();
  mirror.auth = 'none';
  const seen = new Set<string>();
  mirror.faults.push(({ url, headers }) => {
    seen.add(`${headers['x-token']} ${new URL(url ?? '', 'http://m').searchParams.get('ns')}`);
    return false;
  });
  const [file, header] = [
    `server = "http://${origin.host}"\n[host."http://${mirror.host}/v2/cache"]\n`,
    'override_path = true\nheader = { X-Token = "t" }',
  ];
  await store.hosts('docker.io', file + header);
  assert.equal(await pull(store, 'app:1'), image.configDigest);
  assert.deepEqual([...seen], ['t docker.io']);
  assert.equal(origin.requests.length, 0);
});

test('what a mirror lacks, gives wrong or can’t give comes from the registry; who is silent is asked once', async () => {
  await using empty = await serving();
  await using liar = await RegistryFixture.start();
  await using gone = await serving();
  await using origin = await serving('app');
  await using store = await open();
  for (const registry of [empty, liar]) registry.auth = 'none';
  liar.add('app', '1', { ...image, blobs: new Map([...image.blobs].map(([digest, bytes]) => [digest, Buffer.alloc(bytes.length)])) });
  const deaf = gone.host;
  await gone[Symbol.asyncDispose]();
  const mirrors = [deaf, empty.host, liar.host].map(host => `[host."http://${host}"]\ncapabilities = ["pull", "resolve"]\n`);
  await store.hosts(underscored(origin.host), mirrors.join(''));
  const started = performance.now();
  assert.equal(await pull(store, `${origin.host}/app:1`), image.configDigest);
  assert.ok(performance.now() - started < 2_000, 'nobody waits for a mirror that is down');
  assert.deepEqual([liar.count('/manifests/'), liar.count(`/blobs/${layer}`)], [1, 1]);
  assert.ok(origin.count(`/blobs/${layer}`) > 0 && origin.count('/manifests/') === 0);
});

test('a mirror that only pulls is not asked what a tag means; credentials of the registry do not reach it', async () => {
  await using mirror = await serving('app');
  await using origin = await serving('app');
  await using store = await open();
  mirror.auth = 'none';
  const told: (string | undefined)[] = [];
  mirror.faults.push(({ headers }) => {
    told.push(headers.authorization);
    return false;
  });
  origin.login = { username: 'ann', password: 'secret' };
  await store.hosts(origin.host, `[host."http://${mirror.host}"]\ncapabilities = ["pull"]`);
  await store.images.pull(`${origin.host}/app:1`, { unpack: false, auth: origin.login });
  assert.deepEqual([mirror.count('/manifests/'), origin.count('/blobs/'), mirror.count('/blobs/')], [0, 0, 2]);
  assert.deepEqual(new Set(told), new Set([undefined]));
});

test('a mirror that does not take the connection holds up by its dial_timeout, once', async t => {
  await using origin = await serving('app');
  await using store = await open();
  const looked = t.mock.method(dns, 'lookup', () => {});
  await store.hosts(underscored(origin.host), '[host."http://mirror.invalid"]\ndial_timeout = "60ms"');
  assert.equal(await pull(store, `${origin.host}/app:1`), image.configDigest);
  assert.equal(looked.mock.callCount(), 1);
});

test('when all fail, the error names what each said', async () => {
  await using mirror = await serving();
  await using origin = await serving();
  await using store = await open();
  await store.hosts('_default', `[host."http://${mirror.host}"]`);
  await assert.rejects(
    pull(store, `${origin.host}/app:1`),
    refusedWith('NotFound', new RegExp(`answered 404.*; before it were asked: http://${mirror.host}: .*answered 404`)),
  );
});

test('a file counts when its registry is asked, and again when it has changed; a bad one is refused with its name', async () => {
  await using origin = await serving('app');
  await using store = await open();
  const reference = `${origin.host}/app:1`;
  const file = await store.hosts(underscored(origin.host), 'sever = "x"');
  await assert.rejects(pull(store, reference), refusedWith('Invalid', new RegExp(`^${file}: sever: is not known here`)));
  await store.hosts(underscored(origin.host), 'ca = "absent.pem"');
  await assert.rejects(pull(store, reference), refusedWith('Invalid', /hosts\.toml: ca: .*absent\.pem can't be used: ENOENT/));
  await store.hosts(underscored(origin.host), 'server = "http://127.0.0.1:1"\ncapabilities = ["push"]');
  await assert.rejects(pull(store, reference), refusedWith('Invalid', /has the capability resolve/));
  // The same size, another time.
  await store.hosts(underscored(origin.host), `server = "http://${origin.host}" #`.padEnd(57));
  await utimes(file, 1, 1);
  assert.equal(await pull(store, reference), image.configDigest);
  await rm(file);
  assert.equal(await pull(store, reference), image.configDigest);
});

test('private authorities, client certificates and skipped verification', async () => {
  const authority = await CertificateAuthority.open({ directory: join(directory.path, 'ca'), clock: systemClock, commonName: 'house' });
  const pair = await authority.issue({ commonName: 'registry', hosts: ['127.0.0.1'], usages: ['serverAuth'] });
  const me = await authority.issue({ commonName: 'me', usages: ['clientAuth'] });
  await using registry = await RegistryFixture.start({
    cert: pair.certificate,
    key: pair.key,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  registry.auth = 'none';
  registry.add('app', '1', image);
  await using store = await open();
  const folder = underscored(registry.host);
  const file = await store.hosts(folder, '');
  const beside = (name: string, text: string) => writeFile(join(file, '..', name), text);
  await Promise.all([beside('ca.pem', authority.certificate), beside('me.cert', me.certificate), beside('me.key', me.key)]);
  const server = `server = "https://${registry.host}"\n`;
  const client = 'client = [["me.cert", "me.key"]]\n';
  const table: [string, RegExp | undefined][] = [
    [`${server}${client}skip_verify = false`, /can't be reached: .*certificate/],
    [`${server}ca = "ca.pem"`, /can't be reached/],
    [`${server}ca = "ca.pem"\n${client}`, undefined],
    [`${server}skip_verify = true\n${client}`, undefined],
    [`${client}ca = "ca.pem"\n[host."http://127.0.0.1:1"]\ndial_timeout = "50ms"`, undefined],
  ];
  for (const [text, message] of table) {
    await using fresh = await open();
    await fresh.hosts(
      folder,
      text.replaceAll(/"(ca\.pem|me\.\w+)"/g, (_, name: string) => JSON.stringify(join(file, '..', name))),
    );
    if (message) await assert.rejects(pull(fresh, `${registry.host}/app:1`), refusedWith('ServiceUnavailable', message), text);
    else assert.equal(await pull(fresh, `${registry.host}/app:1`), image.configDigest, text);
  }
});
