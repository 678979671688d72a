import assert from 'node:assert/strict';
import {
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { canIdmap, mountIdmapped, openIdmapped } from './idmapped-mount.ts';
import { SyscallError } from './libc.ts';
import { mount, umount } from './mount.ts';
import { createUserNamespace, formatRanges } from './user-namespace.ts';

const map = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
const ids = { uids: map, gids: map };

function scratch(): Disposable & { path: (name: string) => string } {
  const directory = mkdtempSync(join(tmpdir(), `umiak-idmap-${process.pid}-`));
  return {
    path: name => join(directory, name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

test('a user namespace is made without a process that stays', () => {
  const before = readdirSync('/proc/self/fd').length;
  const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  const own = readlinkSync('/proc/self/ns/user');
  const fd = createUserNamespace(ids);
  assert.match(readlinkSync(`/proc/self/fd/${fd}`), /^user:\[\d+\]$/);
  assert.notEqual(readlinkSync(`/proc/self/fd/${fd}`), own);
  assert.equal(readlinkSync('/proc/self/ns/user'), own);
  closeSync(fd);
  assert.equal(children(), '');
  assert.throws(() => createUserNamespace({ uids: [...map, ...map], gids: map }), /EINVAL/);
  assert.equal(children(), '', 'nor after a refusal');
  assert.equal(readdirSync('/proc/self/fd').length, before);
  assert.equal(formatRanges([...map, { containerId: 70_000, hostId: 5, length: 1 }]), '0 100000 65536\n70000 5 1\n');
});

test('owners appear mapped, and what is written through it lies unmapped on the disk', () => {
  using directory = scratch();
  mkdirSync(directory.path('from'));
  mkdirSync(directory.path('to'));
  writeFileSync(directory.path('from/a'), '');
  chownSync(directory.path('from/a'), 7, 8);
  mountIdmapped(directory.path('from'), directory.path('to'), ids);
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
  const userNamespace = createUserNamespace(ids);
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
  assert.equal(canIdmap(directory.path('x')), true);
  assert.equal(canIdmap('/proc'), false);
  const before = readdirSync('/proc/self/fd').length;
  const own = openSync('/proc/self/ns/user', 'r');
  assert.throws(() => openIdmapped(directory.path('x'), own), SyscallError, 'the initial user namespace is none');
  closeSync(own);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
