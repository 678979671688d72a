import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planUser } from './user.ts';

const passwd = 'root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\nbad line\nodd:x:x:1::/\n';
const group = 'root:x:0:\nweb:x:1001:\nextra:x:2000:other,web\ndb:x:3000:\n';

const cases: [user: string, more: { runAsGroup?: number; supplementalGroups?: number[]; addedGroups?: string[] }, wanted: string][] = [
  ['', {}, '0:0 [0] /root'],
  ['root', {}, '0:0 [0] /root'],
  ['web', {}, '1000:1001 [1001,2000] /home/web'],
  ['1000', {}, '1000:1001 [1001,2000] /home/web'],
  ['web:db', {}, '1000:3000 [3000] /home/web'],
  ['web:44', {}, '1000:44 [44] /home/web'],
  ['5555', {}, '5555:0 [0] /'],
  ['5555:6666', {}, '5555:6666 [6666] /'],
  ['5555', { addedGroups: ['db', '9'] }, '5555:0 [0,9,3000] /'],
  ['web', { runAsGroup: 9, supplementalGroups: [7, 2000] }, '1000:9 [7,9,2000] /home/web'],
];

for (const [user, more, wanted] of cases)
  test(`user ${JSON.stringify(user)} ${JSON.stringify(more)}`, () => {
    const { uid, gid, additionalGids, home } = planUser({ user, passwd, group, ...more });
    assert.equal(`${uid}:${gid} [${additionalGids}] ${home}`, wanted);
  });

test('what can not be resolved is refused', () => {
  for (const user of ['nobody', 'web:nogroup', 'a:b:c', '4294967295', 'odd'])
    assert.throws(() => planUser({ user, passwd, group }), { reason: 'Invalid' });
  for (const user of ['', '0', 'root']) assert.throws(() => planUser({ user, passwd, group, runAsNonRoot: true }), { reason: 'Invalid' });
  assert.equal(planUser({ user: '', passwd: '', group: '' }).uid, 0);
});
