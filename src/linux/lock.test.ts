import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lockFile, lockFileWhenFree } from './lock.ts';

const directory = mkdtempSync(join(tmpdir(), 'lock-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('a lock keeps others out, tells who holds it, and may be let go of twice', () => {
  const path = join(directory, 'one');
  const lock = lockFile(path, 'the thing');
  assert.throws(() => lockFile(path, 'the thing'), { message: `the thing is in use by process ${process.pid}`, reason: 'Conflict' });
  lock[Symbol.dispose]();
  lock[Symbol.dispose]();
  using _again = lockFile(path, 'the thing');
});

test('who waits gets it when the holder is killed, and is refused when that takes too long', async () => {
  const path = join(directory, 'two');
  const holder = spawn('flock', ['--no-fork', path, 'sh', '-c', 'echo held; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  await assert.rejects(lockFileWhenFree(path, 'the thing', 1), { reason: 'Conflict' });
  const waiting = lockFileWhenFree(path, 'the thing', 60_000);
  holder.kill('SIGKILL');
  using _lock = await waiting;
});
