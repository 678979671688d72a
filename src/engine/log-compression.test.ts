import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { compressRotated } from './log-compression.ts';
import { listLogFiles, renameLog } from './log-files.ts';
import { readLog } from './log-reader.ts';

let directory: string;
let logPath: string;
const START_MS = Date.UTC(2026, 10, 23, 10);
const HOUR_MS = 3_600_000;

const line = (hour: number, what: number | string) => `${new Date(START_MS + hour * HOUR_MS).toISOString()} stdout F ${what}\n`;
const names = () => readdirSync(directory).sort();
const logs = (options = {}) => text(readLog({ logPath, ...options }));

/** A log whose hours from 0 on are rotated, each with 1,000 lines; the current one has the last. */
function writeLog(hours: number): void {
  for (let hour = 0; hour < hours; hour++) {
    const atMs = START_MS + hour * HOUR_MS;
    writeFileSync(logPath, Array.from({ length: 1_000 }, (_, i) => line(hour, hour * 1_000 + i)).join(''));
    utimesSync(logPath, atMs / 1000, atMs / 1000);
    if (hour < hours - 1) renameLog(logPath, atMs);
  }
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), `umiak-logs-${process.pid}-`));
  logPath = join(directory, '0.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('all rotated files but the newest are compressed, with the times they had', async () => {
  writeLog(4);
  const plain = readFileSync(join(directory, '0.log.20261123-100000-000'));
  await compressRotated(logPath);
  assert.deepEqual(names(), ['0.log', '0.log.20261123-100000-000.gz', '0.log.20261123-110000-000.gz', '0.log.20261123-120000-000']);
  const compressed = join(directory, '0.log.20261123-100000-000.gz');
  assert.ok(gunzipSync(readFileSync(compressed)).equals(plain));
  assert.equal(statSync(compressed).mtimeMs, START_MS);
});

test('readers read over compressed files as if they were not: whole, from the end, since a time', async () => {
  writeLog(4);
  const whole = await logs();
  assert.equal(whole.split('\n').length, 4_001);
  await compressRotated(logPath);
  assert.equal(await logs(), whole);
  assert.equal(await logs({ tailLines: 2_500 }), `${whole.split('\n').slice(1_500, 4_000).join('\n')}\n`);
  assert.equal((await logs({ sinceMs: START_MS + HOUR_MS })).split('\n')[0], '1000');
  assert.equal((await logs({ limitBytes: 4 })).length, 4);
  assert.ok(
    names().every(name => !name.includes('read')),
    'what was unpacked has no name',
  );
});

test('a reader in the middle of a file that is compressed meanwhile goes on with the next', async () => {
  writeLog(4);
  const whole = await logs();
  const reader = readLog({ logPath });
  const chunks: string[] = [];
  for await (const chunk of reader) {
    if (chunks.length === 0) await compressRotated(logPath);
    chunks.push(String(chunk));
  }
  assert.equal(chunks.join(''), whole);
});

test('killed anywhere, the log is whole, and what was half made goes the next time', async () => {
  writeLog(4);
  const whole = await logs();
  const [oldest = '', second = ''] = listLogFiles(logPath);
  writeFileSync(`${second}.tmp`, 'half'); // before the rename
  writeFileSync(`${oldest}.gz`, gzipSync(readFileSync(oldest))); // after it, before the file went
  writeFileSync(`${oldest}.gz.readabc`, '');
  assert.equal(await logs(), whole);
  await compressRotated(logPath);
  assert.equal(await logs(), whole);
  assert.equal(names().length, 4);
  unlinkSync(join(directory, '0.log.20261123-110000-000.gz'));
  assert.equal((await logs()).split('\n').length, 3_001);
});

test('what the engine stops for stops, and leaves nothing half made', async () => {
  writeLog(4);
  const before = names();
  await compressRotated(logPath, AbortSignal.abort());
  assert.deepEqual(names(), before);
});

test('old ones go, compressed or not', async () => {
  writeLog(4);
  await compressRotated(logPath);
  renameLog(logPath, START_MS + 3 * HOUR_MS);
  writeFileSync(logPath, line(4, 'x'));
  renameLog(logPath, START_MS + 4 * HOUR_MS);
  assert.equal(names().length, 4);
  assert.equal(names()[0], '0.log.20261123-110000-000.gz');
});
