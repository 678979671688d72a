import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KernelChangeJournal } from './kernel-changes.ts';
import { readMountTable } from './mount-table.ts';

const isMounted = (target: string) => readMountTable().some(entry => entry.target === target);

test('a change is made once, held by each who asked, and undone by the last', async () => {
  const directory = mkdtempSync(join(tmpdir(), `kernelchanges-${process.pid}-`));
  const target = `${directory}/mounted/here`;
  const first = new KernelChangeJournal({ holder: 'first', directory: `${directory}/journal` });
  const second = new KernelChangeJournal({ holder: 'second', directory: `${directory}/journal` });
  try {
    for (const journal of [first, first, second])
      await journal.mount(target, { source: 'x', type: 'tmpfs', options: ['nosuid', 'size=64k'] });
    assert.equal(readMountTable().filter(entry => entry.target === target).length, 1);
    await first.remount(target, ['rw', 'nosuid', 'size=64k'], ['rw', 'nosuid', 'noexec', 'size=64k']);
    assert.deepEqual(
      first.changes().map(({ kind, holders }) => `${kind} ${holders}`),
      ['mount first,second', 'remount first'],
    );
    await first.undoAll();
    assert.ok(isMounted(target));
    await second.undoAll();
    assert.ok(!isMounted(target) && !existsSync(target));
    assert.deepEqual(second.changes(), []);
  } finally {
    await first.undoAll();
    await second.undoAll();
    rmSync(directory, { recursive: true });
  }
});

test('sysctls go back to their old value, unless somebody else changed them', async () => {
  const directory = mkdtempSync(join(tmpdir(), `kernelchanges-${process.pid}-`));
  const path = 'kernel/panic_print'; // harmless, and nobody else's business
  const file = `/proc/sys/${path}`;
  const before = readFileSync(file, 'utf8').trim();
  const journal = new KernelChangeJournal({ holder: 'test', directory });
  try {
    await journal.sysctl(path, before);
    assert.deepEqual(journal.changes(), []);
    await journal.sysctl(path, '1');
    assert.equal(readFileSync(file, 'utf8').trim(), '1');
    await journal.undoAll();
    assert.equal(readFileSync(file, 'utf8').trim(), before);
    await journal.sysctl(path, '1');
    writeFileSync(file, '2');
    await journal.undoAll();
    assert.equal(readFileSync(file, 'utf8').trim(), '2');
  } finally {
    writeFileSync(file, before);
    rmSync(directory, { recursive: true });
  }
});
