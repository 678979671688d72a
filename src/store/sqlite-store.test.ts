import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ManualClock } from '#base/clock.ts';
import { isUmiakError, type Reason, type UmiakError } from '#base/errors.ts';
import { openSqliteStore, type SqliteStore } from './sqlite-store.ts';
import { runStoreSuite } from './suite.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-store-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;

/** A path for a new store. */
function newPath(): string {
  return join(directory, `${++count}`, 'state.db');
}

runStoreSuite('SqliteStore', () => openSqliteStore({ path: newPath() }));

describe('SqliteStore', { timeout: 120_000 }, () => {
  test('what was written is there after closing and opening', async () => {
    const path = newPath();
    let revision: number;
    {
      await using store = await openSqliteStore({ path });
      await put(store, '/a', 'one');
      await put(store, '/a', 'two');
      revision = await put(store, '/gone', 'x');
      await store.commit({ writes: [{ key: '/gone', value: null }] });
    }
    {
      await using store = await openSqliteStore({ path });
      assert.equal(store.revision, revision + 1);
      assert.equal(text((await store.get('/a'))?.value), 'two');
      assert.equal(text((await store.get('/a', { at: revision - 2 }))?.value), 'one');
      await store.compact(store.revision);
    }
    await using store = await openSqliteStore({ path });
    assert.equal(store.revision, revision + 1, 'no revision is given twice though the newest left no row');
    assert.equal(store.compactedRevision, revision + 1);
    assert.equal(await put(store, '/b', 'next'), revision + 2);
  });

  test('a second opening is refused and names who holds the store', async () => {
    const path = newPath();
    await using _store = await openSqliteStore({ path });
    await assert.rejects(openSqliteStore({ path }), refused('Conflict', new RegExp(`in use by process ${process.pid}`)));
  });

  test('the lock of a killed process is free', async () => {
    const path = newPath();
    const child = spawn(process.execPath, [fileURLToPath(new URL('./crash-load.ts', import.meta.url)), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      await assert.rejects(openSqliteStore({ path }), refused('Conflict', new RegExp(`process ${child.pid}`)));
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    await using store = await openSqliteStore({ path });
    assert.ok(store.revision > 1);
  });

  test('a newer format is refused with what to do', async () => {
    const path = newPath();
    await (await openSqliteStore({ path }))[Symbol.asyncDispose]();
    alter(path, 'PRAGMA user_version = 99');
    await assert.rejects(openSqliteStore({ path }), error => {
      assert.ok(refused('Invalid', /has format 99, this version of umiak reads up to 1/)(error));
      return /newer umiak/.test((error as UmiakError).hint ?? '');
    });
    alter(path, 'PRAGMA user_version = 1');
    await (await openSqliteStore({ path }))[Symbol.asyncDispose]();
  });

  test("another program's database is refused and left as it is", async () => {
    const path = newPath();
    mkdirSync(join(path, '..'));
    alter(path, 'CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)');
    const before = readFileSync(path);
    await assert.rejects(openSqliteStore({ path }), refused('Invalid', /another program/));
    assert.deepEqual(readFileSync(path), before);
  });

  test('garbage is refused and left as it is', async () => {
    const path = newPath();
    mkdirSync(join(path, '..'));
    const garbage = Buffer.alloc(20_000, 'not a database ');
    writeFileSync(path, garbage);
    await assert.rejects(openSqliteStore({ path }), refused('Invalid', /damaged/));
    assert.deepEqual(readFileSync(path), garbage);
  });

  test('a file cut short is refused', async () => {
    const path = newPath();
    {
      await using store = await openSqliteStore({ path });
      for (let n = 0; n < 100; n++) await put(store, `/key/${n}`, 'x'.repeat(1000));
    }
    truncateSync(path, Math.floor(statSync(path).size / 2));
    await assert.rejects(openSqliteStore({ path }), refused('Invalid', /damaged/));
  });

  test('verify finds nothing in a sound store and names what is wrong in another', async () => {
    const path = newPath();
    {
      await using store = await openSqliteStore({ path });
      for (let n = 0; n < 50; n++) await put(store, `/key/${n % 10}`, 'x'.repeat(500));
      assert.deepEqual(await store.verify(), []);
    }
    alter(path, 'UPDATE entry SET created = 1000000 WHERE id = (SELECT min(id) FROM entry)');
    await using store = await openSqliteStore({ path });
    assert.deepEqual(await store.verify(), ['a revision lies in the future of its creation (1 times)']);
  });

  test('a backup under load is one state, and opens as a store', async () => {
    const path = newPath();
    const to = join(directory, 'backup.db');
    await using store = await openSqliteStore({ path });
    for (let n = 0; n < 20; n++) await pair(store, n);
    const before = store.revision;
    let isDone = false;
    const writing = (async () => {
      for (let n = 20; !isDone; n++) await pair(store, n);
    })();
    await store.backup(to);
    isDone = true;
    await writing;
    await assert.rejects(store.backup(to), refused('AlreadyExists', /exists/));
    assert.equal(statSync(to).mode & 0o077, 0, 'a backup is for nobody else');
    assert.equal(statSync(path).mode & 0o077, 0);
    await using copy = await openSqliteStore({ path: to });
    assert.ok(copy.revision >= before && copy.revision <= store.revision);
    const { entries } = await copy.list('/');
    assert.equal(entries.length, 2);
    assert.deepEqual(entries, (await store.list('/', { at: copy.revision })).entries);
    assert.deepEqual(await copy.verify(), []);
  });

  test('a transformer changes what is on the disk, in the past and in events not at all', async () => {
    const path = newPath();
    const module = join(directory, 'xor.mjs');
    writeFileSync(
      module,
      `export function createTransformer({ mask }) {
        const turn = value => value.map(byte => byte ^ mask);
        return {
          toStored: (value, key) => Buffer.concat([Buffer.from('xor:' + key + ':'), turn(value)]),
          fromStored(stored, key) {
            const head = Buffer.from('xor:' + key + ':');
            if (!Buffer.from(stored).subarray(0, head.length).equals(head)) throw new Error('not of this key');
            return turn(stored.subarray(head.length));
          },
        };
      }`,
    );
    {
      await using store = await openSqliteStore({
        path,
        transformers: { '/secrets/': { module: `file://${module}`, options: { mask: 0x55 } } },
      });
      const start = store.revision;
      await put(store, '/secrets/a', 'hidden words');
      await put(store, '/secrets/a', 'other hidden words');
      await put(store, '/open/a', 'plain words');
      assert.equal(text((await store.get('/secrets/a'))?.value), 'other hidden words');
      assert.equal(text((await store.list('/secrets/', { at: start + 1 })).entries[0]?.value), 'hidden words');
      const told: string[] = [];
      const stop = new AbortController();
      await store.watch('/secrets/', {
        after: start,
        receive: ({ events, revision }) => {
          for (const { value, previous } of events) told.push(`${text(previous?.value)}→${text(value)}`);
          if (revision === store.revision) stop.abort();
        },
        signal: stop.signal,
      });
      assert.deepEqual(told, ['→hidden words', 'hidden words→other hidden words']);
    }
    const file = readFileSync(path).toString('latin1');
    assert.ok(!file.includes('hidden words'));
    assert.ok(file.includes('plain words'));
  });

  test('history leaves by time, on the clock and not before', async () => {
    const clock = new ManualClock();
    await using store = await openSqliteStore({ path: newPath(), clock, windowMs: 10 * 60_000 });
    const first = await put(store, '/a', 'one');
    await put(store, '/a', 'two');
    clock.advance(31_000);
    await until(
      store,
      () => clock.advance(0),
      async () => isReadable(store, first),
    );
    clock.advance(9 * 60_000);
    await store.get('/a');
    assert.equal(await isReadable(store, first), true, 'nine and a half minutes after');
    const third = await put(store, '/a', 'three');
    await until(
      store,
      () => clock.advance(31_000),
      async () => !(await isReadable(store, first)),
    );
    assert.equal(store.compactedRevision, third - 1);
    assert.equal(text((await store.get('/a'))?.value), 'three');
  });

  test('history leaves by size, whatever the clock says', async () => {
    const path = newPath();
    const windowBytes = 400_000;
    await using store = await openSqliteStore({ path, clock: new ManualClock(), windowBytes });
    const start = store.revision;
    for (let n = 0; n < 2000; n++) await put(store, `/key/${n % 10}`, 'x'.repeat(1000));
    assert.ok(store.compactedRevision > start + 1400, `compacted up to ${store.compactedRevision} of ${store.revision}`);
    assert.ok(store.compactedRevision < store.revision - 200, 'the window itself is kept');
    await until(
      store,
      () => {},
      async () => rowsOf(path) < 600,
    );
    assert.equal((await store.list('/key/')).entries.length, 10);
    assert.deepEqual(await store.verify(), []);
  });

  test('the window outlives a restart', async () => {
    const clock = new ManualClock();
    const path = newPath();
    let first: number;
    {
      await using store = await openSqliteStore({ path, clock });
      first = await put(store, '/a', 'one');
      await put(store, '/a', 'two');
      clock.advance(31_000);
      await store.get('/a');
    }
    clock.advance(11 * 60_000);
    await using store = await openSqliteStore({ path, clock });
    await until(
      store,
      () => {},
      async () => !(await isReadable(store, first)),
    );
  });

  test('the log is copied into the database under load, by a thread beside', async () => {
    const path = newPath();
    await using store = await openSqliteStore({ path });
    const value = new Uint8Array(1400).fill(1);
    for (let n = 0; n < 400; n++)
      await Promise.all(Array.from({ length: 64 }, (_, m) => store.commit({ writes: [{ key: `/key/${n}/${m}`, value }] })));
    await until(
      store,
      () => {},
      async () => statSync(path).size > 8 * 1024 * 1024,
    );
    assert.ok(statSync(`${path}-wal`).size < 128 * 1024 * 1024);
  });

  test('a full disk refuses what it cannot keep, and goes on when there is room', async t => {
    const mount = join(directory, 'small');
    mkdirSync(mount);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mount], { stdio: 'pipe' });
    } catch (error) {
      t.skip(`NOT TESTED: mounting a small file system needs root: ${error}`);
      return;
    }
    try {
      await using store = await openSqliteStore({ path: join(mount, 'state.db') });
      const ballast = join(mount, 'ballast');
      writeFileSync(ballast, Buffer.alloc(1_000_000));
      let kept = 0;
      const fill = async () => {
        for (let n = 0; n < 100; n++) kept = await put(store, `/key/${n}`, 'x'.repeat(100_000));
      };
      await assert.rejects(fill(), refused('ServiceUnavailable', /no room/));
      assert.equal(store.revision, kept);
      rmSync(ballast);
      assert.equal(await put(store, '/after', 'room'), kept + 1);
      assert.equal((await store.list('/key/')).entries.length, kept - 1);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  test('what can be no transaction is refused alone', async () => {
    await using store = await openSqliteStore({ path: newPath() });
    const value = bytes('x');
    const twice = store.commit({
      writes: [
        { key: '/a', value },
        { key: '/a', value },
      ],
    });
    const good = put(store, '/good', 'x');
    await assert.rejects(twice, refused('Invalid', /twice/));
    for (const key of ['', '/\0', '/\ud800'])
      await assert.rejects(store.commit({ writes: [{ key, value }] }), refused('Invalid', /a key must/));
    await good;
    await assert.rejects(store.compact(store.revision + 1), refused('Invalid', /cannot compact/));
  });

  test('a watcher that throws ends its own watch only', async () => {
    await using store = await openSqliteStore({ path: newPath() });
    const signal = AbortSignal.timeout(20_000);
    const bad = store.watch('/', {
      after: store.revision,
      receive: () => {
        throw new Error('of its own making');
      },
      signal,
    });
    const failed = assert.rejects(bad, /of its own making/);
    await put(store, '/a', 'x');
    await failed;
    await put(store, '/b', 'x');
  });
});

function refused(reason: Reason, message: RegExp): (error: unknown) => boolean {
  return error => isUmiakError(error, reason) && message.test(error.message);
}

const bytes = (value: string) => new TextEncoder().encode(value);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

async function put(store: SqliteStore, key: string, value: string): Promise<number> {
  const result = await store.commit({ writes: [{ key, value: bytes(value) }] });
  assert.ok(result.ok);
  return result.revision;
}

async function pair(store: SqliteStore, n: number): Promise<void> {
  await store.commit({ writes: ['/a', '/b'].map(key => ({ key, value: bytes(String(n)) })) });
}

async function isReadable(store: SqliteStore, at: number): Promise<boolean> {
  try {
    await store.get('/a', { at });
    return true;
  } catch (error) {
    if (isUmiakError(error, 'Expired')) return false;
    throw error;
  }
}

/** Lets the store work, and `push` happen, until `isSo`. */
async function until(store: SqliteStore, push: () => void, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 20_000; !(await isSo()); ) {
    assert.ok(performance.now() < deadline, 'waited in vain');
    push();
    await store.get('/none');
  }
}

function alter(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

function rowsOf(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  const row = database.prepare('SELECT count(*) AS count FROM entry').get();
  database.close();
  return Number(row?.count);
}
