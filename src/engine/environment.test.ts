import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { environmentFiles, isLargeEnvironment, readEnvironment, writeEnvironment } from './environment.ts';

test('few variables stay in the record, many have a file of their own that nobody else reads', t => {
  const directory = mkdtempSync(join(tmpdir(), `environment-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  const many = Array.from({ length: 1_000 }, (_, index) => ({ name: `NAME_${index}`, value: 'é=\n' }));
  assert.deepEqual([undefined, many.slice(0, 10), many].map(isLargeEnvironment), [false, false, true]);
  const own = `${directory}/container`;
  assert.deepEqual([readEnvironment(own), environmentFiles(own)], [[], []]);
  writeEnvironment(own, many);
  assert.deepEqual(readEnvironment(own), many);
  assert.deepEqual(
    environmentFiles(own).map(file => statSync(file).mode & 0o777),
    [0o600],
  );
});
