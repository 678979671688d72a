import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import { ContentStore } from './content-store.ts';
import { type Digest, digestOf } from './digest.ts';
import { temporaryDirectory } from './fixtures.ts';
import { type BlobReceiver, RegistryClient } from './registry-client.ts';
import { RegistryFixture } from './registry-fixture.ts';

let directory: AsyncDisposable & { path: string };
let content: ContentStore;
before(async () => {
  directory = await temporaryDirectory();
  content = await ContentStore.open(directory.path);
});
after(() => directory[Symbol.asyncDispose]());

/** A blob on a registry whose answers begin as `faults` say; the pauses between tries are noted, not waited for. */
async function download(registry: RegistryFixture, bytes: Buffer, faults: RegistryFixture['faults'], idleTimeoutMs = 5_000) {
  const digest = digestOf(bytes);
  registry.addBlob('app', digest, bytes);
  registry.auth = 'none';
  registry.faults.push(...faults);
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    after(ms, act) {
      pauses.push(ms);
      return systemClock.after(0, act);
    },
  };
  using client = new RegistryClient({ registry: registry.host, repository: 'app', clock, idleTimeoutMs, random: () => 0.5 });
  using lease = content.lease();
  const seen: number[] = [];
  const write: BlobReceiver<unknown> = from =>
    content.write(from, { lease, expected: { digest, size: bytes.length }, onBytes: total => void seen.push(total) });
  const error: unknown = await client.blob(digest, write).then(
    () => undefined,
    thrown => thrown,
  );
  return { error, pauses, seen, size: await content.size(digest) };
}

/** The answer to a request for a blob stops `length` bytes after where it was asked to begin. */
function cutAfter(length: number, bytes: Buffer, ranges: (string | undefined)[], altered = false): RegistryFixture['faults'][number] {
  return (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url?.includes('/blobs/')) return false;
    ranges.push(request.headers.range);
    const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    const rest = { 'content-length': bytes.length - from, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(from > 0 ? 206 : 200, rest);
    const piece = altered ? Buffer.alloc(length) : bytes.subarray(from, from + length);
    response.write(piece, () => setImmediate(() => response.destroy()));
    return true;
  };
}

test('a download that breaks off goes on where it was, and the whole is verified', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(3_000_000);
  const ranges: (string | undefined)[] = [];
  const { error, pauses, seen, size } = await download(registry, bytes, [
    cutAfter(1_000_000, bytes, ranges),
    cutAfter(10, bytes, ranges),
    cutAfter(1_500_000, bytes, ranges),
  ]);
  assert.deepEqual([error, size], [undefined, bytes.length]);
  assert.deepEqual([ranges[0], ranges.length], [undefined, 3]);
  const starts = ranges.slice(1).map(range => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]));
  assert.ok(starts[0]! > 0 && starts[1]! >= starts[0]!, `each goes on: ${starts}`);
  assert.equal(pauses.length, 3);
  assert.deepEqual(
    seen.toSorted((a, b) => a - b),
    seen,
    'no byte is counted twice',
  );
});

test('a registry that knows no ranges sends all again; what is here already is passed over', async () => {
  await using registry = await RegistryFixture.start();
  registry.ranges = false;
  const bytes = randomBytes(400_000);
  const { error, size } = await download(registry, bytes, [cutAfter(100_000, bytes, [])]);
  assert.deepEqual([error, size], [undefined, bytes.length]);
});

test('a registry that falls silent is asked anew', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(200_000);
  const silent: RegistryFixture['faults'][number] = ({ url }, response) => {
    if (!url?.includes('/blobs/')) return false;
    response.writeHead(200, { 'content-length': bytes.length });
    return response.write(bytes.subarray(0, 1000)) || true;
  };
  const { error, size } = await download(registry, bytes, [silent], 100);
  assert.deepEqual([error, size], [undefined, bytes.length]);
});

test('a connection that breaks after the last byte has brought all', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(50_000);
  const unended: RegistryFixture['faults'][number] = ({ url }, response) => {
    if (!url?.includes('/blobs/')) return false;
    response.writeHead(200);
    return response.write(bytes, () => setImmediate(() => response.destroy())) || true;
  };
  const { error, size } = await download(registry, bytes, [unended]);
  assert.deepEqual([error, size], [undefined, bytes.length]);
});

test('pieces that do not make the whole are fetched once more from the start', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(300_000);
  const { error, size } = await download(registry, bytes, [cutAfter(1000, bytes, [], true)]);
  assert.deepEqual([error, size], [undefined, bytes.length]);
  assert.equal(registry.count('/blobs/'), 3);
});

test('a registry that never gets on is given up, after ever longer pauses, and nothing stays', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(300_000);
  const ranges: (string | undefined)[] = [];
  const faults = Array.from({ length: 20 }, () => cutAfter(500, bytes, ranges));
  const { error, pauses, size } = await download(registry, bytes, faults);
  assert.ok(isUmiakError(error, 'ServiceUnavailable'), String(error));
  assert.match(error.message, /can't be reached/);
  assert.deepEqual([pauses, ranges.length, size], [[250, 500, 1000, 2000], 5, undefined]);
});

test('a registry that goes on elsewhere than asked is refused', async () => {
  await using registry = await RegistryFixture.start();
  const bytes = randomBytes(300_000);
  const elsewhere: RegistryFixture['faults'][number] = ({ headers }, response) => {
    if (headers.range === undefined) return false;
    response.writeHead(206, { 'content-range': `bytes 299999-299999/${bytes.length}` }).end('x');
    return true;
  };
  const { error } = await download(registry, bytes, [cutAfter(1000, bytes, []), elsewhere, cutAfter(1000, bytes, []), elsewhere]);
  assert.ok(isUmiakError(error, 'Invalid'), String(error));
  assert.match(error.message, /asked to go on at byte \d+, the registry sent bytes 299999-/);
  assert.equal(await content.has(digestOf(bytes) satisfies Digest), false);
});
