import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '#base/ids.ts';
import { openSqliteStore, type SqliteStore } from './sqlite-store.ts';
import type { Entry } from './store.ts';
import { startWatch } from './suite.ts';

const ROUNDS = process.env.UMIAK_SOAK ? 1000 : 50;
const LOAD = fileURLToPath(new URL('./crash-load.ts', import.meta.url));
const seed = Number(process.env.UMIAK_SEED ?? Math.floor(Math.random() * 2 ** 31));

interface Acknowledged {
  counter: number;
  revision: number;
}

test(`killed ${ROUNDS} times under load, the store loses nothing it acknowledged (UMIAK_SEED=${seed})`, async t => {
  const directory = mkdtempSync(join(tmpdir(), `umiak-crash-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'state.db');
  const random = seededRandom(seed);
  const acknowledged = new Map<string, Acknowledged>();
  let commits = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    commits += await loadAndKill(path, acknowledged, 1 + random() * 150);
    await using store = await openSqliteStore({ path });
    await checkWhole(store, acknowledged);
    if (round % 10 === 0) assert.deepEqual(await store.verify(), []);
  }
  t.diagnostic(`${commits} commits acknowledged`);
  assert.ok(commits > ROUNDS, 'there was load');
});

/** Runs the load until `ms` after its first acknowledgement, kills it, and notes all it acknowledged. */
async function loadAndKill(path: string, acknowledged: Map<string, Acknowledged>, ms: number): Promise<number> {
  const child = spawn(process.execPath, [LOAD, path], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const output = collect(child);
    await Promise.race([once(child.stdout!, 'data'), output.closed]);
    await new Promise(resolve => setTimeout(resolve, ms));
    child.kill('SIGKILL');
    await output.closed;
    assert.equal(child.signalCode, 'SIGKILL', `the load ended by itself: ${output.errors()}`);
    // The last line may have been cut by the kill; then nobody was told.
    const lines = output.text().split('\n').slice(0, -1);
    for (const line of lines) {
      const [client, counter, revision] = line.split(' ') as [string, string, string];
      acknowledged.set(client, { counter: Number(counter), revision: Number(revision) });
    }
    return lines.length;
  } finally {
    child.kill('SIGKILL');
  }
}

function collect(child: ChildProcess) {
  let text = '';
  let errors = '';
  child.stdout!.setEncoding('utf8').on('data', chunk => (text += chunk));
  child.stderr!.setEncoding('utf8').on('data', chunk => (errors += chunk));
  return { text: () => text, errors: () => errors, closed: once(child, 'close') };
}

/** Every client's keys carry one counter, the last acknowledged or the one after it; and history tells of whole transactions. */
async function checkWhole(store: SqliteStore, acknowledged: Map<string, Acknowledged>): Promise<void> {
  const { entries } = await store.list('/crash/');
  const clients = Map.groupBy(entries, ({ key }) => key.split('/')[2]!);
  for (const [client, keys] of clients) {
    // What was read counts as much as what was acknowledged: the next round must find it.
    acknowledged.set(client, checkClient(client, keys, acknowledged.get(client)));
  }
  for (const [client, { revision }] of acknowledged) {
    assert.ok(clients.has(client), `client ${client} is gone`);
    assert.ok(store.revision >= revision, `revision ${revision} was acknowledged, the store stands at ${store.revision}`);
  }
  await using watch = startWatch(store, '/crash/', store.compactedRevision);
  await watch.reaches(store.revision);
  const revisions = Map.groupBy(watch.events, ({ revision }) => revision);
  assert.equal(revisions.size, store.revision - Math.max(store.compactedRevision, 1), 'a revision is missing');
  for (const [revision, events] of revisions) {
    const client = events[0]!.key.split('/')[2]!;
    const counter = Number(Buffer.from(events[0]!.value).toString());
    const hasBlink = counter % 2 === 1 || counter > 1;
    assert.equal(events.length, 2 + (Number(client) % 4) + (hasBlink ? 1 : 0), `revision ${revision} is there in part`);
  }
}

function checkClient(client: string, keys: Entry[], last: Acknowledged | undefined): Acknowledged {
  const counters = new Set(keys.map(({ value }) => Number(Buffer.from(value).toString())));
  const revisions = new Set(keys.map(({ revision }) => revision));
  assert.equal(counters.size, 1, `client ${client} has half a transaction: ${[...counters]}`);
  assert.equal(revisions.size, 1);
  const counter = [...counters][0]!;
  const revision = [...revisions][0]!;
  assert.equal(keys.length, 2 + (Number(client) % 4) + (counter % 2));
  if (last) {
    assert.ok(
      counter === last.counter || counter === last.counter + 1,
      `client ${client} was told of ${last.counter}, there is ${counter}`,
    );
    if (counter === last.counter) assert.equal(revision, last.revision);
  }
  return { counter, revision };
}

test('a log torn anywhere opens at a whole transaction', async t => {
  const directory = mkdtempSync(join(tmpdir(), `umiak-torn-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const random = seededRandom(seed);
  const path = join(directory, 'state.db');
  const copy = join(directory, 'copy.db');
  {
    await using store = await openSqliteStore({ path });
    for (let n = 1; n <= 60; n++) {
      const value = new TextEncoder().encode(String(n).padEnd(n * 50));
      await store.commit({ writes: ['/torn/a', '/torn/b', '/torn/c'].map(key => ({ key, value })) });
    }
    copyFileSync(path, copy);
    copyFileSync(`${path}-wal`, `${copy}-wal`);
  }
  const whole = statSync(`${copy}-wal`).size;
  const image = readFileSync(`${copy}-wal`);
  assert.ok(whole > 60 * 4096 && image.length === whole);
  const seen = new Set<number>();
  for (let round = 0; round < 20; round++) {
    const torn = join(directory, `${round}`, 'state.db');
    mkdirSync(join(directory, `${round}`));
    copyFileSync(copy, torn);
    copyFileSync(`${copy}-wal`, `${torn}-wal`);
    // The schema is in the first pages of the log.
    truncateSync(`${torn}-wal`, Math.floor(whole * (0.2 + 0.8 * random())));
    await using store = await openSqliteStore({ path: torn });
    const { entries } = await store.list('/torn/');
    assert.equal(entries.length, 3);
    assert.equal(new Set(entries.map(({ value }) => Buffer.from(value).toString())).size, 1);
    assert.ok(entries.every(({ revision }) => revision === store.revision));
    seen.add(store.revision);
  }
  assert.ok(seen.size > 3, 'the log was torn in several places');
});
