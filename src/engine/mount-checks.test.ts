import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Mount } from './engine.ts';
import { checkMounts, findSharing, type Sharing } from './mount-checks.ts';

const check = (mount: Partial<Mount>, sharing: Sharing = 'private', isThere = true) =>
  checkMounts([{ source: '/data', destination: '/v', ...mount }], {
    resolve: source => (isThere ? source : undefined),
    sharingOf: () => ({ target: '/mnt', sharing }),
  });

test('propagation needs a mount that has it', () => {
  check({ propagation: 'rshared' }, 'shared');
  check({ propagation: 'rslave' }, 'slave');
  check({ propagation: 'rslave' }, 'shared');
  assert.throws(
    () => check({ propagation: 'rshared' }, 'slave'),
    /mount \/v: path \/data is mounted on \/mnt but it is not a shared mount/,
  );
  assert.throws(() => check({ propagation: 'rslave' }), /is not a shared or slave mount/);
});

test('what contradicts itself, or is not there, is refused by its destination', () => {
  check({ readOnly: true, recursiveReadOnly: true });
  assert.throws(() => check({ recursiveReadOnly: true }), /recursiveReadOnly needs readOnly/);
  assert.throws(() => check({ readOnly: true, recursiveReadOnly: true, propagation: 'rslave' }), /goes with no propagation/);
  assert.throws(() => check({}, 'private', false), { reason: 'NotFound', message: 'mount /v: source /data does not exist' });
  for (const destination of ['/', 'relative', '/..', '/a/..'])
    assert.throws(() => check({ destination }), /must be an absolute path below/);
  assert.throws(() => check({ source: 'data' }), /must be an absolute path/);
  check({ type: 'tmpfs', source: 'tmpfs', options: ['size=64m', 'mode=1777', 'noexec'] });
  assert.throws(() => check({ type: 'tmpfs', options: ['size=1,exec'] }), /is no option of a tmpfs/);
});

test('a path lies on the nearest mount above it', () => {
  const table = [
    '22 1 0:1 / / rw - ext4 /dev/vda rw',
    '30 22 0:2 / /mnt rw shared:7 - tmpfs none rw',
    '31 30 0:3 / /mnt/a\\040b rw master:7 - tmpfs none rw',
  ].join('\n');
  assert.deepEqual(findSharing(table, '/mnt/x'), { target: '/mnt', sharing: 'shared' });
  assert.deepEqual(findSharing(table, '/mnt/a b/c'), { target: '/mnt/a b', sharing: 'slave' });
  assert.deepEqual(findSharing(table, '/mntx'), { target: '/', sharing: 'private' });
});
