import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { CgroupLayout } from '#linux/cgroup.ts';
import type { Resources } from './engine.ts';

/** What limits can be measured against. */
export interface ResourceFacts {
  cgroupVersion: 'v1' | 'hybrid' | 'v2';
  /** Numbers of the processors and memory nodes that there are. */
  cpus: ReadonlySet<number>;
  memoryNodes: ReadonlySet<number>;
  /** As limits name them: `2MB`, `1GB`. */
  hugepageSizes: ReadonlySet<string>;
  /** Swap is counted, so that it can be limited. */
  countsSwap: boolean;
}

const MIN_PERIOD_US = 1000;
const MAX_PERIOD_US = 1_000_000;
const MIN_QUOTA_US = 1000;
const MAX_SHARES = 262_144;
/** Below this runtimes can't even start a process. */
const MIN_MEMORY_BYTES = 512 * 1024;
/** One file of a controller, and not of the tree's own making. */
const UNIFIED_FILE = /^(cpu|cpuset|hugetlb|io|memory|misc|pids|rdma)\.[a-zA-Z0-9_.]+$/;

/**
 * Refuses limits that can't be, before anything is made of them. Pure.
 * @throws Invalid naming the field
 */
export function checkResources(resources: Resources, facts: ResourceFacts): void {
  const { memoryLimitBytes, memoryReservationBytes, memorySwapLimitBytes, hugepageLimits = [], unified = {} } = resources;
  inRange('cpuShares', resources.cpuShares, 0, MAX_SHARES);
  if (resources.cpuQuotaUs !== undefined && resources.cpuQuotaUs > 0) inRange('cpuQuotaUs', resources.cpuQuotaUs, MIN_QUOTA_US);
  else inRange('cpuQuotaUs', resources.cpuQuotaUs, -1);
  if (resources.cpuPeriodUs !== 0) inRange('cpuPeriodUs', resources.cpuPeriodUs, MIN_PERIOD_US, MAX_PERIOD_US);
  if (memoryLimitBytes !== undefined && memoryLimitBytes > 0) inRange('memoryLimitBytes', memoryLimitBytes, MIN_MEMORY_BYTES);
  else inRange('memoryLimitBytes', memoryLimitBytes, -1);
  inRange('memoryReservationBytes', memoryReservationBytes, 0);
  inRange('memorySwapLimitBytes', memorySwapLimitBytes, -1);
  if (isPositive(memorySwapLimitBytes) && memorySwapLimitBytes < (memoryLimitBytes ?? 0))
    throw invalid(
      'memorySwapLimitBytes',
      `${memorySwapLimitBytes} is below the memory limit ${memoryLimitBytes}, which it is to hold, too`,
    );
  if (memorySwapLimitBytes && memorySwapLimitBytes !== memoryLimitBytes && !facts.countsSwap)
    throw invalid('memorySwapLimitBytes', "this machine's kernel does not count swap", 'Leave it out, or boot with swapaccount=1.');
  if (isPositive(memorySwapLimitBytes) && !isPositive(memoryLimitBytes))
    throw invalid('memorySwapLimitBytes', 'needs a memory limit beside it');
  inRange('pidsLimit', resources.pidsLimit, -1);
  inRange('oomScoreAdj', resources.oomScoreAdj, -1000, 1000);
  inRange('memorySwappiness', resources.memorySwappiness, 0, 100);
  checkSet('cpusetCpus', resources.cpusetCpus, facts.cpus);
  checkSet('cpusetMems', resources.cpusetMems, facts.memoryNodes);
  for (const { pageSize, limitBytes } of hugepageLimits) {
    // Foreign kubelets name every size they know, with 0 for what a pod does not have.
    if (limitBytes === 0) continue;
    inRange(`hugepageLimits[${pageSize}]`, limitBytes, 0);
    if (!facts.hugepageSizes.has(pageSize))
      throw invalid(
        'hugepageLimits',
        `this machine has no huge pages of ${pageSize}: it has ${[...facts.hugepageSizes].join(', ') || 'none'}`,
      );
  }
  for (const [file, value] of Object.entries(unified)) {
    if (facts.cgroupVersion !== 'v2')
      throw invalid(
        'unified',
        `${file} is a file of cgroup v2, and this machine has ${facts.cgroupVersion}`,
        'Leave it out, or boot with cgroup v2.',
      );
    if (!UNIFIED_FILE.test(file)) throw invalid('unified', `${JSON.stringify(file)} is no file of a controller`);
    if (value.length > 4096 || value.includes('\0')) throw invalid('unified', `the value of ${file} is too long`);
  }
}

/** `0-2,7` as numbers. @throws Invalid */
export function parseSet(field: string, text: string): number[] {
  return text.split(',').flatMap(part => {
    const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    const [first, last] = [Number(from), Number(to)];
    if (from === undefined || last < first) throw invalid(field, `${JSON.stringify(text)} must be a list such as 0-2,7`);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

function checkSet(field: string, text: string | undefined, available: ReadonlySet<number>): void {
  if (!text) return;
  const missing = parseSet(field, text).filter(number => !available.has(number));
  if (missing.length > 0)
    throw invalid(field, `${missing.slice(0, 8).join(', ')} is not there: this machine has ${[...available].join(', ')}`);
}

function inRange(field: string, value: number | undefined, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return;
  throw invalid(field, `${value} must be a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`);
}

function isPositive(value: number | undefined): value is number {
  return value !== undefined && value > 0;
}

function invalid(field: string, why: string, hint?: string): UmiakError {
  return new UmiakError('Invalid', `resources.${field}: ${why}`, hint ? { hint } : {});
}

/** What this machine has. */
export function readResourceFacts({ version, controllers }: Pick<CgroupLayout, 'version' | 'controllers'>): ResourceFacts {
  const numbers = (file: string) => new Set(parseSet(file, readFileSync(file, 'utf8').trim()));
  return {
    cgroupVersion: version,
    countsSwap: version === 'v2' ? existsSync('/proc/swaps') : existsSync(`${controllers.memory}/memory.memsw.limit_in_bytes`),
    cpus: numbers('/sys/devices/system/cpu/online'),
    memoryNodes: tryRead(() => numbers('/sys/devices/system/node/online')) ?? new Set([0]),
    hugepageSizes: new Set(
      (tryRead(() => readdirSync('/sys/kernel/mm/hugepages')) ?? []).flatMap(name => {
        const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
        return kib ? toPageSize(kib * 1024) : [];
      }),
    ),
  };
}

/** A size of huge pages as control groups name it. Pure. */
export function toPageSize(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = units.findLastIndex((_, index) => bytes >= 1024 ** index);
  return `${bytes / 1024 ** power}${units[power]}`;
}

function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
