import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SandboxConfig } from './engine.ts';
import { hostIdOf, IDS_PER_SANDBOX, planBlock, planIdPool, planSandboxUsers, rootOf } from './user-namespaces.ts';

const config: SandboxConfig = {
  owner: 'node',
  metadata: { name: 'a', namespace: 'default', uid: 'u', attempt: 0 },
  network: 'pod',
  ownUsers: true,
};
const pool = () => ({ range: { start: IDS_PER_SANDBOX, length: 4 * IDS_PER_SANDBOX }, taken: [] });

test('each sandbox gets a block of its own, and what is free again is given again', () => {
  const one = planSandboxUsers(config, () => [], pool);
  const two = planSandboxUsers(config, () => [one], pool);
  assert.deepEqual([rootOf(one.userNamespace).uid, rootOf(two.userNamespace).gid], [65_536, 131_072]);
  assert.deepEqual(planSandboxUsers(config, () => [two], pool).userNamespace, one.userNamespace);
  const four = [one, two].concat([3, 4].map(n => ({ ...one, userNamespace: mapping(n * IDS_PER_SANDBOX) })));
  assert.throws(() => planSandboxUsers(config, () => four, pool), /no ids are left for another user namespace/);
});

function mapping(hostId: number) {
  const ids = [{ containerId: 0, hostId, length: IDS_PER_SANDBOX }];
  return { uids: ids, gids: ids };
}

test('blocks never touch what others have', () => {
  const range = { start: 65_536, length: 10 * 65_536 };
  assert.equal(planBlock(range, [{ start: 100_000, length: 65_536 }]), 196_608);
  assert.equal(planBlock({ start: 70_000, length: 10 * 65_536 }, []), 131_072, 'whole blocks');
  const gap = [
    { start: 65_536, length: 1 },
    { start: 262_144, length: 65_536 },
  ];
  assert.equal(planBlock(range, gap), 131_072);
});

test('the range is the user kubelet’s, or all that nobody has', () => {
  const own = 'root:100000:65536\nkubelet:1048576:6553600\n';
  assert.deepEqual(planIdPool(own, own), { range: { start: 1_048_576, length: 6_553_600 }, taken: [] });
  const low = 'kubelet:1000:200000';
  assert.deepEqual(planIdPool(low, low).range, { start: 65_536, length: 135_464 }, 'never the machine’s own, nor beyond its end');
  const taken = [{ name: 'me', start: 100_000, length: 65_536 }];
  assert.deepEqual(planIdPool('me:100000:65536', '# none').taken, taken);
  assert.equal(planIdPool('', '').range.start, 65_536);
});

test('a user namespace goes with no namespace of the machine, and maps root', () => {
  for (const kind of ['network', 'pid', 'ipc'] as const)
    assert.throws(() => planSandboxUsers({ ...config, [kind]: 'host' }, () => [], pool), new RegExp(`machine's ${kind} namespace`));
  const without = { uids: [{ containerId: 1, hostId: 5, length: 9 }], gids: [{ containerId: 0, hostId: 5, length: 9 }] };
  assert.throws(() => planSandboxUsers({ ...config, userNamespace: without }, () => []), /userNamespace.uids must map id 0/);
  const broken = { uids: [{ containerId: 0, hostId: -1, length: 9 }], gids: [] };
  assert.throws(() => planSandboxUsers({ ...config, userNamespace: broken }, () => []), /is no range of ids/);
  const twice = { uids: [...mapping(70_000).uids, { containerId: 9, hostId: 1, length: 1 }], gids: mapping(70_000).gids };
  assert.throws(
    () => planSandboxUsers({ ...config, userNamespace: twice }, () => []),
    /userNamespace.uids: ranges overlap at containerId 9/,
  );
  const given = { ...config, userNamespace: mapping(700_000) };
  assert.equal(
    planSandboxUsers(given, () => []),
    given,
    'who asks for ids gets them',
  );
  const { ownUsers, ...plain } = config;
  assert.equal(
    planSandboxUsers(plain, () => []),
    plain,
  );
});

test('ids are the machine’s where they are mapped', () => {
  const ids = mapping(131_072).uids;
  assert.equal(hostIdOf(ids, 1000), 132_072);
  assert.equal(hostIdOf(ids, 65_536), undefined);
  assert.equal(hostIdOf(undefined, 7), 7);
  assert.deepEqual(rootOf(undefined), { uid: 0, gid: 0 });
});
