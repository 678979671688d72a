import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { CgroupLayout } from './cgroup.ts';

/** What one control group and all below it use. */
export interface CgroupUsage {
  cpuUsageNs: number;
  memoryUsageBytes: number;
  /** Usage without the inactive file cache, as the kubelet counts it. */
  memoryWorkingSetBytes: number;
  pids: number;
  cpu: { userNs: number; systemNs: number; periods: number; throttledPeriods: number; throttledNs: number };
  memory: {
    rssBytes: number;
    pageFaults: number;
    majorPageFaults: number;
    /** Absent: no limit. */
    limitBytes?: number;
    /** Limit without the working set; absent without a limit. */
    availableBytes?: number;
  };
  /** Absent where swap is not counted. */
  swap?: { usageBytes: number; availableBytes?: number };
  pidsLimit?: number;
  io: { readBytes: number; writeBytes: number; reads: number; writes: number };
  /** `pageSize` as the kernel names it: `2MB`. */
  hugetlb: { pageSize: string; usageBytes: number; limitBytes?: number }[];
  /** Pressure stall information, where the group has a place in a unified tree that tells it. */
  pressure?: { cpu: Pressure; memory: Pressure; io: Pressure };
}

export interface Pressure {
  some: PressureLine;
  full: PressureLine;
}

/** Shares of time in percent, and microseconds since the group was made. */
export interface PressureLine {
  avg10: number;
  avg60: number;
  avg300: number;
  totalUs: number;
}

/** Of a group that does nothing. */
export function noUsage(): CgroupUsage {
  return planUsageV2({});
}

/** Of several groups together; limits and pressure are each one's own and left out. Pure. */
export function sumUsage(all: readonly CgroupUsage[]): CgroupUsage {
  const sum = (value: (usage: CgroupUsage) => number) => all.reduce((total, usage) => total + value(usage), 0);
  const hasSwap = all.some(({ swap }) => swap);
  return {
    cpuUsageNs: sum(({ cpuUsageNs }) => cpuUsageNs),
    memoryUsageBytes: sum(({ memoryUsageBytes }) => memoryUsageBytes),
    memoryWorkingSetBytes: sum(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes),
    pids: sum(({ pids }) => pids),
    cpu: {
      userNs: sum(({ cpu }) => cpu.userNs),
      systemNs: sum(({ cpu }) => cpu.systemNs),
      periods: sum(({ cpu }) => cpu.periods),
      throttledPeriods: sum(({ cpu }) => cpu.throttledPeriods),
      throttledNs: sum(({ cpu }) => cpu.throttledNs),
    },
    memory: {
      rssBytes: sum(({ memory }) => memory.rssBytes),
      pageFaults: sum(({ memory }) => memory.pageFaults),
      majorPageFaults: sum(({ memory }) => memory.majorPageFaults),
    },
    ...(hasSwap ? { swap: { usageBytes: sum(({ swap }) => swap?.usageBytes ?? 0) } } : {}),
    io: {
      readBytes: sum(({ io }) => io.readBytes),
      writeBytes: sum(({ io }) => io.writeBytes),
      reads: sum(({ io }) => io.reads),
      writes: sum(({ io }) => io.writes),
    },
    hugetlb: [
      ...Map.groupBy(
        all.flatMap(({ hugetlb }) => hugetlb),
        ({ pageSize }) => pageSize,
      ),
    ].map(([pageSize, same]) => ({
      pageSize,
      usageBytes: same.reduce((total, { usageBytes }) => total + usageBytes, 0),
    })),
  };
}

/** Files of one group by name; what is not there is absent. */
export type CgroupFiles = Partial<Record<string, string>>;

const PRESSURE_FILES = ['cpu.pressure', 'memory.pressure', 'io.pressure'];
const V2_FILES = [
  ...['cpu.stat', 'memory.current', 'memory.max', 'memory.stat', 'memory.swap.current', 'memory.swap.max'],
  ...['pids.current', 'pids.max', 'io.stat'],
];
const V1_FILES: Record<string, string[]> = {
  cpuacct: ['cpuacct.usage', 'cpuacct.usage_user', 'cpuacct.usage_sys'],
  cpu: ['cpu.stat'],
  memory: ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'memory.stat', 'memory.memsw.limit_in_bytes'],
  pids: ['pids.current', 'pids.max'],
  blkio: ['blkio.throttle.io_service_bytes_recursive', 'blkio.throttle.io_serviced_recursive'],
};

/** Reads what groups of one layout use; which files the kernel has is found out once. */
export class CgroupUsageReader {
  readonly #layout: CgroupLayout;
  #files: [root: string, name: string][] | undefined;

  constructor(layout: CgroupLayout) {
    this.#layout = layout;
  }

  /** By its path below every hierarchy's root. */
  read(path: string): CgroupUsage {
    const files: CgroupFiles = {};
    this.#files ??= this.#find(path);
    for (const [root, name] of this.#files ?? []) {
      try {
        files[name] = readFileSync(`${root}${path}/${name}`, 'utf8');
      } catch {
        // The group has ended, or a controller is not enabled here.
      }
    }
    return this.#layout.version === 'v2' ? planUsageV2(files) : planUsageV1(files);
  }

  /** Undefined while the group is not there: another one will tell. */
  #find(path: string): [root: string, name: string][] | undefined {
    const { version, unified, controllers } = this.#layout;
    const inTree =
      unified === undefined ? [] : [...(version === 'v2' ? V2_FILES : []), ...PRESSURE_FILES].map(name => [unified, name] as const);
    const ofV1 = Object.entries(V1_FILES).flatMap(([name, files]) => files.map(file => [controllers[name], file] as const));
    const huge = version === 'v2' ? unified : controllers.hugetlb;
    const ofPages = huge === undefined ? [] : hugetlbFiles(`${huge}${path}`).map(name => [huge, name] as const);
    const all = [...inTree, ...(version === 'v2' ? [] : ofV1), ...ofPages];
    const found = all.flatMap(([root, name]): [string, string][] =>
      root !== undefined && existsSync(`${root}${path}/${name}`) ? [[root, name]] : [],
    );
    return found.length > 0 ? found : undefined;
  }
}

function hugetlbFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter(name => /^hugetlb\.\w+\.(current|max|usage_in_bytes|limit_in_bytes)$/.test(name));
}

/** Pure. */
export function planUsageV2(files: CgroupFiles): CgroupUsage {
  const cpu = fieldsOf(files['cpu.stat']);
  const stat = fieldsOf(files['memory.stat']);
  const swapUsage = numberOf(files['memory.swap.current']);
  const swapLimit = limitOf(files['memory.swap.max']);
  const io = ioOf(files['io.stat']);
  return {
    cpuUsageNs: (cpu.usage_usec ?? 0) * 1000,
    ...memoryOf(numberOf(files['memory.current']) ?? 0, stat.inactive_file ?? 0),
    pids: numberOf(files['pids.current']) ?? 0,
    cpu: {
      userNs: (cpu.user_usec ?? 0) * 1000,
      systemNs: (cpu.system_usec ?? 0) * 1000,
      periods: cpu.nr_periods ?? 0,
      throttledPeriods: cpu.nr_throttled ?? 0,
      throttledNs: (cpu.throttled_usec ?? 0) * 1000,
    },
    memory: {
      rssBytes: stat.anon ?? 0,
      pageFaults: stat.pgfault ?? 0,
      majorPageFaults: stat.pgmajfault ?? 0,
      ...available(limitOf(files['memory.max']), (numberOf(files['memory.current']) ?? 0) - (stat.inactive_file ?? 0)),
    },
    ...(swapUsage === undefined ? {} : { swap: { usageBytes: swapUsage, ...left(swapLimit, swapUsage) } }),
    ...(limitOf(files['pids.max']) === undefined ? {} : { pidsLimit: limitOf(files['pids.max'])! }),
    io,
    hugetlb: hugetlbOf(files, 'current', 'max'),
    ...pressureOf(files),
  };
}

/** Pure. */
export function planUsageV1(files: CgroupFiles): CgroupUsage {
  const cpu = fieldsOf(files['cpu.stat']);
  const stat = fieldsOf(files['memory.stat']);
  const usage = numberOf(files['memory.usage_in_bytes']) ?? 0;
  const limit = limitOf(files['memory.limit_in_bytes']);
  const withSwap = limitOf(files['memory.memsw.limit_in_bytes']);
  const swapUsage = stat.total_swap ?? 0;
  const service = (file: string, verb: string) =>
    [...(files[file] ?? '').matchAll(new RegExp(`^\\d+:\\d+ ${verb} (\\d+)`, 'gm'))].reduce((sum, [, count]) => sum + Number(count), 0);
  const [bytes, operations] = ['blkio.throttle.io_service_bytes_recursive', 'blkio.throttle.io_serviced_recursive'] as const;
  return {
    cpuUsageNs: numberOf(files['cpuacct.usage']) ?? 0,
    ...memoryOf(usage, stat.total_inactive_file ?? 0),
    pids: numberOf(files['pids.current']) ?? 0,
    cpu: {
      userNs: numberOf(files['cpuacct.usage_user']) ?? 0,
      systemNs: numberOf(files['cpuacct.usage_sys']) ?? 0,
      periods: cpu.nr_periods ?? 0,
      throttledPeriods: cpu.nr_throttled ?? 0,
      throttledNs: cpu.throttled_time ?? 0,
    },
    memory: {
      rssBytes: stat.total_rss ?? 0,
      pageFaults: stat.total_pgfault ?? 0,
      majorPageFaults: stat.total_pgmajfault ?? 0,
      ...available(limit, usage - (stat.total_inactive_file ?? 0)),
    },
    ...(files['memory.memsw.limit_in_bytes'] === undefined
      ? {}
      : { swap: { usageBytes: swapUsage, ...(withSwap === undefined ? {} : left(withSwap - (limit ?? withSwap), swapUsage)) } }),
    ...(limitOf(files['pids.max']) === undefined ? {} : { pidsLimit: limitOf(files['pids.max'])! }),
    io: {
      readBytes: service(bytes, 'Read'),
      writeBytes: service(bytes, 'Write'),
      reads: service(operations, 'Read'),
      writes: service(operations, 'Write'),
    },
    hugetlb: hugetlbOf(files, 'usage_in_bytes', 'limit_in_bytes'),
    ...pressureOf(files),
  };
}

function memoryOf(usage: number, inactiveFile: number): { memoryUsageBytes: number; memoryWorkingSetBytes: number } {
  return { memoryUsageBytes: usage, memoryWorkingSetBytes: Math.max(0, usage - inactiveFile) };
}

function available(limit: number | undefined, workingSet: number): { limitBytes?: number; availableBytes?: number } {
  return limit === undefined ? {} : { limitBytes: limit, availableBytes: Math.max(0, limit - Math.max(0, workingSet)) };
}

function left(limit: number | undefined, usage: number): { availableBytes?: number } {
  return limit === undefined ? {} : { availableBytes: Math.max(0, limit - usage) };
}

function ioOf(text = ''): CgroupUsage['io'] {
  const sum = (key: string) =>
    [...text.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))].reduce((total, [, count]) => total + Number(count), 0);
  return { readBytes: sum('rbytes'), writeBytes: sum('wbytes'), reads: sum('rios'), writes: sum('wios') };
}

function hugetlbOf(files: CgroupFiles, usage: string, limit: string): CgroupUsage['hugetlb'] {
  return Object.keys(files).flatMap(name => {
    const [kind, pageSize = '', what] = name.split('.');
    if (kind !== 'hugetlb' || what !== usage) return [];
    const limitBytes = limitOf(files[`hugetlb.${pageSize}.${limit}`]);
    return [{ pageSize, usageBytes: numberOf(files[name]) ?? 0, ...(limitBytes === undefined ? {} : { limitBytes }) }];
  });
}

function pressureOf(files: CgroupFiles): Pick<CgroupUsage, 'pressure'> {
  const [cpu, memory, io] = PRESSURE_FILES.map(name => parsePressure(files[name]));
  return cpu && memory && io ? { pressure: { cpu, memory, io } } : {};
}

/** `some` and, where it is told, `full`. */
function parsePressure(text: string | undefined): Pressure | undefined {
  if (text === undefined) return undefined;
  const line = (kind: string): PressureLine => {
    const found = new RegExp(`^${kind} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=(\\d+)`, 'm').exec(text) ?? [];
    const [avg10 = 0, avg60 = 0, avg300 = 0, totalUs = 0] = found.slice(1).map(Number);
    return { avg10, avg60, avg300, totalUs };
  };
  return { some: line('some'), full: line('full') };
}

function fieldsOf(text = ''): Partial<Record<string, number>> {
  const fields: Partial<Record<string, number>> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ');
    if (at > 0) fields[line.slice(0, at)] = Number(line.slice(at + 1));
  }
  return fields;
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : Number(text);
}

/** Undefined without a limit, which v1 says by a number near 2^63. */
function limitOf(text: string | undefined): number | undefined {
  const trimmed = text?.trim();
  const number = trimmed === undefined || trimmed === '' || trimmed === 'max' ? undefined : Number(trimmed);
  return number !== undefined && number < Number.MAX_SAFE_INTEGER ? number : undefined;
}
