import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileSink } from './file-sink.ts';
import type { AuditRecord } from './record.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-audit-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));
const record = (n: number) => ({ kind: 'Event', auditID: String(n), requestURI: 'x'.repeat(80) }) as unknown as AuditRecord;
const fail = (error: unknown) => assert.fail(String(error));

test('records stand in order in files of bounded number and size, for the owner alone', async () => {
  const path = join(directory, 'a', 'audit.log');
  {
    await using sink = new FileSink({ path, maxBytes: 1000, maxFiles: 2, onError: fail });
    for (let n = 0; n < 40; n++) {
      sink.write(record(n));
      if (n % 5 === 4) await new Promise(resolve => setTimeout(resolve, 2));
    }
  }
  assert.deepEqual(readdirSync(join(directory, 'a')).sort(), ['audit.log', 'audit.log.1', 'audit.log.2']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const ids = ['.2', '.1', ''].flatMap(ending =>
    readFileSync(path + ending, 'utf8')
      .trim()
      .split('\n')
      .map(line => Number(JSON.parse(line).auditID)),
  );
  assert.deepEqual(
    ids,
    Array.from({ length: ids.length }, (_, i) => 40 - ids.length + i),
  );
  await using again = new FileSink({ path, maxFiles: 2, onError: fail });
  again.write(record(40));
});

test('what finds no room is counted, and a disk that refuses is told', async () => {
  const errors: unknown[] = [];
  await using sink = new FileSink({
    path: join(directory, 'a', 'audit.log', 'x'),
    maxWaitingBytes: 300,
    onError: error => errors.push(error),
  });
  for (let n = 0; n < 5; n++) sink.write(record(n));
  await sink[Symbol.asyncDispose]();
  assert.equal(sink.lost, 5);
  assert.equal(errors.length, 1);
});
