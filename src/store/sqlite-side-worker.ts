import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { type FromSide, type SideJob, toWireError } from './protocol.ts';
import { explain, openBeside } from './sqlite-format.ts';
import { syncPath } from './sync-path.ts';

/* Long jobs beside the writer, each on a connection of its own: in WAL mode it sees one state and holds nobody up. */

const port = parentPort!;
port.on('message', (job: SideJob) => {
  let answer: FromSide;
  try {
    answer = { kind: 'done', problems: run(job) };
  } catch (error) {
    answer = { kind: 'failed', error: toWireError(explain(job.path, error)) };
  }
  port.postMessage(answer);
});

function run(job: SideJob): string[] {
  const database = openBeside(job.path);
  try {
    if (job.kind === 'checkpoint') database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    if (job.kind === 'backup') backup(database, job.to);
    return job.kind === 'verify' ? verify(database) : [];
  } finally {
    database.close();
  }
}

/** SQLite's own check, then what the model promises of the rows. */
function verify(database: DatabaseSync): string[] {
  const problems = database
    .prepare('PRAGMA integrity_check(100)')
    .all()
    .map(row => String(row.integrity_check))
    .filter(text => text !== 'ok');
  const claims: [string, string][] = [
    ['a revision lies in the future of its creation', 'SELECT count(*) FROM entry WHERE created > id >> 16'],
    [
      'a deletion stands alone or twice',
      `SELECT count(*) FROM entry e WHERE value IS NULL AND id >> 16 > (SELECT value FROM meta WHERE name = 'compacted')
      AND (SELECT p.value IS NULL FROM entry p WHERE p.key = e.key AND p.id < e.id ORDER BY p.id DESC LIMIT 1) IS NOT 0`,
    ],
    ['one transaction wrote a key twice', 'SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY key, id >> 16 HAVING count(*) > 1)'],
    [
      'a transaction has lost some of its writes',
      `SELECT count(*) FROM (SELECT 1 FROM entry WHERE id >> 16 > (SELECT value FROM meta WHERE name = 'compacted')
      GROUP BY id >> 16 HAVING max(id & 65535) + 1 <> count(*))`,
    ],
  ];
  for (const [claim, sql] of claims) {
    const count = Object.values(database.prepare(sql).get() ?? {})[0];
    if (count !== 0) problems.push(`${claim} (${count} times)`);
  }
  return problems;
}

/** A copy of one state, complete and on the disk before it has its name. */
function backup(database: DatabaseSync, to: string): void {
  const partial = `${to}.partial`;
  rmSync(partial, { force: true });
  // SQLite fills an empty file and keeps its mode: secrets are in it.
  writeFileSync(partial, '', { mode: 0o600 });
  try {
    database.prepare('VACUUM INTO ?').run(partial);
    syncPath(partial);
    linkSync(partial, to);
    syncPath(dirname(to));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new UmiakError('AlreadyExists', `cannot back up the store to ${to}: the file exists`, {
      hint: 'Name another file.',
      cause: error,
    });
  } finally {
    rmSync(partial, { force: true });
  }
}
