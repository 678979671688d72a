import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import type { CommitResult, Store, StoreEvent, WatchBatch } from './store.ts';
import { checkRandomHistory } from './suite-random.ts';

/** What the suite needs of an implementation: a new, empty store each time. The suite closes it. */
export type OpenStore = () => Promise<Store>;

/** The behaviour every `Store` shows. It asks for nothing that etcd's semantics don't promise. */
export function runStoreSuite(name: string, open: OpenStore): void {
  describe(`${name} behaves as a store`, { timeout: 120_000 }, () => {
    test('a key that was never written is absent', async () => {
      await using store = await open();
      assert.equal(await store.get('/a'), undefined);
      assert.deepEqual((await store.list('/')).entries, []);
    });

    test('a write is read back with the revisions that made it', async () => {
      await using store = await open();
      const first = await put(store, '/a', 'one');
      const second = await put(store, '/a', 'two');
      assert.equal(second, first + 1);
      assert.equal(store.revision, second);
      assert.deepEqual(plain(await store.get('/a')), { key: '/a', value: 'two', revision: second, createRevision: first });
    });

    test('a key deleted and made again is a new incarnation', async () => {
      await using store = await open();
      await put(store, '/a', 'one');
      await remove(store, '/a');
      assert.equal(await store.get('/a'), undefined);
      const again = await put(store, '/a', 'two');
      assert.equal((await store.get('/a'))?.createRevision, again);
    });

    test('deleting an absent key does nothing and takes no revision', async () => {
      await using store = await open();
      const before = await put(store, '/a', 'one');
      assert.deepEqual(await store.commit({ writes: [{ key: '/b', value: null }] }), { ok: true, revision: before });
      assert.equal(store.revision, before);
    });

    test('an empty value is a value, and a megabyte is one too', async () => {
      await using store = await open();
      await put(store, '/empty', '');
      await store.commit({ writes: [{ key: '/large', value: new Uint8Array(1_000_000).fill(7) }] });
      assert.equal((await store.get('/empty'))?.value.length, 0);
      const large = await store.get('/large');
      assert.equal(large?.value.length, 1_000_000);
      assert.ok(large.value.every(byte => byte === 7));
    });

    test('values given as views of larger buffers are stored alone, and stay usable for the caller', async () => {
      await using store = await open();
      const buffer = new Uint8Array([1, 2, 3, 4, 5, 6]);
      await store.commit({ writes: [{ key: '/view', value: buffer.subarray(2, 4) }] });
      assert.deepEqual([...(await store.get('/view'))!.value], [3, 4]);
      assert.equal(buffer.length, 6);
    });

    test('all writes of a transaction happen at one revision', async () => {
      await using store = await open();
      await put(store, '/gone', 'x');
      const result = await store.commit({
        writes: [
          { key: '/a', value: bytes('1') },
          { key: '/gone', value: null },
          { key: '/b', value: bytes('2') },
        ],
      });
      assert.ok(result.ok);
      const { entries, revision } = await store.list('/');
      assert.equal(revision, result.revision);
      assert.deepEqual(
        entries.map(entry => [entry.key, entry.revision]),
        [
          ['/a', result.revision],
          ['/b', result.revision],
        ],
      );
    });

    test('a condition that fails names itself and what stands there, and nothing is written', async () => {
      await using store = await open();
      const revision = await put(store, '/a', 'one');
      const writes = [
        { key: '/a', value: bytes('two') },
        { key: '/b', value: bytes('two') },
      ];
      const conditions = [
        { key: '/b', revision: 0 },
        { key: '/a', revision: 0 },
      ];
      const refused = await store.commit({ conditions, writes });
      assert.ok(!refused.ok);
      assert.deepEqual(refused.failed, conditions[1]);
      assert.deepEqual(plain(refused.current), { key: '/a', value: 'one', revision, createRevision: revision });
      assert.equal(store.revision, revision);
      assert.equal(await store.get('/b'), undefined);
      const absent = await store.commit({ conditions: [{ key: '/nothing', revision }], writes });
      assert.deepEqual(absent, { ok: false, failed: { key: '/nothing', revision } });
      const accepted = await store.commit({ conditions: [conditions[0]!, { key: '/a', revision }], writes });
      assert.deepEqual(accepted, { ok: true, revision: revision + 1 });
    });

    test('of many that create the same key at once, one wins', async () => {
      await using store = await open();
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          store.commit({ conditions: [{ key: '/one', revision: 0 }], writes: [{ key: '/one', value: bytes(String(n)) }] }),
        ),
      );
      const winners = results.filter(({ ok }) => ok);
      assert.equal(winners.length, 1);
      const { revision } = (await store.get('/one'))!;
      for (const result of results) assert.equal(result.ok ? result.revision : result.current?.revision, revision);
    });

    test('a counter that many raise by comparing loses no step', async () => {
      await using store = await open();
      await put(store, '/counter', '0');
      const raise = async (): Promise<void> => {
        for (;;) {
          const current = (await store.get('/counter'))!;
          const value = bytes(String(Number(text(current.value)) + 1));
          const result = await store.commit({
            conditions: [{ key: '/counter', revision: current.revision }],
            writes: [{ key: '/counter', value }],
          });
          if (result.ok) return;
        }
      };
      await Promise.all(Array.from({ length: 20 }, raise));
      assert.equal(text((await store.get('/counter'))!.value), '20');
    });

    test('a list has its prefix only, in byte order of UTF-8', async () => {
      await using store = await open();
      for (const key of ['/p/b', '/p', '/p0', '/p/\u{10000}', '/p/\uffff', '/p/a', '/p/\ud7ff', '/q/a', '/p/b/c', '/o'])
        await put(store, key, key);
      const { entries } = await store.list('/p/');
      assert.deepEqual(
        entries.map(({ key }) => key),
        ['/p/a', '/p/b', '/p/b/c', '/p/\ud7ff', '/p/\uffff', '/p/\u{10000}'],
      );
      assert.equal((await store.list('')).entries.length, 10);
    });

    test('a long list comes in pages that a limit cuts, all at one revision', async () => {
      await using store = await open();
      const keys = Array.from({ length: 1300 }, (_, n) => `/l/${String(n).padStart(4, '0')}`);
      await Promise.all(keys.map(key => put(store, key, key)));
      const whole = await store.list('/l/');
      assert.deepEqual(
        whole.entries.map(({ key }) => key),
        keys,
      );
      const collected: string[] = [];
      let from: string | undefined;
      do {
        const page = await store.list('/l/', { at: whole.revision, limit: 500, ...(from === undefined ? {} : { from }) });
        if (from === undefined) await put(store, '/l/0700x', 'late');
        assert.equal(page.revision, whole.revision);
        assert.ok(page.entries.length <= 500);
        collected.push(...page.entries.map(({ key }) => key));
        from = page.next;
      } while (from !== undefined);
      assert.deepEqual(collected, keys);
      assert.equal((await store.list('/l/', { limit: 1301 })).next, undefined);
    });

    test('the past is read as it was', async () => {
      await using store = await open();
      const one = await put(store, '/a', 'one');
      const two = await put(store, '/b', 'two');
      const three = await remove(store, '/a');
      const four = await put(store, '/a', 'four');
      const at = async (revision: number) =>
        (await store.list('/', { at: revision })).entries.map(({ key, value }) => `${key}=${text(value)}`);
      assert.deepEqual(await at(one), ['/a=one']);
      assert.deepEqual(await at(two), ['/a=one', '/b=two']);
      assert.deepEqual(await at(three), ['/b=two']);
      assert.deepEqual(await at(four), ['/a=four', '/b=two']);
      assert.equal(await store.get('/a', { at: three }), undefined);
      assert.equal(text((await store.get('/a', { at: two }))!.value), 'one');
      await assert.rejects(store.get('/a', { at: four + 1 }));
    });

    test('a watch tells what happens to its prefix, before the commit is answered', async () => {
      await using store = await open();
      await using watch = startWatch(store, '/w/', store.revision);
      const one = await put(store, '/w/a', 'one');
      await watch.reaches(one);
      const two = await put(store, '/w/a', 'two');
      assert.deepEqual(watch.events.at(-1)?.revision, two);
      await put(store, '/x/a', 'other');
      const three = await remove(store, '/w/a');
      assert.deepEqual(watch.events.map(plainEvent), [
        { type: 'put', key: '/w/a', value: 'one', revision: one, createRevision: one },
        { type: 'put', key: '/w/a', value: 'two', revision: two, createRevision: one, previous: { value: 'one', revision: one } },
        { type: 'delete', key: '/w/a', value: '', revision: three, createRevision: one, previous: { value: 'two', revision: two } },
      ]);
    });

    test('a watch from the past tells the same as one that was there', async () => {
      await using store = await open();
      const start = store.revision;
      await using live = startWatch(store, '/w/', start);
      for (let n = 0; n < 40; n++) {
        await store.commit({
          writes: [
            { key: `/w/${n % 7}`, value: n % 5 === 4 ? null : bytes(String(n)) },
            { key: `/w/x${n % 3}`, value: bytes(String(n)) },
            { key: `/other/${n}`, value: bytes(String(n)) },
          ],
        });
      }
      await live.reaches(store.revision);
      await using late = startWatch(store, '/w/', start);
      await using middle = startWatch(store, '/w/', start + 17);
      await late.reaches(store.revision);
      await middle.reaches(store.revision);
      assert.deepEqual(late.events.map(plainEvent), live.events.map(plainEvent));
      assert.deepEqual(middle.events.map(plainEvent), live.events.filter(({ revision }) => revision > start + 17).map(plainEvent));
    });

    test('a watch that begins under load has no gap and no duplicate', async () => {
      await using store = await open();
      const start = store.revision;
      const written: number[] = [];
      const writing = Array.from({ length: 16 }, async (_, client) => {
        for (let n = 0; n < 200; n++) written.push(await put(store, `/w/${client}`, String(n)));
      });
      const watches: Watching[] = [];
      try {
        while (store.revision < start + 2000 && watches.length < 60) {
          watches.push(startWatch(store, '/w/', Math.floor((start + store.revision) / 2)), startWatch(store, '/w/', start));
          await put(store, '/elsewhere', 'x');
        }
        await Promise.all(writing);
        const last = await put(store, '/w/last', 'x');
        written.push(last);
        written.sort((a, b) => a - b);
        for (const watch of watches) {
          await watch.reaches(last);
          const expected = written.filter(revision => revision > watch.after);
          assert.deepEqual(
            watch.events.map(({ revision }) => revision),
            expected,
          );
        }
      } finally {
        for (const watch of watches) await watch[Symbol.asyncDispose]();
      }
    });

    test('a watcher that aborts as it receives gets nothing more', async () => {
      await using store = await open();
      const start = store.revision;
      for (let n = 0; n < 5; n++) await put(store, `/${n}`, 'x');
      const late = store.revision;
      for (const after of [start, late]) {
        const stop = new AbortController();
        let batches = 0;
        const receive = () => {
          batches++;
          stop.abort();
        };
        const watching = store.watch('/', { after, receive, signal: stop.signal });
        await Promise.all(Array.from({ length: 50 }, (_, n) => put(store, `/${n}`, 'y')));
        await watching;
        assert.equal(batches, 1);
      }
    });

    test('a watch from a revision to come tells nothing before it', async () => {
      await using store = await open();
      await using watch = startWatch(store, '/', store.revision + 2);
      await put(store, '/a', 'one');
      await put(store, '/a', 'two');
      await watch.reaches(await put(store, '/a', 'three'));
      assert.deepEqual(
        watch.events.map(({ value }) => text(value)),
        ['three'],
      );
    });

    test('a watch ends when its signal aborts, and tells nothing after', async () => {
      await using store = await open();
      const watch = startWatch(store, '/', store.revision);
      await watch.reaches(await put(store, '/a', 'one'));
      await watch[Symbol.asyncDispose]();
      const count = watch.events.length;
      await put(store, '/a', 'two');
      assert.equal(watch.events.length, count);
    });

    test('what was compacted is Expired, what is newest stays', async () => {
      await using store = await open();
      const start = store.revision;
      await put(store, '/kept', 'old');
      await put(store, '/gone', 'x');
      await remove(store, '/gone');
      const kept = await put(store, '/kept', 'new');
      await put(store, '/later', 'y');
      await store.compact(kept);
      assert.equal(store.compactedRevision, kept);
      await assert.rejects(store.get('/kept', { at: kept - 1 }), isExpired);
      await assert.rejects(store.list('/', { at: kept - 1 }), isExpired);
      const signal = AbortSignal.timeout(20_000);
      await assert.rejects(store.watch('/', { after: start, receive: () => {}, signal }), isExpired);
      assert.deepEqual(
        (await store.list('/', { at: kept })).entries.map(({ key }) => key),
        ['/kept'],
      );
      assert.equal(text((await store.get('/kept'))!.value), 'new');
      await using watch = startWatch(store, '/', kept);
      await watch.reaches(store.revision);
      assert.deepEqual(
        watch.events.map(({ key }) => key),
        ['/later'],
      );
    });

    test('the first change after a compaction still knows what stood there', async () => {
      await using store = await open();
      await put(store, '/a', 'one');
      const two = await put(store, '/a', 'two');
      await put(store, '/a', 'three');
      await store.compact(two);
      await using watch = startWatch(store, '/a', two);
      await watch.reaches(store.revision);
      assert.deepEqual(
        watch.events.map(event => text(event.previous!.value)),
        ['two'],
      );
    });

    test('what was asked before closing is done', async () => {
      const store = await open();
      const asked = Array.from({ length: 3000 }, (_, n) => put(store, `/${n % 100}`, String(n)));
      const last = asked.at(-1)!;
      await store[Symbol.asyncDispose]();
      assert.equal(new Set(await Promise.all(asked)).size, 3000);
      assert.equal(await last, store.revision);
    });

    test('closing while compaction still removes is harmless', async () => {
      const store = await open();
      for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 100 }, (_, m) => put(store, `/${m}`, String(n))));
      await store.compact(store.revision);
      await store[Symbol.asyncDispose]();
    });

    test('what is asked of a closed store is refused', async () => {
      const store = await open();
      const watch = store.watch('/', { after: store.revision, receive: () => {}, signal: AbortSignal.timeout(20_000) });
      const refused = assert.rejects(watch);
      const last = put(store, '/a', 'before closing');
      await store[Symbol.asyncDispose]();
      await last;
      await refused;
      await assert.rejects(store.get('/a'));
      await assert.rejects(store.commit({ writes: [{ key: '/a', value: null }] }));
      await store[Symbol.asyncDispose]();
    });

    test('a random history is linearizable, and every watch tells it whole', async () => {
      await using store = await open();
      await checkRandomHistory(store);
    });
  });
}

interface Watching extends AsyncDisposable {
  readonly after: number;
  readonly events: StoreEvent[];
  /** Resolves when everything up to `revision` was received, in order; fails after a deadline. */
  reaches(revision: number): Promise<void>;
}

/** A watch that checks the order of what it gets. */
export function startWatch(store: Store, prefix: string, after: number): Watching {
  const events: StoreEvent[] = [];
  const stop = new AbortController();
  let seen = after;
  let waiting: { revision: number; resolve: () => void }[] = [];
  const receive = (batch: WatchBatch) => {
    assert.ok(batch.revision > seen, `batch at ${batch.revision} after ${seen}`);
    for (const event of batch.events) {
      assert.ok(
        event.revision > seen && event.revision <= batch.revision,
        `event at ${event.revision} in a batch of (${seen}, ${batch.revision}]`,
      );
      assert.ok(event.key.startsWith(prefix));
      events.push(event);
    }
    seen = batch.revision;
    for (const { revision, resolve } of waiting) if (revision <= seen) resolve();
    waiting = waiting.filter(({ revision }) => revision > seen);
  };
  const watching = store.watch(prefix, { after, receive, signal: stop.signal });
  watching.catch(() => {});
  return {
    after,
    events,
    async reaches(revision) {
      if (seen >= revision) return;
      const reached = new Promise<void>(resolve => void waiting.push({ revision, resolve }));
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`watch of ${prefix} stands at ${seen}, not at ${revision}`)), 20_000);
      try {
        await Promise.race([reached, watching, late]);
      } finally {
        clearTimeout(timer);
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
    },
  };
}

const isExpired = (error: unknown) => isUmiakError(error, 'Expired');
const bytes = (value: string) => new TextEncoder().encode(value);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const plain = (entry: { value: Uint8Array } | undefined) => entry && { ...entry, value: text(entry.value) };

function plainEvent({ value, previous, ...event }: StoreEvent) {
  return { ...event, value: text(value), ...(previous && { previous: { ...previous, value: text(previous.value) } }) };
}

function put(store: Store, key: string, value: string): Promise<number> {
  return revisionOf(store.commit({ writes: [{ key, value: bytes(value) }] }));
}

function remove(store: Store, key: string): Promise<number> {
  return revisionOf(store.commit({ writes: [{ key, value: null }] }));
}

async function revisionOf(committing: Promise<CommitResult>): Promise<number> {
  const result = await committing;
  assert.ok(result.ok);
  return result.revision;
}
