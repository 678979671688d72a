import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureMemoryDirectory } from './memory-directory.ts';
import { umount } from './mount.ts';
import { mountsBelow } from './mount-table.ts';

const root = mkdtempSync(join(tmpdir(), 'umiak-memory-'));
after(() => {
  for (const target of mountsBelow(root).reverse()) umount(target, { detach: true });
  rmSync(root, { recursive: true, force: true });
});

test('a directory in memory is mounted once, keeps what is in it, and loses it when it is unmounted', () => {
  const directory = join(root, 'deep/memory');
  ensureMemoryDirectory(directory, { mode: 0o711 });
  assert.equal(statfsSync(directory).type, 0x0102_1994);
  writeFileSync(join(directory, 'file'), 'text');
  ensureMemoryDirectory(directory, { mode: 0o711 });
  assert.deepEqual(mountsBelow(root), [directory]);
  assert.ok(existsSync(join(directory, 'file')));
  umount(directory);
  assert.ok(!existsSync(join(directory, 'file')));
});
