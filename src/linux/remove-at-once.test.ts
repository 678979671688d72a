import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeAtOnce } from './remove-at-once.ts';

test('all that is in a directory goes at once, nothing that its links point to', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'at-once-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'a/b/c/d'), { recursive: true });
  mkdirSync(join(directory, 'other'));
  writeFileSync(join(directory, 'other/kept'), 'x');
  symlinkSync(join(directory, 'other'), join(tree, 'a/link'));
  symlinkSync('nowhere', join(tree, 'a/broken'));
  for (let i = 0; i < 50; i++) writeFileSync(join(tree, `a/b/${i}`), 'x');
  assert.equal(await removeAtOnce(tree), true);
  assert.deepEqual([existsSync(tree), existsSync(join(directory, 'other/kept'))], [false, true]);
  assert.equal(await removeAtOnce(tree), false);
  assert.equal(await removeAtOnce('/proc/1/ns'), false);
});
