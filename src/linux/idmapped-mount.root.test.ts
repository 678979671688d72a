import assert from 'node:assert/strict';
import { chownSync, closeSync, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attachMount, openIdmapped } from './idmapped-mount.ts';
import { SyscallError } from './libc.ts';
import { mount, umount } from './mount.ts';
import { unpinNamespace } from './namespaces.ts';
import { pinUserNamespace } from './user-namespace.ts';

const map = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
const ids = { uids: map, gids: map };

function scratch(): Disposable & { path: (name: string) => string } {
  const directory = mkdtempSync(join(tmpdir(), `umiak-idmap-${process.pid}-`));
  return {
    path: name => join(directory, name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A user namespace as a descriptor. */
function openUsers(directory: ReturnType<typeof scratch>): number {
  const pin = directory.path('user');
  pinUserNamespace({ user: pin }, ids);
  try {
    return openSync(pin, 'r');
  } finally {
    unpinNamespace(pin);
  }
}

test('owners appear mapped, and what is written through it lies unmapped on the disk', () => {
  using directory = scratch();
  mkdirSync(directory.path('from'));
  mkdirSync(directory.path('to'));
  writeFileSync(directory.path('from/a'), '');
  chownSync(directory.path('from/a'), 7, 8);
  const users = openUsers(directory);
  const from = openIdmapped(directory.path('from'), users);
  attachMount(from, directory.path('to'));
  for (const fd of [from, users]) closeSync(fd);
  try {
    const seen = lstatSync(directory.path('to/a'));
    assert.deepEqual([seen.uid, seen.gid], [100_007, 100_008]);
    chownSync(directory.path('to/a'), 100_009, 100_010);
  } finally {
    umount(directory.path('to'), { detach: true });
  }
  const stored = lstatSync(directory.path('from/a'));
  assert.deepEqual([stored.uid, stored.gid], [9, 10]);
});

test('overlay takes mapped lower layers that no mount table holds; what is written has the ids as they are outside', () => {
  using directory = scratch();
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(directory.path(name));
  writeFileSync(directory.path('lower/a'), 'a');
  const userNamespace = openUsers(directory);
  const lower = openIdmapped(directory.path('lower'), userNamespace);
  const options = `lowerdir=/proc/self/fd/${lower},upperdir=${directory.path('upper')},workdir=${directory.path('work')}`;
  try {
    mount('overlay', directory.path('merged'), 'overlay', 0, options);
  } finally {
    for (const fd of [lower, userNamespace]) closeSync(fd);
  }
  try {
    assert.equal(lstatSync(directory.path('merged/a')).uid, 100_000);
    chownSync(directory.path('merged/a'), 100_005, 100_005);
    assert.equal(lstatSync(directory.path('merged/a')).uid, 100_005);
  } finally {
    umount(directory.path('merged'), { detach: true });
  }
  assert.equal(lstatSync(directory.path('upper/a')).uid, 100_005);
  assert.equal(lstatSync(directory.path('lower/a')).uid, 0);
});

test('where it can’t be is said', () => {
  using directory = scratch();
  mkdirSync(directory.path('x'));
  const users = openUsers(directory);
  assert.throws(() => openIdmapped('/proc', users), /EINVAL|Invalid argument/, 'it has no idmapped mounts');
  closeSync(users);
  const before = readdirSync('/proc/self/fd').length;
  const own = openSync('/proc/self/ns/user', 'r');
  assert.throws(() => openIdmapped(directory.path('x'), own), SyscallError, 'the initial user namespace is none');
  closeSync(own);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
