import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CgroupDriver, EngineCgroups, expandSlice } from './cgroups.ts';
import type { SandboxRecord } from './records.ts';
import { planSliceProperties } from './systemd-slices.ts';

const layout = { version: 'v2', unified: '/sys/fs/cgroup', controllers: {} } as const;
const sandbox = (cgroupParent?: string) => ({ config: { cgroupParent } }) as SandboxRecord;

const cases: [driver: CgroupDriver, parent: string | undefined, path: string][] = [
  ['cgroupfs', undefined, '/my-own/c1'],
  ['cgroupfs', 'burstable/pod1-2', '/my-own/burstable/pod1-2/c1'],
  ['cgroupfs', '../../etc', '/my-own/etc/c1'],
  ['cgroupfs', '/kubepods/pod1', '/kubepods/pod1/c1'],
  ['systemd', undefined, '/my_own.slice/my_own-c1.scope'],
  ['systemd', 'burstable/pod1-2', '/my_own.slice/my_own-burstable.slice/my_own-burstable-pod1_2.slice/my_own-c1.scope'],
  ['systemd', 'kubepods-pod1.slice', '/kubepods.slice/kubepods-pod1.slice/my_own-c1.scope'],
];
for (const [driver, parent, path] of cases)
  test(`${driver}: a container below ${parent ?? 'nothing'}`, () => {
    const cgroups = new EngineCgroups({ layout, instance: 'my-own', driver });
    assert.equal(cgroups.containerPath(sandbox(parent), 'c1'), path);
  });

test("a parent of the other driver is refused in words; systemd's levels stand in a slice's name", () => {
  for (const [driver, parent] of [
    ['systemd', '/kubepods/pod1'],
    ['cgroupfs', 'kubepods-pod1.slice'],
  ] as const)
    assert.throws(() => new EngineCgroups({ layout, instance: 'a', driver }).parentPath(sandbox(parent)), {
      reason: 'Invalid',
      message: new RegExp(driver),
    });
  assert.equal(expandSlice('a-b-c.slice'), '/a.slice/a-b.slice/a-b-c.slice');
});

test("limits in systemd's words", () => {
  assert.deepEqual(
    planSliceProperties({
      memoryLimitBytes: 100,
      memorySwapLimitBytes: 150,
      cpuQuotaUs: 5000,
      cpuPeriodUs: 10_000,
      cpuShares: 1024,
      pidsLimit: -1,
    }),
    [
      ['MemoryMax', 't', '100'],
      ['MemorySwapMax', 't', '50'],
      ['CPUQuotaPerSecUSec', 't', '500000'],
      ['CPUWeight', 't', '39'],
      ['TasksMax', 't', '18446744073709551615'],
    ],
  );
  assert.throws(() => planSliceProperties({ unified: { 'memory.high': '1' } }), { reason: 'Invalid' });
});
