import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { UmiakError } from '#base/errors.ts';
import { type CompactionWindow, type Mark, planCompaction } from './compaction.ts';
import { prefixEnd } from './keys.ts';
import { type Calls, type ListPage, type Outcome, type Position, type ReplayPage, toEvent, type WriteEffect } from './protocol.ts';
import { explain, explaining, isDiskFull } from './sqlite-format.ts';
import type { Entry, StoreEvent, Transaction } from './store.ts';
import type { ValueTransformer } from './transformer.ts';

/** `position` has 16 bits of a row's id. */
const MAX_WRITES = 65_536;
/** Sorts after every key. */
const NO_END = '\u{10ffff}\u{10ffff}';
/** A page of a list or replay ends after so many values, or so many of their bytes: about a millisecond for either thread. */
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 1024 * 1024;
/** Revisions one step of sweeping, or a page of a replay that finds nothing, looks at. */
const SWEEP_REVISIONS = 256;
const REPLAY_REVISIONS = 4096;
/** What a version takes beyond its key and value, roughly. */
const ROW_BYTES = 64;

type Row = SQLOutputValue[];
interface Version {
  revision: number;
  createRevision: number;
  value: Uint8Array | null;
}

export interface VersionTableOptions {
  path: string;
  window: CompactionWindow;
  transformerFor: (key: string) => ValueTransformer;
}

/**
 * The store's model on an open database, synchronous, for one thread. A group of transactions is one SQLite transaction;
 * between groups everything that can be read is durable.
 */
export class VersionTable {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #window: CompactionWindow;
  readonly #transformerFor: (key: string) => ValueTransformer;
  readonly #sql: ReturnType<typeof prepare>;
  #revision: number;
  #compacted: number;
  /** How far compaction has removed what it may: follows `#compacted`. */
  #swept: number;
  #marks: Mark[];
  #bytes: number;
  #broken: unknown;

  constructor(database: DatabaseSync, { path, window, transformerFor }: VersionTableOptions) {
    this.#database = database;
    this.#path = path;
    this.#window = window;
    this.#transformerFor = transformerFor;
    this.#sql = explaining(path, () => prepare(database));
    const [newest, compacted, swept] = explaining(path, () => this.#sql.position.get() as unknown as [number | null, number, number]);
    this.#revision = Math.max(newest ?? 0, compacted, 1);
    this.#compacted = compacted;
    this.#swept = swept;
    this.#marks = (this.#sql.marks.all() as unknown as number[][]).map(([revision, atMs, bytes]) => ({
      revision: revision!,
      atMs: atMs!,
      bytes: bytes!,
    }));
    this.#bytes = this.#marks.at(-1)?.bytes ?? 0;
  }

  get position(): Position {
    return { revision: this.#revision, compactedRevision: this.#compacted };
  }

  /**
   * Commits `transactions` in order, each seeing the ones before it, all with one flush to the disk.
   * A failure of the disk is every transaction's; any other concerns its own transaction only.
   */
  commit(transactions: readonly Transaction[]): Outcome[] {
    if (this.#broken) return transactions.map(() => ({ kind: 'error', error: this.#broken }));
    const before = this.#revision;
    const bytesBefore = this.#bytes;
    try {
      this.#sql.begin.run();
      const outcomes = transactions.map(transaction => this.#evaluate(transaction));
      this.#sql.commit.run();
      return outcomes;
    } catch (error) {
      this.#revision = before;
      this.#bytes = bytesBefore;
      this.#rollBack(error);
      const explained = explain(this.#path, error);
      return transactions.map(() => ({ kind: 'error', error: explained }));
    }
  }

  /** After a failed flush nobody knows what the disk holds: only opening anew finds out. A full disk is different. */
  #rollBack(cause: unknown): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    if (isDiskFull(cause)) return;
    this.#broken = new UmiakError('ServiceUnavailable', `the store ${this.#path} stopped writing after a failure of its disk`, {
      hint: 'Look at the disk, then restart the server: it opens the store at what is durable.',
      cause,
    });
  }

  #evaluate({ conditions = [], writes }: Transaction): Outcome {
    for (const [index, { key, revision }] of conditions.entries()) {
      const current = this.#revisionOf(key);
      if (current === revision) continue;
      const version = this.#newest(key);
      return {
        kind: 'refused',
        condition: index,
        revision: current,
        createRevision: version?.createRevision ?? 0,
        value: version?.value ?? null,
      };
    }
    let prepared: { key: string; stored: Uint8Array | null; effect: WriteEffect }[];
    try {
      prepared = this.#prepare(writes);
    } catch (error) {
      return { kind: 'error', error: explain(this.#path, error) };
    }
    const effective = prepared.filter(({ effect }) => effect.createRevision > 0);
    if (effective.length > 0) this.#revision++;
    for (const [position, { key, stored, effect }] of effective.entries()) {
      this.#sql.insert.run(this.#revision, position, key, effect.createRevision, stored);
      this.#bytes += key.length + (stored?.length ?? 0) + ROW_BYTES;
    }
    return { kind: 'written', revision: this.#revision, effects: prepared.map(({ effect }) => effect) };
  }

  #prepare(writes: Transaction['writes']): { key: string; stored: Uint8Array | null; effect: WriteEffect }[] {
    if (writes.length > MAX_WRITES)
      throw new UmiakError('Invalid', `a transaction has ${writes.length} writes, at most ${MAX_WRITES} are possible`);
    return writes.map(({ key, value }) => {
      const previous = this.#newest(key);
      const createRevision = previous?.createRevision ?? (value ? this.#revision + 1 : 0);
      const stored = value && this.#transformerFor(key).toStored(value, key);
      return { key, stored, effect: { createRevision, previousRevision: previous?.revision ?? 0, previous: previous?.value ?? null } };
    });
  }

  /** The revision of what stands at `key`, 0 if nothing does. */
  #revisionOf(key: string): number {
    const row = this.#sql.revisionOf.get(key) as unknown as Row | undefined;
    return row?.[1] ? (row[0] as number) : 0;
  }

  #newest(key: string): Version | undefined {
    return this.#live(key, this.#sql.newest.get(key) as unknown as Row | undefined);
  }

  #before(key: string, revision: number): Version | undefined {
    return this.#live(key, this.#sql.before.get(key, revision) as unknown as Row | undefined);
  }

  #live(key: string, row: Row | undefined): Version | undefined {
    if (!row || row[2] === null) return undefined;
    return { revision: row[0] as number, createRevision: row[1] as number, value: this.#fromStored(key, row[2]) };
  }

  #fromStored(key: string, stored: SQLOutputValue | undefined): Uint8Array {
    return this.#transformerFor(key).fromStored(stored as Uint8Array, key);
  }

  get(key: string, at: number | undefined): Entry | undefined {
    const revision = this.#readableRevision(at);
    const version = this.#before(key, revision + 1);
    return version && { key, value: version.value!, revision: version.revision, createRevision: version.createRevision };
  }

  /** A page of a list. A `continued` one may be older than what is kept, as long as nothing it sees was removed. @throws `Expired` */
  list({ prefix, from, at, continued, limit }: Calls['list']['request']): ListPage {
    const revision = continued && at! >= this.#swept ? at! : this.#readableRevision(at);
    const entries: Entry[] = [];
    let bytes = 0;
    const most = Math.min(limit, PAGE_ENTRIES);
    const start = from > prefix ? from : prefix;
    for (const row of this.#sql.list.iterate(start, prefixEnd(prefix) ?? NO_END, revision + 1) as unknown as Iterable<Row>) {
      if (entries.length === most || bytes > PAGE_BYTES) return { entries, revision, more: true };
      const key = row[1] as string;
      const value = this.#fromStored(key, row[3]);
      entries.push({ key, value, revision: row[0] as number, createRevision: row[2] as number });
      bytes += value.length;
    }
    return { entries, revision, more: false };
  }

  /** Events of whole revisions in (after, through], as many as a page holds. @throws `Expired` */
  replay(prefix: string, after: number, through: number): ReplayPage {
    this.#checkKept(after);
    const events: StoreEvent[] = [];
    let bytes = 0;
    const end = Math.min(through, after + REPLAY_REVISIONS);
    const rows = this.#sql.changes.iterate(after + 1, end + 1, prefix, prefixEnd(prefix) ?? NO_END) as unknown as Iterable<Row>;
    for (const row of rows) {
      const revision = row[0] as number;
      const last = events.at(-1)?.revision;
      if (last !== undefined && revision !== last && (events.length >= PAGE_ENTRIES || bytes > PAGE_BYTES))
        return { events, revision: last };
      const key = row[1] as string;
      const value = row[3] === null ? null : this.#fromStored(key, row[3]);
      const previous = this.#before(key, revision);
      events.push(
        toEvent(
          { key, value, revision, createRevision: row[2] as number },
          previous ? { value: previous.value!, revision: previous.revision } : null,
        ),
      );
      bytes += (value?.length ?? 0) + (previous?.value?.length ?? 0);
    }
    return { events, revision: end };
  }

  #readableRevision(at: number | undefined): number {
    if (at === undefined) return this.#revision;
    if (at > this.#revision) {
      throw new UmiakError('Timeout', `Too large resource version: ${at}, current: ${this.#revision}`, {
        hint: 'That revision is not of this store, or has not been written yet.',
      });
    }
    this.#checkKept(at);
    return at;
  }

  #checkKept(revision: number): void {
    if (revision >= this.#compacted) return;
    throw new UmiakError(
      'Expired',
      `The resourceVersion for the provided list or watch is too old: ${revision} (oldest kept: ${this.#compacted})`,
      {
        hint: 'List again without a resourceVersion and watch from the list.',
      },
    );
  }

  /** Notes where history stands at `nowMs` and forgets what the window no longer covers. True while there is more to forget later. */
  tick(nowMs: number): boolean {
    if (this.#broken) return false;
    if (this.#marks.at(-1)?.revision !== this.#revision && this.#revision > this.#compacted) {
      const mark = { revision: this.#revision, atMs: nowMs, bytes: this.#bytes };
      this.#lazily(() => void this.#sql.mark.run(mark.revision, mark.atMs, mark.bytes));
      this.#marks.push(mark);
    }
    const target = planCompaction(this.#marks, { atMs: nowMs, bytes: this.#bytes }, this.#window);
    if (target !== undefined) this.compact(target);
    return this.#revision > this.#compacted;
  }

  /** Makes revisions before `at` unreadable at once; their rows go by `sweep`. */
  compact(at: number): void {
    if (at > this.#revision) throw new UmiakError('Invalid', `cannot compact the store at revision ${at}: the newest is ${this.#revision}`);
    if (at <= this.#compacted) return;
    this.#lazily(() => {
      this.#sql.setMeta.run(at, 'compacted');
      this.#sql.unmark.run(at);
    });
    this.#compacted = at;
    this.#marks = this.#marks.filter(mark => mark.revision > at);
  }

  /** Removes some rows that only compacted revisions could see; false when there are none left. */
  sweep(): boolean {
    if (this.#swept >= this.#compacted || this.#broken) return false;
    const end = Math.min(this.#swept + SWEEP_REVISIONS, this.#compacted);
    const rows = this.#sql.versions.all(this.#swept + 1, end + 1) as unknown as [number, number, string, number][];
    this.#lazily(() => {
      // Each version makes the ones before it invisible; a deletion itself is nothing to see either.
      for (const [revision, position, key, isDelete] of rows) this.#sql.forget.run(key, revision, isDelete ? position + 1 : position);
      this.#sql.setMeta.run(end, 'swept');
    });
    this.#swept = end;
    return this.#swept < this.#compacted;
  }

  /** A transaction that needn't be on the disk before the next commit is: what it forgets may come back after a crash and be forgotten again. */
  #lazily(run: () => void): void {
    this.#database.exec('PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE');
    try {
      run();
      this.#sql.commit.run();
    } catch (error) {
      this.#rollBack(error);
      throw explain(this.#path, error);
    } finally {
      this.#database.exec('PRAGMA synchronous = FULL');
    }
  }

  /** Pages of the write-ahead log, and how many of them are not yet in the database. */
  get log(): { pages: number; behind: number } {
    const row = this.#sql.logState.get() as unknown as [number, number, number];
    return { pages: Math.max(row[1], 0), behind: Math.max(row[1] - row[2], 0) };
  }

  /** Copies the log into the database as far as no reader keeps it; the next commit then begins it anew. */
  checkpoint(): void {
    this.#sql.checkpoint.get();
  }

  close(): void {
    this.#database.close();
  }
}

function prepare(database: DatabaseSync) {
  const rows = (sql: string): StatementSync => {
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  };
  return {
    begin: rows('BEGIN IMMEDIATE'),
    commit: rows('COMMIT'),
    insert: rows('INSERT INTO entry (id, key, created, value) VALUES ((?1 << 16) | ?2, ?3, ?4, ?5)'),
    revisionOf: rows('SELECT id >> 16, value IS NOT NULL FROM entry WHERE key = ?1 ORDER BY id DESC LIMIT 1'),
    newest: rows('SELECT id >> 16, created, value FROM entry WHERE key = ?1 ORDER BY id DESC LIMIT 1'),
    before: rows('SELECT id >> 16, created, value FROM entry WHERE key = ?1 AND id < (?2 << 16) ORDER BY id DESC LIMIT 1'),
    list: rows(`SELECT e.id >> 16, e.key, e.created, e.value FROM
      (SELECT max(id) AS newest FROM entry WHERE key >= ?1 AND key < ?2 AND id < (?3 << 16) GROUP BY key ORDER BY key)
      CROSS JOIN entry AS e ON e.id = newest WHERE e.value IS NOT NULL`),
    changes: rows(`SELECT id >> 16, key, created, value FROM entry NOT INDEXED
      WHERE id >= (?1 << 16) AND id < (?2 << 16) AND key >= ?3 AND key < ?4 ORDER BY id`),
    versions: rows('SELECT id >> 16, id & 65535, key, value IS NULL FROM entry WHERE id >= (?1 << 16) AND id < (?2 << 16) ORDER BY id'),
    forget: rows('DELETE FROM entry WHERE key = ?1 AND id < ((?2 << 16) | ?3)'),
    setMeta: rows('UPDATE meta SET value = ?1 WHERE name = ?2'),
    mark: rows('INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3)'),
    unmark: rows('DELETE FROM mark WHERE revision <= ?1'),
    marks: rows('SELECT revision, at_ms, bytes FROM mark ORDER BY revision'),
    position: rows(
      `SELECT (SELECT max(id) >> 16 FROM entry), (SELECT value FROM meta WHERE name = 'compacted'), (SELECT value FROM meta WHERE name = 'swept')`,
    ),
    logState: rows('PRAGMA wal_checkpoint(NOOP)'),
    checkpoint: rows('PRAGMA wal_checkpoint(PASSIVE)'),
  };
}
