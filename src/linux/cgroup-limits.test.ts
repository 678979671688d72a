import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CgroupLimits, planMemoryV1, planUpdateV1, planUpdateV2, toWeight } from './cgroup-limits.ts';

test("shares as weights, by the runtimes' formula", () => {
  for (const [shares, weight] of [
    [2, 1],
    [1024, 39],
    [262144, 10000],
  ] as const)
    assert.equal(toWeight(shares), weight);
});

const v2: [what: string, limits: CgroupLimits, now: CgroupLimits, writes: string[]][] = [
  ['nothing', {}, {}, []],
  ['memory alone leaves swap', { memoryLimitBytes: 10 }, {}, ['memory.max=10']],
  ['swap is counted apart', { memoryLimitBytes: 10, memorySwapLimitBytes: 30 }, {}, ['memory.max=10', 'memory.swap.max=20']],
  ['swap beside the limit there is', { memorySwapLimitBytes: 30 }, { memoryLimitBytes: 25 }, ['memory.swap.max=5']],
  ['swap without end', { memorySwapLimitBytes: -1 }, {}, ['memory.swap.max=max']],
  ['a quota keeps the period', { cpuQuotaUs: 5 }, { cpuPeriodUs: 7 }, ['cpu.max=5 7']],
  ['no quota', { cpuQuotaUs: -1 }, { cpuQuotaUs: 5, cpuPeriodUs: 7 }, ['cpu.max=max 7']],
  ['pids without end', { pidsLimit: -1 }, {}, ['pids.max=max']],
  ['huge pages', { hugepageLimits: [{ pageSize: '2MB', limitBytes: 4 }] }, {}, ['hugetlb.2MB.max=4']],
  ['files by name', { unified: { 'memory.high': '9' } }, {}, ['memory.high=9']],
];
for (const [what, limits, now, writes] of v2)
  test(`limits of v2: ${what}`, () => {
    assert.deepEqual(
      planUpdateV2(limits, now).map(([, file, value]) => `${file}=${value}`),
      writes,
    );
  });

test('limits of v1: memory with swap is never smaller than memory, whichever way both go', () => {
  const order = (limits: CgroupLimits, now: CgroupLimits) =>
    planMemoryV1(limits, now).map(([, file, value]) => `${file.split('.')[1]}=${value}`);
  assert.deepEqual(order({ memoryLimitBytes: 20 }, { memorySwapLimitBytes: 10 }), ['memsw=20', 'limit_in_bytes=20']);
  assert.deepEqual(order({ memoryLimitBytes: 5 }, { memorySwapLimitBytes: 10 }), ['limit_in_bytes=5', 'memsw=5']);
  assert.deepEqual(order({ memoryLimitBytes: 5 }, {}), ['limit_in_bytes=5', 'memsw=5']);
  assert.deepEqual(order({ memorySwapLimitBytes: -1 }, { memorySwapLimitBytes: 10 }), ['memsw=-1']);
});

test('limits of v1: processes without end', () => {
  assert.deepEqual(planUpdateV1({ pidsLimit: -1 }), [['pids', 'pids.max', 'max']]);
});

test('what a version does not have, and what is no file, is refused', () => {
  assert.throws(() => planUpdateV1({ unified: { 'memory.high': '1' } }), { reason: 'Invalid', message: /needs control groups v2/ });
  assert.throws(() => planUpdateV2({ unified: { '../cgroup.procs': '1' } }, {}), { reason: 'Invalid' });
});
