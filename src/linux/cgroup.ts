import { existsSync, readdirSync, readFileSync, rmdirSync, watch, writeFileSync } from 'node:fs';
import { identify, type ProcessIdentity, signalProcess, waitForEnd } from './process.ts';

const SIGKILL = 9;

/** Where the machine's control groups are: v1 hierarchies by controller, and the unified tree if there is one. */
export interface CgroupLayout {
  version: 'v1' | 'hybrid' | 'v2';
  /** Mount point of cgroup2. In a hybrid layout it has no controllers of use, but `cgroup.kill` and `cgroup.events`. */
  unified?: string;
  /** Mount point of each v1 controller; `name=systemd` and its like too. */
  controllers: Record<string, string>;
}

/** Reads the layout from a process's mount table. Pure. */
export function parseCgroupLayout(mountinfo: string): CgroupLayout {
  const controllers: Record<string, string> = {};
  let unified: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const target = left.split(' ')[4];
    const [type, , options = ''] = right.split(' ');
    if (target === undefined) continue;
    if (type === 'cgroup2') unified ??= target;
    if (type !== 'cgroup') continue;
    for (const option of options.split(',')) {
      if (V1_CONTROLLERS.has(option) || option.startsWith('name=')) controllers[option] ??= target;
    }
  }
  const hasV1 = Object.keys(controllers).length > 0;
  return { version: hasV1 ? (unified ? 'hybrid' : 'v1') : 'v2', ...(unified ? { unified } : {}), controllers };
}

const V1_CONTROLLERS = new Set([
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'rdma',
  'misc',
]);

/** This machine's layout now. */
export function readCgroupLayout(): CgroupLayout {
  return parseCgroupLayout(readFileSync('/proc/self/mountinfo', 'utf8'));
}

export interface CgroupLimits {
  memoryLimitBytes?: number;
  cpuQuotaUs?: number;
  cpuPeriodUs?: number;
  cpuShares?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  pidsLimit?: number;
}

export interface CgroupUsage {
  cpuUsageNs: number;
  memoryUsageBytes: number;
  /** Usage without the inactive file cache, as the kubelet counts it. */
  memoryWorkingSetBytes: number;
  pids: number;
}

/** One control group, by its path below every hierarchy's root: `/umiak/burstable/pod1/abc`. */
export class Cgroup {
  readonly layout: CgroupLayout;
  readonly path: string;

  constructor(layout: CgroupLayout, path: string) {
    this.layout = layout;
    this.path = path;
  }

  /** Its directories, in every hierarchy where it exists. */
  directories(): string[] {
    const roots = new Set(Object.values(this.layout.controllers));
    if (this.layout.unified) roots.add(this.layout.unified);
    return [...roots].map(root => `${root}${this.path}`).filter(directory => existsSync(directory));
  }

  /** Processes in it and below it. */
  processes(): number[] {
    const pids = new Set<number>();
    for (const directory of this.directories()) for (const pid of processesBelow(directory)) pids.add(pid);
    return [...pids];
  }

  /** Sends SIGKILL to everything in it and below it, whatever forks meanwhile. */
  signalKill(): void {
    const kill = this.#unified('cgroup.kill');
    if (kill) tryWrite(kill, '1');
    else this.#killFrozen();
  }

  /** Kills everything in it and below it and resolves when nothing is left. Nobody else may remove it meanwhile. */
  async kill(): Promise<void> {
    this.signalKill();
    await this.#emptied();
    for (let processes = this.#killFrozen(); processes.length > 0; processes = this.#killFrozen())
      for (const process of processes) await waitForEnd(process, 5000);
  }

  /** Without cgroup.kill: frozen, so that nothing forks while its pids are read. Zombies are left to their parents. */
  #killFrozen(): ProcessIdentity[] {
    if (this.processes().length === 0) return [];
    const freezer = this.layout.controllers.freezer && `${this.layout.controllers.freezer}${this.path}/freezer.state`;
    const isFrozen = freezer !== undefined && tryWrite(freezer, 'FROZEN');
    const processes = this.processes().flatMap(pid => identify(pid) ?? []);
    for (const process of processes) signalProcess(process, SIGKILL);
    if (isFrozen) tryWrite(freezer, 'THAWED');
    return processes;
  }

  /** Removes it with all below it from every hierarchy; what still has processes stays. True when nothing is left. */
  remove(): boolean {
    return this.directories().filter(directory => !removeTree(directory)).length === 0;
  }

  /** How many of its processes the kernel killed for lack of memory. */
  oomKills(): number {
    if (this.layout.version === 'v2') return fieldOf(this.#read('unified', 'memory.events'), 'oom_kill');
    return fieldOf(this.#read('memory', 'memory.oom_control'), 'oom_kill');
  }

  /** The limits as the kernel holds them; what is unlimited is absent. */
  limits(): CgroupLimits {
    return this.layout.version === 'v2' ? this.#limitsV2() : this.#limitsV1();
  }

  /** Changes limits; what is absent stays. @throws when the kernel refuses, for instance a memory limit below what is used */
  update(limits: CgroupLimits): void {
    const memsw = this.layout.controllers.memory && `${this.layout.controllers.memory}${this.path}/memory.memsw.limit_in_bytes`;
    const swap = () => memsw && limits.memoryLimitBytes !== undefined && tryWrite(memsw, String(limits.memoryLimitBytes));
    swap(); // memory and memory with swap are equal here; the larger one must move first
    for (const [controller, file, value] of this.layout.version === 'v2' ? planUpdateV2(limits, this.limits()) : planUpdateV1(limits)) {
      const root = controller === 'unified' ? this.layout.unified : this.layout.controllers[controller];
      writeFileSync(`${root}${this.path}/${file}`, value);
    }
    swap();
  }

  usage(): CgroupUsage {
    const isV2 = this.layout.version === 'v2';
    const stat = this.#read(isV2 ? 'unified' : 'memory', 'memory.stat');
    const memoryUsageBytes = Number(this.#read(isV2 ? 'unified' : 'memory', isV2 ? 'memory.current' : 'memory.usage_in_bytes'));
    const inactiveFile = fieldOf(stat, isV2 ? 'inactive_file' : 'total_inactive_file');
    return {
      cpuUsageNs: isV2 ? fieldOf(this.#read('unified', 'cpu.stat'), 'usage_usec') * 1000 : Number(this.#read('cpuacct', 'cpuacct.usage')),
      memoryUsageBytes,
      memoryWorkingSetBytes: Math.max(0, memoryUsageBytes - inactiveFile),
      pids: Number(this.#read(isV2 ? 'unified' : 'pids', 'pids.current')),
    };
  }

  #limitsV1(): CgroupLimits {
    const quota = numberOf(this.#read('cpu', 'cpu.cfs_quota_us'));
    const memory = numberOf(this.#read('memory', 'memory.limit_in_bytes'));
    return compact({
      memoryLimitBytes: memory !== undefined && memory < Number.MAX_SAFE_INTEGER ? memory : undefined,
      cpuQuotaUs: quota !== undefined && quota > 0 ? quota : undefined,
      cpuPeriodUs: numberOf(this.#read('cpu', 'cpu.cfs_period_us')),
      cpuShares: numberOf(this.#read('cpu', 'cpu.shares')),
      cpusetCpus: this.#read('cpuset', 'cpuset.cpus').trim() || undefined,
      cpusetMems: this.#read('cpuset', 'cpuset.mems').trim() || undefined,
      pidsLimit: numberOf(this.#read('pids', 'pids.max')),
    });
  }

  #limitsV2(): CgroupLimits {
    const [quota = '', period = ''] = this.#read('unified', 'cpu.max').trim().split(' ');
    const weight = numberOf(this.#read('unified', 'cpu.weight'));
    return compact({
      memoryLimitBytes: numberOf(this.#read('unified', 'memory.max')),
      cpuQuotaUs: numberOf(quota),
      cpuPeriodUs: numberOf(period),
      cpuShares: weight === undefined ? undefined : toShares(weight),
      cpusetCpus: this.#read('unified', 'cpuset.cpus').trim() || undefined,
      cpusetMems: this.#read('unified', 'cpuset.mems').trim() || undefined,
      pidsLimit: numberOf(this.#read('unified', 'pids.max')),
    });
  }

  #read(controller: string, file: string): string {
    const root = controller === 'unified' ? this.layout.unified : this.layout.controllers[controller];
    if (root === undefined) return '';
    try {
      return readFileSync(`${root}${this.path}/${file}`, 'utf8');
    } catch {
      return ''; // gone, or a controller that is not enabled here
    }
  }

  #unified(file: string): string | undefined {
    const path = this.layout.unified && `${this.layout.unified}${this.path}/${file}`;
    return path && existsSync(path) ? path : undefined;
  }

  /** Resolves when the kernel says that no process is left in it. */
  async #emptied(): Promise<void> {
    const events = this.#unified('cgroup.events');
    if (!events) return;
    const isEmpty = () => fieldOf(this.#read('unified', 'cgroup.events') || 'populated 0', 'populated') === 0;
    if (isEmpty()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watcher = watch(events, () => isEmpty() && resolve());
    watcher.on('error', () => resolve());
    if (isEmpty()) resolve();
    try {
      await promise;
    } finally {
      watcher.close();
    }
  }
}

type Write = [controller: string, file: string, value: string];

function planUpdateV1({ memoryLimitBytes, cpuQuotaUs, cpuPeriodUs, cpuShares, cpusetCpus, cpusetMems, pidsLimit }: CgroupLimits): Write[] {
  const writes: [string, string, string | number | undefined][] = [
    ['memory', 'memory.limit_in_bytes', memoryLimitBytes],
    ['cpu', 'cpu.cfs_period_us', cpuPeriodUs],
    ['cpu', 'cpu.cfs_quota_us', cpuQuotaUs],
    ['cpu', 'cpu.shares', cpuShares],
    ['cpuset', 'cpuset.cpus', cpusetCpus || undefined],
    ['cpuset', 'cpuset.mems', cpusetMems || undefined],
    ['pids', 'pids.max', pidsLimit],
  ];
  return writes.flatMap(([controller, file, value]): Write[] => (value === undefined ? [] : [[controller, file, String(value)]]));
}

function planUpdateV2(limits: CgroupLimits, now: CgroupLimits): Write[] {
  const { memoryLimitBytes, cpuQuotaUs, cpuPeriodUs, cpuShares, cpusetCpus, cpusetMems, pidsLimit } = limits;
  const quota = cpuQuotaUs ?? now.cpuQuotaUs;
  const hasCpu = cpuQuotaUs !== undefined || cpuPeriodUs !== undefined;
  const writes: [string, string | number | undefined][] = [
    ['memory.max', memoryLimitBytes],
    ['cpu.max', hasCpu ? `${quota !== undefined && quota > 0 ? quota : 'max'} ${cpuPeriodUs ?? now.cpuPeriodUs ?? 100_000}` : undefined],
    ['cpu.weight', cpuShares === undefined ? undefined : toWeight(cpuShares)],
    ['cpuset.cpus', cpusetCpus || undefined],
    ['cpuset.mems', cpusetMems || undefined],
    ['pids.max', pidsLimit],
  ];
  return writes.flatMap(([file, value]): Write[] => (value === undefined ? [] : [['unified', file, String(value)]]));
}

/** cgroup v2's weight (1…10000) for v1's shares (2…262144), by the formula of OCI's runtimes. */
export function toWeight(shares: number): number {
  return shares === 0 ? 0 : Math.floor(1 + ((Math.min(262144, Math.max(2, shares)) - 2) * 9999) / 262142);
}

function toShares(weight: number): number {
  return Math.round(2 + ((weight - 1) * 262142) / 9999);
}

function processesBelow(directory: string): number[] {
  try {
    const own = readFileSync(`${directory}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
    return [...own, ...children(directory).flatMap(child => processesBelow(child))];
  } catch {
    return []; // removed meanwhile
  }
}

function children(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? `${directory}/${entry.name}` : []));
}

function removeTree(directory: string): boolean {
  try {
    for (const child of children(directory)) removeTree(child);
    rmdirSync(directory);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function tryWrite(file: string, value: string): boolean {
  try {
    writeFileSync(file, value);
    return true;
  } catch {
    return false; // the group is gone
  }
}

function fieldOf(text: string, name: string): number {
  const line = text.split('\n').find(candidate => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

function numberOf(text: string): number | undefined {
  const trimmed = text.trim();
  return trimmed === '' || trimmed === 'max' ? undefined : Number(trimmed);
}

function compact<T extends object>(limits: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)) as T;
}
