import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { removeTree } from './remove-tree.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'remove-tree-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('all that is in a directory goes, nothing that its links point to', async () => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'a/b/c'), { recursive: true });
  mkdirSync(join(tree, 'empty'), { mode: 0o000 });
  mkdirSync(join(directory, 'other'));
  writeFileSync(join(directory, 'other/kept'), 'x');
  symlinkSync(join(directory, 'other'), join(tree, 'link'));
  symlinkSync('nowhere', join(tree, 'a/broken'));
  for (let i = 0; i < 100; i++) writeFileSync(join(tree, `a/b/${i}`), 'x');
  await removeTree(tree);
  assert.deepEqual([existsSync(tree), existsSync(join(directory, 'other/kept'))], [false, true]);
});

test('a file, a link, nothing', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, 'x');
  await removeTree(file);
  symlinkSync(directory, file);
  await removeTree(file);
  await removeTree(file);
  assert.deepEqual([existsSync(file), existsSync(directory)], [false, true]);
});

test('what can not be removed is told', async () => {
  await assert.rejects(removeTree('/proc/1'));
});
