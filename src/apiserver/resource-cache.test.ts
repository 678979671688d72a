import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ResourceCache } from './resource-cache.ts';
import { Layout } from './stored-object.ts';

const layout = new Layout('v1', 'ConfigMap', {});
const MB = 1 << 20;

function put(cache: ResourceCache, name: string, revision: number, bytes: number): void {
  const metadata = { name, uid: name, creationTimestamp: '', resourceVersion: '' };
  const value = layout.encode({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: 'x'.repeat(bytes) } } as never);
  cache.apply([{ type: 'put', key: cache.prefix + name, value, revision, createRevision: 1 }], revision);
}

/** Bytes of texts that live. */
function textBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().arrayBuffers;
}

test('changes of large objects are let go, and watches that would need them are told', async () => {
  const cache = new ResourceCache({ layout, prefix: '/configmaps/' });
  const before = textBytes();
  for (let revision = 1; revision <= 200; revision++) put(cache, 'large', revision, MB);
  // V8 gives buffers back on a thread of its own, at times after the collection.
  const heldMb = () => (textBytes() - before) / MB;
  for (let patience = 50; heldMb() >= 64 && patience > 0; patience--) await new Promise(done => setTimeout(done, 20));
  assert.ok(heldMb() < 64, `${heldMb().toFixed()} MB of 200`);
  assert.equal(cache.changesSince(100), undefined);
  assert.equal(cache.changesSince(195)?.length, 5);
});

test('thousands of small changes are there for watches to resume', () => {
  const cache = new ResourceCache({ layout, prefix: '/configmaps/' });
  for (let revision = 1; revision <= 10_000; revision++) put(cache, `small-${revision % 100}`, revision, 10);
  assert.equal(cache.changesSince(10_000 - 4096)?.length, 4096);
  assert.equal(cache.changesSince(10_000 - 4097), undefined);
});
