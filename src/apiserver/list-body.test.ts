import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { builtinKinds } from '#kinds/registry.ts';
import { listBody } from './list-body.ts';
import type { Media } from './media.ts';
import { parseProtobuf } from './protobuf/envelope.ts';
import type { Context } from './request.ts';
import { Resources } from './resources.ts';
import { StoredObject } from './stored-object.ts';

const resources = new Resources(builtinKinds);
const maps = resources.stored('', 'v1', 'configmaps');
const autoscalers = resources.stored('autoscaling', 'v1', 'horizontalpodautoscalers');

function stored(count: number, valueBytes = 3): StoredObject[] {
  return Array.from({ length: count }, (_, i) => {
    const metadata = { name: `m-${i}`, namespace: 'default', uid: `u-${i}`, creationTimestamp: '2026-01-01T00:00:00Z' };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { k: `${'ä'.repeat(valueBytes)}: [${i}` } };
    return new StoredObject(maps.cache.layout, `default/m-${i}`, maps.cache.layout.encode(object as never), i + 1);
  });
}

async function body(items: StoredObject[], encoding: Media['encoding'], as: Media['as'], served = maps): Promise<Buffer> {
  const outcome = { type: 'list', served, items, revision: 99, continueToken: 'next', remaining: 5 } as const;
  const context = { media: { encoding, as, contentType: '' }, query: new URLSearchParams() } as unknown as Context;
  const pieces: Buffer[] = [];
  for await (const piece of listBody(outcome, context, 0)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const metadata = { resourceVersion: '99', continue: 'next', remainingItemCount: 5 };
const read = {
  json: (bytes: Buffer) => JSON.parse(bytes.toString()),
  yaml: (bytes: Buffer) => parse(bytes.toString()),
  protobuf: parseProtobuf,
};

for (const encoding of ['json', 'yaml', 'protobuf'] as const)
  for (const [count, valueBytes] of [
    [0, 0],
    [1, 3],
    [7, 3],
    [12, 60_000],
    [2, 90_000],
  ] as const)
    test(`a list of ${count} objects of ${valueBytes} characters in ${encoding}`, async () => {
      const items = stored(count, valueBytes);
      const whole = read[encoding](await body(items, encoding, 'object')) as { items?: { data: object; metadata: object }[] };
      assert.partialDeepStrictEqual(whole, { kind: 'ConfigMapList', apiVersion: 'v1', metadata });
      assert.equal(whole.items?.length ?? 0, count);
      for (const [i, item] of (whole.items ?? []).entries())
        assert.deepEqual(item.data, (items[i]!.object() as unknown as { data: object }).data);
      const partial = read[encoding](await body(items, encoding, 'partial')) as { items?: { metadata: object }[] };
      assert.partialDeepStrictEqual(partial, { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata });
      assert.deepEqual(
        (partial.items ?? []).map(item => item.metadata),
        items.map(item => item.object().metadata),
      );
    });

for (const encoding of ['json', 'yaml'] as const)
  for (const count of [0, 3])
    test(`a table of ${count} objects in ${encoding}`, async () => {
      const table = read[encoding](await body(stored(count), encoding, 'table')) as {
        rows: { cells: unknown[] }[];
        columnDefinitions: object[];
      };
      assert.partialDeepStrictEqual(table, { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata });
      assert.equal(table.columnDefinitions.length, 3);
      assert.deepEqual(
        table.rows.map(({ cells }) => cells.slice(0, 2)),
        Array.from({ length: count }, (_, i) => [`m-${i}`, '1']),
      );
    });

test('a list of a kind that is stored in another version is shown in its own', async () => {
  const { layout } = autoscalers.cache;
  const spec = { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd' }, metrics: [] };
  const object = { apiVersion: layout.apiVersion, kind: 'HorizontalPodAutoscaler', metadata: { name: 'h', namespace: 'n' }, spec };
  const items = [new StoredObject(layout, 'n/h', layout.encode(object as never), 4)];
  for (const encoding of ['json', 'protobuf'] as const) {
    const list = read[encoding](await body(items, encoding, 'object', autoscalers)) as { items: { spec: { maxReplicas: number } }[] };
    assert.partialDeepStrictEqual(list, { kind: 'HorizontalPodAutoscalerList', apiVersion: 'autoscaling/v1' });
    assert.equal(list.items[0]?.spec.maxReplicas, 3);
  }
});

test("an object's protobuf is made once", async () => {
  const items = stored(3);
  await body(items, 'protobuf', 'object');
  for (const item of items) item.encodedAs('v1', () => assert.fail('made again'));
});
