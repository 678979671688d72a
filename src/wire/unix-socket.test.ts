import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { listenOnSocket } from './unix-socket.ts';

test("a socket is made for its owner and group, and no other file's mode is touched meanwhile", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-socket-'));
  const server = createServer();
  try {
    const path = join(directory, 'run/some.sock');
    const listening = listenOnSocket(server, path);
    mkdirSync(join(directory, 'beside'));
    await listening;
    const modes = [path, join(directory, 'beside')].map(each => statSync(each).mode & 0o777);
    assert.deepEqual(modes, [0o660, 0o777 & ~process.umask()]);
    await assert.rejects(listenOnSocket(createServer(), join(directory, 'x'.repeat(200))), { code: 'EINVAL' });
  } finally {
    await new Promise(resolve => server.close(resolve));
    rmSync(directory, { recursive: true });
  }
});
