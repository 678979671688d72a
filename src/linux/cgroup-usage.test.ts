import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noUsage, planUsageV1, planUsageV2 } from './cgroup-usage.ts';

const pressure = 'some avg10=1.50 avg60=0.25 avg300=0.00 total=120\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=20\n';

test('usage of v2', () => {
  const usage = planUsageV2({
    'cpu.stat': 'usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n',
    'memory.current': '1000\n',
    'memory.max': '1500\n',
    'memory.stat': 'anon 400\nfile 500\ninactive_file 300\npgfault 12\npgmajfault 1\n',
    'memory.swap.current': '10\n',
    'memory.swap.max': '40\n',
    'pids.current': '3\n',
    'pids.max': 'max\n',
    'io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n',
    'hugetlb.2MB.current': '4\n',
    'hugetlb.2MB.max': 'max\n',
    'cpu.pressure': pressure,
    'memory.pressure': pressure,
    'io.pressure': pressure,
  });
  const { pressure: told, ...rest } = usage;
  assert.deepEqual(told?.io.full, { avg10: 0.5, avg60: 0, avg300: 0, totalUs: 20 });
  assert.deepEqual(rest, {
    cpuUsageNs: 30_000,
    memoryUsageBytes: 1000,
    memoryWorkingSetBytes: 700,
    pids: 3,
    cpu: { userNs: 20_000, systemNs: 10_000, periods: 5, throttledPeriods: 2, throttledNs: 7000 },
    memory: { rssBytes: 400, pageFaults: 12, majorPageFaults: 1, limitBytes: 1500, availableBytes: 800 },
    swap: { usageBytes: 10, availableBytes: 30 },
    io: { readBytes: 15, writeBytes: 20, reads: 2, writes: 2 },
    hugetlb: [{ pageSize: '2MB', usageBytes: 4 }],
  });
});

test('usage of v1', () => {
  assert.deepEqual(
    planUsageV1({
      'cpuacct.usage': '30\n',
      'cpuacct.usage_user': '20\n',
      'cpuacct.usage_sys': '10\n',
      'cpu.stat': 'nr_periods 5\nnr_throttled 2\nthrottled_time 7\n',
      'memory.usage_in_bytes': '1000\n',
      'memory.limit_in_bytes': '9223372036854771712\n',
      'memory.memsw.limit_in_bytes': '9223372036854771712\n',
      'memory.stat': 'rss 1\ntotal_rss 400\ntotal_inactive_file 300\ntotal_pgfault 12\ntotal_pgmajfault 1\ntotal_swap 9\n',
      'pids.current': '3\n',
      'pids.max': '100\n',
      'blkio.throttle.io_service_bytes_recursive': '8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n',
      'hugetlb.1GB.usage_in_bytes': '0\n',
      'hugetlb.1GB.limit_in_bytes': '5\n',
    }),
    {
      cpuUsageNs: 30,
      memoryUsageBytes: 1000,
      memoryWorkingSetBytes: 700,
      pids: 3,
      pidsLimit: 100,
      cpu: { userNs: 20, systemNs: 10, periods: 5, throttledPeriods: 2, throttledNs: 7 },
      memory: { rssBytes: 400, pageFaults: 12, majorPageFaults: 1 },
      swap: { usageBytes: 9 },
      io: { readBytes: 10, writeBytes: 20, reads: 0, writes: 0 },
      hugetlb: [{ pageSize: '1GB', usageBytes: 0, limitBytes: 5 }],
    },
  );
});

test('a group that is gone uses nothing', () => {
  assert.deepEqual(planUsageV2({}), noUsage());
  assert.equal(noUsage().memoryWorkingSetBytes, 0);
});
