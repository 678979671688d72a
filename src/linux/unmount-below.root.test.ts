import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MS_BIND, MS_REC, MS_SHARED, mount } from './mount.ts';
import { mountsBelow } from './mount-table.ts';
import { unmountAlone, unmountBelow } from './unmount-below.ts';

test('what lies in a bind mount of a shared tree stays where it was bound from', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-unmount-'));
  const at = (name: string) => join(directory, name);
  try {
    for (const name of ['machine', 'pod', 'pod/one', 'pod/two']) mkdirSync(at(name));
    mount('machine', at('machine'), 'tmpfs');
    mount('none', at('machine'), null, MS_SHARED);
    mkdirSync(at('machine/inner'));
    mount('inner', at('machine/inner'), 'tmpfs');
    for (const name of ['pod/one', 'pod/two']) mount(at('machine'), at(name), null, MS_BIND | MS_REC);
    mkdirSync(at('machine/later'));
    mount('later', at('machine/later'), 'tmpfs');
    const machine = mountsBelow(at('machine'));
    assert.deepEqual(machine, [at('machine'), at('machine/inner'), at('machine/later')]);
    await unmountAlone(at('pod/two'));
    await unmountAlone(at('pod/none'));
    unmountBelow(at('pod'));
    assert.deepEqual([mountsBelow(at('pod')), mountsBelow(at('machine'))], [[], machine]);
  } finally {
    unmountBelow(directory);
    rmSync(directory, { recursive: true });
  }
});
