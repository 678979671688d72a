import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRecord, readRecords, type SandboxRecord, syncRecord, writeRecord } from './records.ts';

const record = (createdAtMs: number) => ({ version: 1, id: 'a', phase: 'ready', createdAtMs }) as SandboxRecord;

test('the last whole line of a record counts, whatever was cut off after it', async t => {
  const directory = mkdtempSync(join(tmpdir(), `records-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  const read = () => readRecord<SandboxRecord>(`${directory}/a`)?.createdAtMs;
  assert.equal(read(), undefined);
  for (const atMs of [1, 2]) writeRecord(`${directory}/a`, record(atMs));
  assert.equal(read(), 2);
  appendFileSync(`${directory}/a/record.jsonl`, '\n{"version":1,"id":"a","crea');
  assert.equal(read(), 2);
  writeRecord(`${directory}/a`, record(3));
  await syncRecord(`${directory}/a`);
  assert.equal(read(), 3);
});

test('a record that changes often stays small', t => {
  const directory = mkdtempSync(join(tmpdir(), `records-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  for (let atMs = 0; atMs < 3000; atMs++) writeRecord(`${directory}/a`, record(atMs));
  assert.equal(readRecord<SandboxRecord>(`${directory}/a`)?.createdAtMs, 2999);
  assert.ok(statSync(`${directory}/a/record.jsonl`).size < 70_000);
});

test('directories without a record are told; a newer format is refused', t => {
  const directory = mkdtempSync(join(tmpdir(), `records-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const name of ['empty', 'torn', 'new']) mkdirSync(`${directory}/${name}`);
  writeFileSync(`${directory}/torn/record.jsonl`, '\n{"version"');
  writeRecord(`${directory}/a`, record(1));
  const { records, nameless } = readRecords<SandboxRecord>(directory);
  assert.deepEqual([records.map(({ id }) => id), nameless.sort()], [['a'], ['empty', 'new', 'torn']]);
  writeFileSync(`${directory}/new/record.jsonl`, '\n{"version":2}');
  assert.throws(() => readRecords(directory), { reason: 'Invalid' });
});
