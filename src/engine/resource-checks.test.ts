import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Resources } from './engine.ts';
import { checkResources, parseSet, type ResourceFacts, readResourceFacts, toPageSize } from './resource-checks.ts';

const facts: ResourceFacts = {
  cgroupVersion: 'hybrid',
  cpus: new Set([0, 1]),
  memoryNodes: new Set([0]),
  hugepageSizes: new Set(['2MB']),
  countsSwap: true,
};
const MB = 1024 * 1024;

describe('limits that can not be are refused by name', () => {
  const cases: [Resources, RegExp | undefined][] = [
    [{}, undefined],
    [{ cpuShares: 2, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, memoryLimitBytes: 64 * MB, pidsLimit: 10, oomScoreAdj: -997 }, undefined],
    [{ cpuShares: 0, cpuQuotaUs: 0, cpuPeriodUs: 0, memoryLimitBytes: 0, pidsLimit: 0 }, undefined],
    [{ cpuQuotaUs: -1, pidsLimit: -1 }, undefined],
    [{ cpuShares: -5 }, /^resources.cpuShares: -5 must be a whole number from 0 to 262144$/],
    [{ cpuShares: 1.5 }, /cpuShares/],
    [{ cpuQuotaUs: 10 }, /cpuQuotaUs: 10 must be a whole number from 1000/],
    [{ cpuPeriodUs: 2_000_000 }, /cpuPeriodUs/],
    [{ memoryLimitBytes: 4096 }, /memoryLimitBytes: 4096 must be a whole number from 524288/],
    [{ memoryLimitBytes: 64 * MB, memorySwapLimitBytes: 32 * MB }, /memorySwapLimitBytes: 33554432 is below the memory limit 67108864/],
    [{ memorySwapLimitBytes: 32 * MB }, /needs a memory limit/],
    [{ memoryLimitBytes: 64 * MB, memorySwapLimitBytes: -1 }, undefined],
    [{ pidsLimit: -2 }, /pidsLimit/],
    [{ oomScoreAdj: 1001 }, /oomScoreAdj: 1001 must be a whole number from -1000 to 1000/],
    [{ cpusetCpus: '0-1', cpusetMems: '0' }, undefined],
    [{ cpusetCpus: '0-7' }, /cpusetCpus: 2, 3, 4, 5, 6, 7 is not there: this machine has 0, 1/],
    [{ cpusetCpus: '1-0' }, /must be a list such as/],
    [{ cpusetCpus: '0;rm' }, /must be a list such as/],
    [{ hugepageLimits: [{ pageSize: '2MB', limitBytes: 4 * MB }] }, undefined],
    [{ hugepageLimits: [{ pageSize: '1GB', limitBytes: 0 }] }, undefined],
    [{ hugepageLimits: [{ pageSize: '1GB', limitBytes: 1 }] }, /no huge pages of 1GB: it has 2MB/],
    [{ unified: { 'memory.high': '1' } }, /memory.high is a file of cgroup v2, and this machine has hybrid/],
  ];
  for (const [resources, refusal] of cases)
    test(JSON.stringify(resources), () => {
      if (refusal) assert.throws(() => checkResources(resources, facts), { reason: 'Invalid', message: refusal });
      else checkResources(resources, facts);
    });

  test('swap is limited where it is counted', () => {
    const uncounted = { ...facts, countsSwap: false };
    checkResources({ memoryLimitBytes: 64 * MB, memorySwapLimitBytes: 64 * MB }, uncounted);
    assert.throws(() => checkResources({ memoryLimitBytes: 64 * MB, memorySwapLimitBytes: -1 }, uncounted), /does not count swap/);
  });

  test('on v2 files of controllers are taken, and nothing else', () => {
    const v2 = { ...facts, cgroupVersion: 'v2' as const };
    checkResources({ unified: { 'memory.oom.group': '1', 'hugetlb.2MB.max': '0' } }, v2);
    for (const file of ['cgroup.procs', '../memory.max', 'memory.', 'memory'])
      assert.throws(() => checkResources({ unified: { [file]: '1' } }, v2), /is no file of a controller/);
  });
});

test('sets, page sizes and this machine', () => {
  assert.deepEqual(parseSet('x', '0-2,7'), [0, 1, 2, 7]);
  assert.deepEqual([2 * MB, 1024 * MB, 65_536].map(toPageSize), ['2MB', '1GB', '64KB']);
  assert.ok(readResourceFacts({ version: 'v2', controllers: {} }).cpus.has(0));
});
