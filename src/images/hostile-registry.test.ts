import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, ManualClock, systemClock } from '#base/clock.ts';
import { isUmiakError, type Reason, UmiakError } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { hexOf } from './digest.ts';
import { buildImage, buildTar, temporaryDirectory } from './fixtures.ts';
import { HttpClient, readBody } from './http-client.ts';
import { openImages } from './images.ts';
import { parseChallenges } from './registry-auth.ts';
import { RegistryClient } from './registry-client.ts';
import { mayPass, planPause } from './registry-errors.ts';
import { RegistryFixture } from './registry-fixture.ts';
import { Slots } from './slots.ts';

let directory: AsyncDisposable & { path: string };
let serial = 0;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

const clock: Clock = { ...systemClock, after: (_, act) => systemClock.after(0, act) };
const image = buildImage([buildTar([{ name: 'app', content: randomBytes(50_000) }])]);
const layer = [...image.blobs.keys()].find(digest => digest !== image.configDigest)!;

/** Pulls from a registry that answers paths with `text` by `act`, always; returns the failure and what is left on the disk. */
async function pullFrom(text: string, act: (request: IncomingMessage, response: ServerResponse, registry: RegistryFixture) => unknown) {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', image);
  const fault: RegistryFixture['faults'][number] = (request, response) => {
    if (!request.url?.includes(text)) return false;
    registry.faults.push(fault);
    act(request, response, registry);
    return true;
  };
  registry.faults.push(fault);
  const dataDir = join(directory.path, `data-${++serial}`);
  await using images = await openImages({ dataDir, log: silentLog, clock });
  const error = await images.pull(`${registry.host}/app:1`).then(
    () => undefined,
    thrown => thrown,
  );
  const left = [...(await readdir(join(dataDir, 'content/sha256'))), ...(await readdir(join(dataDir, 'content/ingest')))];
  return { error, left, requests: registry.requests.length };
}

test('whatever a registry answers, a pull ends with its name and a reason, in bounded tries, and leaves nothing', async () => {
  const redirect =
    (to: (url: string, registry: RegistryFixture) => string) =>
    (request: IncomingMessage, response: ServerResponse, registry: RegistryFixture) =>
      response.writeHead(307, { location: to(request.url ?? '', registry) }).end();
  const endless = (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200);
    const more = (): void => void (response.destroyed || response.write(Buffer.alloc(1 << 20), () => setImmediate(more)));
    more();
  };
  const table: [what: string, path: string, act: Parameters<typeof pullFrom>[1], reason: Reason, message: RegExp][] = [
    ['a redirect to itself', '/blobs/', redirect(url => url), 'ServiceUnavailable', /redirects more than 5 times/],
    ['a redirect nowhere', '/blobs/', redirect(() => 'http://:::'), 'ServiceUnavailable', /redirects to what is no address/],
    [
      'a redirect to a file',
      '/manifests/',
      redirect(() => 'file:///etc/passwd'),
      'ServiceUnavailable',
      /redirects to file:, which is not HTTP/,
    ],
    ['a manifest without end', '/manifests/', endless, 'RequestEntityTooLarge', /has more than 8388608 bytes/],
    ['a layer without end', `/blobs/${layer}`, endless, 'Invalid', /more than the announced \d+ bytes arrived/],
    [
      'a page instead of a manifest',
      '/manifests/',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      'Invalid',
      /is not JSON/,
    ],
    [
      'a page instead of a layer',
      `/blobs/${layer}`,
      (_, response) => response.writeHead(200).end('<html>Log in</html>'),
      'Invalid',
      /19 of the announced \d+ bytes arrived/,
    ],
    ['nothing at all', `/blobs/${layer}`, (_, response) => response.destroy(), 'ServiceUnavailable', /can't be reached/],
    ['no HTTP', '/manifests/', (_, response) => response.socket?.end('SSH-2.0-x\r\n'), 'ServiceUnavailable', /can't be reached/],
    ['a refusal', '/manifests/', (_, response) => response.writeHead(418).end('x'), 'BadRequest', /answered 418/],
    ['a bad gateway for ever', '/blobs/', (_, response) => response.writeHead(502).end(), 'ServiceUnavailable', /answered 502/],
    ['too many requests for ever', '/manifests/', (_, response) => response.writeHead(429).end(), 'TooManyRequests', /answered 429/],
    [
      'a login without end',
      '/manifests/',
      (_, response) => response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/"' }).end(),
      'ServiceUnavailable',
      /can't be reached/,
    ],
    [
      'a token server that is none',
      '/manifests/',
      (_, response) => response.writeHead(401, { 'www-authenticate': 'Bearer realm="gopher://x"' }).end(),
      'Unauthorized',
      /token server with the address "gopher:/,
    ],
  ];
  for (const [what, path, act, reason, message] of table) {
    const { error, left, requests } = await pullFrom(path, act);
    assert.ok(isUmiakError(error, reason), `${what}: ${error}`);
    assert.match(error.message, message, what);
    // What came before a failure that may pass is kept for a while, in case somebody tries again.
    const mayBeLeft = mayPass(error)
      ? [hexOf(image.manifest.digest), hexOf(image.configDigest), `${hexOf(layer)}.part`, `${hexOf(image.configDigest)}.part`]
      : [];
    assert.deepEqual(
      left.filter(each => !mayBeLeft.includes(each)),
      [],
      what,
    );
    assert.ok(requests <= 60, `${what}: ${requests} requests`);
  }
});

test('a registry that is silent is given up after its time limit, and heeds who leaves', async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  registry.add('app', '1', image);
  registry.faults.push(
    ...Array.from(
      { length: 9 },
      () =>
        ({ url }: IncomingMessage) =>
          url?.includes('/manifests/') ?? false,
    ),
  );
  using client = new RegistryClient({ registry: registry.host, repository: 'app', clock, idleTimeoutMs: 50, attempts: 2 });
  await assert.rejects(client.manifest('1'), error => isUmiakError(error, 'Timeout') && /has sent nothing for/.test(error.message));
  using patient = new RegistryClient({ registry: registry.host, repository: 'app', clock });
  const leaving = new AbortController();
  const asked = patient.manifest('1', leaving.signal);
  leaving.abort(new Error('I left'));
  await assert.rejects(asked, /I left/);
});

test('places are given in order, and not to who left', async () => {
  const slots = new Slots(1);
  const order: string[] = [];
  const first = await slots.take();
  const leaving = new AbortController();
  const left = slots.take(leaving.signal);
  const last = slots.take().then(place => {
    order.push('last');
    place[Symbol.dispose]();
  });
  leaving.abort(new Error('I left'));
  await assert.rejects(left, /I left/);
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await last;
  using _ = await slots.take();
  await assert.rejects(slots.take(AbortSignal.timeout(1)), { name: 'TimeoutError' });
});

test('pauses grow, heed what the registry asks, and have an end', () => {
  const broken = new Error('broken');
  assert.deepEqual(
    [1, 2, 3, 9].map(attempt => planPause(broken, attempt)),
    [500, 1000, 2000, 30_000],
  );
  const busy = (retryAfterSeconds: number) => new UmiakError('TooManyRequests', 'busy', { details: { retryAfterSeconds } });
  assert.deepEqual([planPause(busy(7), 1), planPause(busy(1), 5), planPause(busy(9999), 1)], [7000, 8000, 30_000]);
});

test('no more than so many transfers go on at a time, however many pulls there are', async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  const samples = Array.from({ length: 4 }, (_, i) =>
    buildImage(Array.from({ length: 6 }, (_, at) => buildTar([{ name: `${i}-${at}`, content: randomBytes(2000) }]))),
  );
  for (const [i, sample] of samples.entries()) registry.add('app', String(i), sample);
  let now = 0;
  let most = 0;
  const blobs = new Map<string, Buffer>(
    samples.flatMap(sample => [...sample.blobs].map(([digest, bytes]) => [`/v2/app/blobs/${digest}`, bytes] as const)),
  );
  const slow: RegistryFixture['faults'][number] = ({ url = '' }, response) => {
    const bytes = blobs.get(url);
    if (bytes === undefined) return false;
    registry.faults.push(slow);
    most = Math.max(most, ++now);
    response.once('close', () => now--);
    setTimeout(() => response.end(bytes), 15);
    return true;
  };
  registry.faults.push(slow);
  await using images = await openImages({ dataDir: join(directory.path, `data-${++serial}`), log: silentLog });
  await Promise.all(samples.map((_, i) => images.pull(`${registry.host}/app:${i}`, { unpack: false })));
  assert.equal(most, 8);
});

test('pulls that never get on, of one registry or of many, do not keep others from theirs', { timeout: 30_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const registries = await Promise.all([0, 1, 2].map(async () => stack.use(await RegistryFixture.start())));
  const samples = registries.map((registry, i) => {
    const sample = buildImage(Array.from({ length: 4 }, (_, at) => buildTar([{ name: `${i}-${at}`, content: randomBytes(90_000) }])));
    registry.auth = 'none';
    registry.add('app', '1', sample);
    return sample;
  });
  let dripping = 0;
  for (const [i, registry] of registries.slice(0, 2).entries()) {
    const drip: RegistryFixture['faults'][number] = ({ url = '' }, response) => {
      registry.faults.push(drip);
      const digest = [...samples[i]!.blobs.keys()].find(each => url.includes(`/blobs/${each}`));
      if (!digest || digest === samples[i]!.configDigest) return false;
      dripping++;
      response.writeHead(200);
      const drop = (): void => {
        if (!response.destroyed) response.write('x', () => setTimeout(drop, 5));
      };
      drop();
      return true;
    };
    registry.faults.push(drip);
  }
  const quick: Clock = { ...systemClock, after: (ms, act) => systemClock.after(ms / 100, act) };
  await using images = await openImages({ dataDir: join(directory.path, `data-${++serial}`), log: silentLog, clock: quick });
  const stop = new AbortController();
  const [one, two, good] = registries.map(({ host }) => `${host}/app:1`) as [string, string, string];
  const endless = [one, two].map(name => images.pull(name, { unpack: false, signal: stop.signal }));
  const ended = Promise.allSettled(endless);
  while (dripping < 8) await new Promise(resume => setTimeout(resume, 5));
  assert.equal((await images.pull(good, { unpack: false })).id, samples[2]!.configDigest);
  stop.abort(new Error('enough'));
  assert.deepEqual(
    (await ended).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

test('the layer that a failed pull had begun is gone on with by the next one', async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  const bytes = randomBytes(900_000);
  const sample = buildImage([buildTar([{ name: 'a', content: bytes }])]);
  registry.add('app', '1', sample);
  const digest = [...sample.blobs.keys()].find(each => each !== sample.configDigest)!;
  const blob = sample.blobs.get(digest)!;
  const ranges: (string | undefined)[] = [];
  const cut: RegistryFixture['faults'][number] = ({ url, headers }, response) => {
    if (!url?.includes(digest)) return false;
    ranges.push(headers.range);
    if (ranges.length > 1) return Boolean(response.writeHead(503).end());
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 20));
    return true;
  };
  registry.faults.push(...Array.from({ length: 5 }, () => cut));
  const dataDir = join(directory.path, `data-${++serial}`);
  const name = `${registry.host}/app:1`;
  const kept: Clock = { ...clock, after: (ms, act) => systemClock.after(ms < 60_000 ? 0 : ms, act) };
  await using images = await openImages({ dataDir, log: silentLog, clock: kept });
  await assert.rejects(images.pull(name), /503/);
  assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), [`${hexOf(digest)}.part`]);
  registry.faults.length = 0;
  const seen: number[] = [];
  registry.faults.push(({ url, headers }) => {
    if (url?.includes(digest)) seen.push(Number(/\d+/.exec(headers.range ?? '')?.[0]));
    return false;
  });
  await images.pull(name);
  assert.ok(seen[0]! > 0 && seen[0]! <= 500_000, `asked from byte ${seen[0]}`);
  assert.deepEqual(await readdir(join(dataDir, 'content/ingest')), []);
});

test('what a pull brought before its registry failed is kept for the next try, for ten minutes', async () => {
  await using registry = await RegistryFixture.start();
  registry.auth = 'none';
  const sample = buildImage([buildTar([{ name: 'a', content: randomBytes(3000) }]), buildTar([{ name: 'b', content: 'b' }])]);
  registry.add('app', '1', sample);
  const [first = '', last = ''] = [...sample.blobs.keys()].filter(digest => digest !== sample.configDigest);
  const fail = () =>
    registry.faults.push(
      ...Array.from(
        { length: 9 },
        () =>
          ({ url }: IncomingMessage, response: ServerResponse) =>
            Boolean(url?.includes(last) && response.writeHead(503).end()),
      ),
    );
  const manual = new ManualClock();
  // Pauses between tries are not waited for; only the ten minutes are.
  const both: Clock = { ...systemClock, after: (ms, act) => (ms < 60_000 ? systemClock.after(0, act) : manual.after(ms, act)) };
  const dataDir = join(directory.path, `data-${++serial}`);
  await using images = await openImages({ dataDir, log: silentLog, clock: both });
  const name = `${registry.host}/app:1`;
  fail();
  await assert.rejects(images.pull(name), /503/);
  registry.faults.length = 0;
  await images.prune();
  await images.pull(name);
  assert.equal(registry.count(first), 1, 'it is not fetched again');
  await images.remove(name);
  manual.advance(600_000);
  await images.prune();
  fail();
  await assert.rejects(images.pull(name), /503/);
  manual.advance(600_000);
  await images.prune();
  assert.deepEqual(await readdir(join(dataDir, 'content/sha256')), []);
});

test('answers that nobody reads end: the body of a challenge, of a redirect', { timeout: 20_000 }, async () => {
  for (const head of [
    { status: 401, headers: { 'www-authenticate': 'Basic' } },
    { status: 307, headers: { location: '/nowhere' } },
  ]) {
    await using registry = await RegistryFixture.start();
    const { promise: cut, resolve } = Promise.withResolvers<void>();
    registry.faults.push((_, response) => {
      response.writeHead(head.status, head.headers).once('close', resolve);
      const more = (): void => void (response.destroyed || response.write(Buffer.alloc(16_384), () => setImmediate(more)));
      more();
      return true;
    });
    const auth = { username: 'me', password: 'secret' };
    using client = new RegistryClient({
      registry: registry.host,
      repository: 'app',
      host: { endpoint: `http://${registry.host}` },
      auth,
      clock,
    });
    await assert.rejects(client.manifest('1'));
    await cut;
  }
});

test('what a registry says is read in linear time and shown in few printable words', async () => {
  const [challenge] = parseChallenges(`Bearer${' '.repeat(500_000)}"`);
  assert.deepEqual(challenge, { scheme: 'bearer', parameters: {} });
  const { error } = await pullFrom('/manifests/', (_, response) =>
    response.writeHead(404).end(JSON.stringify({ errors: [{ code: '\u001b[2J\r\nok', message: 'x'.repeat(9000) }] })),
  );
  assert.ok(isUmiakError(error, 'NotFound'));
  assert.match(error.message, /^[\x20-\x7e]{1000,1200}$/);
});

test('a document that comes drop by drop is given up', { timeout: 20_000 }, async () => {
  await using registry = await RegistryFixture.start();
  const drip: RegistryFixture['faults'][number] = (_, response) => {
    response.writeHead(200);
    const drop = (): void => {
      if (!response.destroyed) response.write('x', () => setTimeout(drop, 10));
    };
    drop();
    return true;
  };
  registry.faults.push(drip);
  using client = new HttpClient();
  const response = await client.request(new URL(`http://${registry.host}/v2/`));
  await assert.rejects(
    readBody(response, 1 << 20, 'the manifest', 100),
    error => isUmiakError(error, 'Timeout') && mayPass(error) && /the manifest did not end within 0.1 s/.test(error.message),
  );
});
