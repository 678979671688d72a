import { closeSync, existsSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf, UmiakError } from '#base/errors.ts';
import { syncPath } from './sync-path.ts';

/** The on-disk format this program writes and the newest it reads. */
export const FORMAT = 1;
/** `Umia`, SQLite's `application_id` of our files. */
const APPLICATION_ID = 0x556d6961;

const SQLITE_FULL = 13;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

const CACHE_KIB = 8192;
/** What the log file is cut back to after it grew under load. */
const JOURNAL_BYTES = 32 * 1024 * 1024;

/*
 * `entry` is the log of all kept versions. `id` is `revision << 16 | position in its transaction`: a range of revisions is a range
 * of rows, new rows are appended, and the index on `key` (which ends in `id`) finds a key as of any revision. No value: deleted then.
 */
const SCHEMA = `
  CREATE TABLE entry (id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, value BLOB);
  CREATE INDEX entry_key ON entry (key);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE mark (revision INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL);
  INSERT INTO meta VALUES ('compacted', 0), ('swept', 0);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${FORMAT};`;

/** Opens the store's database for writing, making it if there is none. @throws `Invalid` when it is not ours, newer or damaged. */
export function openDatabase(path: string): DatabaseSync {
  return explaining(path, () => {
    // Ours alone, and so will be the files SQLite puts beside it.
    closeSync(openSync(path, 'a', 0o600));
    const database = new DatabaseSync(path);
    try {
      if (isEmpty(database)) {
        database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
        database.exec(`BEGIN IMMEDIATE; ${SCHEMA}; COMMIT`);
        syncPath(dirname(path));
        syncPath(dirname(dirname(path)));
      }
      checkFormat(database, path);
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0');
      database.exec(`PRAGMA cache_size = -${CACHE_KIB}; PRAGMA journal_size_limit = ${JOURNAL_BYTES}`);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

/** Opens an existing store's database beside its writer, for a side thread. */
export function openBeside(path: string): DatabaseSync {
  return explaining(path, () => {
    if (!existsSync(path)) throw new UmiakError('NotFound', `there is no store ${path}`);
    const database = new DatabaseSync(path, { timeout: 5000 });
    try {
      checkFormat(database, path);
      database.exec('PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0');
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()?.count === 0 && pragma(database, 'application_id') === 0;
}

function checkFormat(database: DatabaseSync, path: string): void {
  if (pragma(database, 'application_id') !== APPLICATION_ID) {
    throw new UmiakError('Invalid', `${path} is a database of another program, not a store`, {
      hint: 'Name another file or data directory.',
    });
  }
  const format = pragma(database, 'user_version');
  if (format > FORMAT) {
    throw new UmiakError('Invalid', `the store ${path} has format ${format}, this version of umiak reads up to ${FORMAT}`, {
      hint: 'Run the newer umiak that wrote it, or restore a backup from before the upgrade.',
    });
  }
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

/** Says in the house's words what SQLite means, naming the file. */
export function explaining<Result>(path: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw explain(path, error);
  }
}

export function explain(path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (code === undefined) return error;
  if (code === SQLITE_NOTADB || code === SQLITE_CORRUPT) {
    return new UmiakError('Invalid', `the store ${path} is damaged: ${messageOf(error)}`, {
      hint: 'Move the file and its -wal aside and put a backup in its place; nothing was changed.',
      cause: error,
    });
  }
  if (code === SQLITE_FULL) {
    return new UmiakError('ServiceUnavailable', `no room left on the disk of the store ${path}`, {
      hint: 'Free some space; nothing of the write was kept and no restart is needed.',
      cause: error,
    });
  }
  return new UmiakError('InternalError', `the store ${path}: ${messageOf(error)}`, { cause: error });
}

/** True when the disk was full: SQLite has taken the whole transaction back, and the next may succeed. */
export function isDiskFull(error: unknown): boolean {
  return codeOf(error) === SQLITE_FULL;
}

/** SQLite's primary result code, if `error` comes from SQLite. */
function codeOf(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}
