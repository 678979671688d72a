import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import type { CustomResourceDefinition } from '#kinds/types.gen.ts';
import type { Store } from '#store/store.ts';
import { definitionCauses } from './crd/definition-rules.ts';
import { loadExpressions } from './crd/expressions.ts';
import { finishRules, SchemaRules } from './crd/schema-rules.ts';
import { definition } from './crd/test-definitions.ts';
import type { Reply } from './http-messages.ts';
import { list } from './list.ts';
import { listBody } from './list-body.ts';
import type { Media } from './media.ts';
import { toListValue } from './render.ts';
import type { Context, ListOutcome, ResourceRoute } from './request.ts';
import { Resources } from './resources.ts';
import { runInSlices } from './slices.ts';
import { measureTurns, type Turns } from './test-turns.ts';
import { planWatch, Watch } from './watch.ts';
import { HttpWatchSink } from './watch-http.ts';

const COUNT = 10_000;
const served = new Resources(builtinKinds).stored('', 'v1', 'pods');

before(async () => {
  const { cache } = served;
  const env = Array.from({ length: 10 }, (_, i) => ({ name: `E${i}`, value: `value ${i}` }));
  for (let i = 0; i < COUNT; i++) {
    const metadata = {
      name: `p-${i}`,
      namespace: 'default',
      uid: `u-${i}`,
      labels: { app: 'a' },
      creationTimestamp: '2026-01-01T00:00:00Z',
    };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { containers: [{ name: 'c', image: 'i', env }] },
      status: { phase: 'Running' },
    };
    cache.load(`${cache.prefix}default/p-${i}`, cache.layout.encode(pod as unknown as KubeObject), i + 1);
  }
  cache.loaded(COUNT);
  await loadExpressions();
});

/**
 * No turn is more than a small part of all: work that is not sliced would be one turn. The collector may fall into one: then it is
 * tried again.
 */
async function assertSliced(work: () => Promise<unknown>, part = 4): Promise<void> {
  const tries: Turns[] = [];
  while (tries.length < 3) {
    const turns = await measureTurns(work);
    if (turns.longestMs < turns.wholeMs / part) return;
    tries.push(turns);
  }
  assert.fail(tries.map(({ longestMs, wholeMs }) => `a turn took ${longestMs} of ${wholeMs} ms`).join(', '));
}

function contextOf(query: string, encoding: Media['encoding'] = 'json', as: Media['as'] = 'object'): Context<ResourceRoute> {
  const route = { type: 'resource', served, verb: 'list', namespace: 'default', name: '', subresource: '' };
  return { media: { encoding, as, contentType: '' }, query: new URLSearchParams(query), route } as unknown as Context<ResourceRoute>;
}

function listed(query: string): Promise<ListOutcome> {
  return list(contextOf(query), served, undefined as unknown as Store, 0);
}

async function readBody(encoding: Media['encoding'], as: Media['as']): Promise<number> {
  let bytes = 0;
  for await (const piece of listBody(await listed(''), contextOf('', encoding, as), 0)) bytes += piece.length;
  return bytes;
}

for (const [encoding, as] of [
  ['protobuf', 'object'],
  ['json', 'table'],
  ['json', 'partial'],
] as const)
  test(`a list of ${COUNT} pods, ${encoding} ${as}, holds up nobody`, () => assertSliced(() => readBody(encoding, as)));

test('lists at once hold up nobody for longer than one', () =>
  assertSliced(() => Promise.all(Array.from({ length: 10 }, () => readBody('json', 'table'))), 20));

test('a list by a selector that nothing matches holds up nobody', async () => {
  await assertSliced(async () => assert.deepEqual([...(await listed('labelSelector=app%3Db')).items], []));
});

test('a list for a caller in this process holds up nobody', async () => {
  const outcome = await listed('');
  await assertSliced(async () => {
    const { items } = (await toListValue(outcome, 'object', new URLSearchParams(), 0)) as { items: unknown[] };
    assert.equal(items.length, COUNT);
  });
});

test("a watch's first events hold up nobody, as a table", async () => {
  await assertSliced(async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let rows = 0;
    const write = (bytes: Buffer) => {
      rows += bytes.toString().split('\n').length - 1;
      if (rows === COUNT) resolve();
      return true;
    };
    const reply = { closed: false, backlogBytes: 0, write, drained: async () => {} } as unknown as Reply;
    const context = contextOf('resourceVersion=0', 'json', 'table');
    const watch = Watch.start(planWatch(context, served), new HttpWatchSink(served, context, reply, () => 0));
    await promise;
    watch.stop();
  });
});

function fields(count: number): Record<string, CrdSchema> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`f${i}`, { type: 'string', maxLength: 50, pattern: `^[a-z]{1,${(i % 20) + 1}}$` }]),
  );
}

test('a definition of thousands of fields and hundreds of rules is judged and holds up nobody', async () => {
  const groups = Array.from({ length: 20 }, (_, g): [string, CrdSchema] => {
    const rules = Array.from({ length: 20 }, (_, i) => ({ rule: `!has(self.f${i}) || self.f${i}.startsWith('v${g}')` }));
    return [`g${g}`, { type: 'object', properties: fields(200), 'x-kubernetes-validations': rules }];
  });
  const crd = definition('larges.example.com', {
    type: 'object',
    properties: { spec: { type: 'object', properties: Object.fromEntries(groups) } },
  });
  await assertSliced(async () =>
    assert.deepEqual(await runInSlices(definitionCauses(crd as unknown as CustomResourceDefinition, undefined)), []),
  );
});

test('rules that use up their cost hold up nobody', async () => {
  const rule = 'self.all(x, self.all(y, self.all(z, x + y + z >= 0)))';
  const rules = [0, 1, 2, 3].map(i => ({ rule: `${rule} || ${i} > 4` }));
  const numbers: CrdSchema = { type: 'array', items: { type: 'integer' }, 'x-kubernetes-validations': rules };
  const schema = new SchemaRules(() => ({ type: 'object', properties: { numbers } }));
  const content = { apiVersion: 'a/v1', kind: 'A', metadata: { name: 'a' }, numbers: Array.from({ length: 45 }, (_, i) => i) };
  const object = content as unknown as KubeObject;
  await assertSliced(async () => {
    assert.deepEqual(schema.validate(object), []);
    assert.deepEqual(await finishRules(object), []);
  });
});
