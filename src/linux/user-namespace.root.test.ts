import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setHostname, unpinNamespace } from './namespaces.ts';
import { pinUserNamespace } from './user-namespace.ts';

const map = [{ containerId: 0, hostId: 131_072, length: 65_536 }];

test('namespaces are pinned with the user namespace that owns them, and no process stays', () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-userns-'));
  const pins = { user: join(directory, 'user'), net: join(directory, 'net'), ipc: join(directory, 'ipc'), uts: join(directory, 'uts') };
  const own = readlinkSync('/proc/self/ns/net');
  const descriptors = readdirSync('/proc/self/fd').length;
  try {
    for (let round = 0; round < 3; round++) {
      pinUserNamespace(pins, { uids: map, gids: map });
      setHostname(pins.uts, 'inside');
      const inside = ['nsenter', `--user=${pins.user}`, `--net=${pins.net}`, `--uts=${pins.uts}`, `--ipc=${pins.ipc}`, 'sh', '-c'];
      const [file = '', ...args] = inside;
      // Only the owner's root may bring an interface up there, and give the host a name.
      const script = 'cat /proc/self/uid_map; ip link set lo up && hostname changed && hostname';
      const said = execFileSync(file, [...args, script], { encoding: 'utf8' });
      assert.match(said, /^ +0 +131072 +65536\nchanged\n$/);
      for (const path of Object.values(pins)) unpinNamespace(path);
    }
    assert.throws(() => pinUserNamespace(pins, { uids: [...map, ...map], gids: map }), /EINVAL/);
    assert.deepEqual(readdirSync(directory), [], 'nothing remains of a failure');
  } finally {
    for (const path of Object.values(pins)) unpinNamespace(path);
    rmSync(directory, { recursive: true });
  }
  assert.equal(readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8'), '');
  assert.equal(readlinkSync('/proc/self/ns/net'), own);
  assert.equal(readdirSync('/proc/self/fd').length, descriptors);
});
