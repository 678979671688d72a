import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mount, umount } from './mount.ts';
import { removeTree } from './remove-tree.ts';

test('a tree goes, whatever is in it; what links and mounts lead to stays', async () => {
  const root = mkdtempSync(join(tmpdir(), 'umiak-remove-'));
  try {
    const [tree, kept] = [join(root, 'tree'), join(root, 'kept')];
    for (const path of [tree, kept]) mkdirSync(path);
    writeFileSync(join(kept, 'file'), '');
    symlinkSync(kept, join(tree, 'link'));
    mkdirSync(join(tree, 'a/b/c'), { recursive: true });
    writeFileSync(join(tree, '-rf'), '');
    // Deeper than a path can say.
    const before = process.cwd();
    process.chdir(tree);
    for (let depth = 0; depth < 60; depth++) {
      mkdirSync('d'.repeat(200));
      process.chdir('d'.repeat(200));
    }
    process.chdir(before);
    await removeTree(tree);
    assert.equal(existsSync(tree), false);
    assert.ok(existsSync(join(kept, 'file')));
    await removeTree(tree);
    mkdirSync(join(tree, 'mounted'), { recursive: true });
    mount('tmpfs', join(tree, 'mounted'), 'tmpfs');
    writeFileSync(join(tree, 'mounted', 'file'), '');
    try {
      await assert.rejects(removeTree(tree), /can't be removed/);
      assert.ok(existsSync(join(tree, 'mounted', 'file')));
    } finally {
      umount(join(tree, 'mounted'), { detach: true });
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
