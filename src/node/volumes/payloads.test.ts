import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { tokenAccess } from './payloads.ts';

test('who may read a token', () => {
  const access = (shared: object, ...users: (number | undefined)[]) =>
    tokenAccess(
      { spec: { securityContext: shared, containers: users.map(runAsUser => ({ name: 'c', securityContext: { runAsUser } })) } } as Pod,
      0o644,
    );
  assert.deepEqual(access({}, undefined), { mode: 0o644 }, 'nobody in particular');
  assert.deepEqual(access({ runAsUser: 7 }, undefined, undefined), { mode: 0o600, uid: 7 }, 'the pod’s user');
  assert.deepEqual(access({}, 7, 7), { mode: 0o600, uid: 7 }, 'one user in all containers');
  assert.deepEqual(access({ runAsUser: 7 }, undefined, 8), { mode: 0o644 }, 'different users');
  assert.deepEqual(access({}, 7, undefined), { mode: 0o644 }, 'one of them is the image’s');
  assert.deepEqual(access({ fsGroup: 5 }, 7, 8), { mode: 0o600 }, 'different users of one group, which the volume is given to');
  assert.deepEqual(access({ fsGroup: 5, runAsUser: 7 }, undefined), { mode: 0o600, uid: 7 });
});
