import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeNode } from './file-attributes.ts';
import { openBelow, readBelow } from './open-below.ts';

test('only regular files are opened: a device in an image would do what its driver does at that', t => {
  const root = mkdtempSync(join(tmpdir(), 'umiak-below-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0');
  symlinkSync('/etc/passwd', join(root, 'link'));
  symlinkSync('/../../../../etc/hostname', join(root, 'out'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  makeNode(Buffer.from(join(root, 'device')), 'char', 0o666, 10, 250); // nobody’s: opening it would throw
  assert.equal(readBelow(root, '/etc/passwd'), 'root:x:0:0');
  assert.equal(readBelow(root, 'link', 4), 'root');
  for (const nothing of ['out', 'fifo', 'device', 'etc', 'none', 'etc/passwd/x']) assert.equal(readBelow(root, nothing), '', nothing);
});

test('what is mounted elsewhere on the machine meanwhile keeps nobody from a path with ..', async t => {
  const root = mkdtempSync(join(tmpdir(), 'umiak-below-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'a'));
  const script = 'while :; do mount -t tmpfs none "$0" && umount "$0"; echo; done';
  const mounts = spawn('unshare', ['--mount', 'sh', '-c', script, join(root, 'a')], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(async () => {
    mounts.kill('SIGKILL');
    await once(mounts, 'exit');
  });
  await once(mounts.stdout, 'data');
  const path = `${'a/../'.repeat(200)}a`;
  for (const end = Date.now() + 500; Date.now() < end; ) {
    const fd = openBelow(root, path, constants.O_DIRECTORY | constants.O_RDONLY);
    assert.ok(fd !== undefined);
    closeSync(fd);
  }
});
