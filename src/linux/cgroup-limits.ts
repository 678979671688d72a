import { UmiakError } from '#base/errors.ts';

export interface CgroupLimits {
  memoryLimitBytes?: number;
  memoryReservationBytes?: number;
  /** Memory and swap together; -1 without end. */
  memorySwapLimitBytes?: number;
  cpuQuotaUs?: number;
  cpuPeriodUs?: number;
  cpuShares?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  pidsLimit?: number;
  /** `pageSize` as the kernel names it: `2MB`, `1GB`. */
  hugepageLimits?: { pageSize: string; limitBytes: number }[];
  /** Files of v2 by name. */
  unified?: Record<string, string>;
}

/** One file to write; `unified` is the tree of v2. */
export type CgroupWrite = [controller: string, file: string, value: string];

/** What changes limits of v1, in order; memory and swap are written together by `planMemoryV1`. @throws Invalid for what only v2 has. Pure. */
export function planUpdateV1(limits: CgroupLimits): CgroupWrite[] {
  const [file] = Object.keys(limits.unified ?? {});
  if (file !== undefined)
    throw new UmiakError('Invalid', `unified ${file} needs control groups v2, and this machine has v1`, {
      hint: 'Boot with `systemd.unified_cgroup_hierarchy=1`.',
    });
  return present([
    ['memory', 'memory.soft_limit_in_bytes', limits.memoryReservationBytes],
    ['cpu', 'cpu.cfs_period_us', limits.cpuPeriodUs],
    ['cpu', 'cpu.cfs_quota_us', limits.cpuQuotaUs],
    ['cpu', 'cpu.shares', limits.cpuShares],
    ['cpuset', 'cpuset.cpus', limits.cpusetCpus || undefined],
    ['cpuset', 'cpuset.mems', limits.cpusetMems || undefined],
    ['pids', 'pids.max', pidsMax(limits)],
    ...hugepages(limits, 'limit_in_bytes').map(([name, value]) => ['hugetlb', name, value] as const),
  ]);
}

/** Memory's limit and that of memory with swap, which is never smaller: the one that grows goes first. Pure. */
export function planMemoryV1({ memoryLimitBytes, memorySwapLimitBytes }: CgroupLimits, now: CgroupLimits): CgroupWrite[] {
  const memory: CgroupWrite[] = present([['memory', 'memory.limit_in_bytes', memoryLimitBytes]]);
  const swap: CgroupWrite[] = present([['memory', 'memory.memsw.limit_in_bytes', memorySwapLimitBytes ?? memoryLimitBytes]]);
  const endless = (bytes: number | undefined) => (bytes === undefined || bytes < 0 ? Number.POSITIVE_INFINITY : bytes);
  return endless(memorySwapLimitBytes ?? memoryLimitBytes) >= endless(now.memorySwapLimitBytes ?? now.memoryLimitBytes)
    ? [...swap, ...memory]
    : [...memory, ...swap];
}

/** What changes limits of v2. @throws Invalid for a file's name that is a path. Pure. */
export function planUpdateV2(limits: CgroupLimits, now: CgroupLimits): CgroupWrite[] {
  const quota = limits.cpuQuotaUs ?? now.cpuQuotaUs;
  const hasCpu = limits.cpuQuotaUs !== undefined || limits.cpuPeriodUs !== undefined;
  const others = Object.entries(limits.unified ?? {});
  for (const [name] of others)
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(name))
      throw new UmiakError('Invalid', `unified ${JSON.stringify(name)} is no file of a control group`);
  return present([
    ...(
      [
        ['memory.low', limits.memoryReservationBytes],
        ['memory.max', limits.memoryLimitBytes],
        ['memory.swap.max', swapMax(limits, now)],
        [
          'cpu.max',
          hasCpu ? `${quota !== undefined && quota > 0 ? quota : 'max'} ${limits.cpuPeriodUs ?? now.cpuPeriodUs ?? 100_000}` : undefined,
        ],
        ['cpu.weight', limits.cpuShares === undefined ? undefined : toWeight(limits.cpuShares)],
        ['cpuset.cpus', limits.cpusetCpus || undefined],
        ['cpuset.mems', limits.cpusetMems || undefined],
        ['pids.max', pidsMax(limits)],
        ...hugepages(limits, 'max'),
        ...others,
      ] as const
    ).map(([file, value]) => ['unified', file, value] as const),
  ]);
}

/** Swap alone, which v2 counts apart. */
function swapMax({ memoryLimitBytes, memorySwapLimitBytes }: CgroupLimits, now: CgroupLimits): number | 'max' | undefined {
  if (memorySwapLimitBytes === undefined) return undefined;
  if (memorySwapLimitBytes < 0) return 'max';
  return Math.max(0, memorySwapLimitBytes - (memoryLimitBytes ?? now.memoryLimitBytes ?? 0));
}

function pidsMax({ pidsLimit }: CgroupLimits): number | 'max' | undefined {
  return pidsLimit !== undefined && pidsLimit < 0 ? 'max' : pidsLimit;
}

function hugepages({ hugepageLimits = [] }: CgroupLimits, suffix: string): [file: string, bytes: number][] {
  return hugepageLimits.map(({ pageSize, limitBytes }) => [`hugetlb.${pageSize}.${suffix}`, limitBytes]);
}

function present(writes: readonly (readonly [string, string, string | number | undefined])[]): CgroupWrite[] {
  return writes.flatMap(([controller, file, value]): CgroupWrite[] => (value === undefined ? [] : [[controller, file, String(value)]]));
}

/** cgroup v2's weight (1…10000) for v1's shares (2…262144), by the formula of OCI's runtimes. */
export function toWeight(shares: number): number {
  return shares === 0 ? 0 : Math.floor(1 + ((Math.min(262144, Math.max(2, shares)) - 2) * 9999) / 262142);
}

/** The other way round; a weight is coarser. */
export function toShares(weight: number): number {
  return Math.round(2 + ((weight - 1) * 262142) / 9999);
}
