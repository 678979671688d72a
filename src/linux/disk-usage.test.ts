import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { diskUsage } from './disk-usage.ts';

test('what lies below directories, not what links in them lead to', async () => {
  const root = mkdtempSync(join(tmpdir(), `umiak-usage-${process.pid}-`));
  try {
    const [full, other, none] = ['full', 'other', 'none'].map(name => join(root, name)) as [string, string, string];
    mkdirSync(join(full, 'deep'), { recursive: true });
    mkdirSync(other);
    writeFileSync(join(full, 'deep', 'data'), Buffer.alloc(1 << 20, 1));
    symlinkSync(full, join(other, 'link'));
    const before = await diskUsage([full, other, none]);
    assert.ok((before.get(full) ?? 0) >= 1 << 20 && (before.get(full) ?? 0) < 2 << 20);
    assert.ok((before.get(other) ?? 0) < 1 << 20);
    assert.equal(before.has(none), false);
    linkSync(join(full, 'deep', 'data'), join(other, 'same'));
    assert.ok(((await diskUsage([full, other])).get(other) ?? 0) >= 1 << 20, 'what both hold counts for both');
    assert.deepEqual(await diskUsage([]), new Map());
  } finally {
    rmSync(root, { recursive: true });
  }
});
