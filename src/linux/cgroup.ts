import { existsSync, type FSWatcher, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type CgroupLimits, planMemoryV1, planUpdateV1, planUpdateV2, toShares } from './cgroup-limits.ts';
import { type CgroupUsage, CgroupUsageReader } from './cgroup-usage.ts';
import { declare, errno } from './libc.ts';
import { identify, type ProcessIdentity, signalProcess, waitForEnd } from './process.ts';

const SIGKILL = 9;
const ENOENT = 2;

/** Without an exception for each of a dozen hierarchies where it is gone. */
const rmdir = declare('int rmdir(const char *path)');

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

export type { CgroupLimits, CgroupLimits as CgroupUpdate } from './cgroup-limits.ts';
export type { CgroupUsage } from './cgroup-usage.ts';

/** One of each layout: which files the kernel has is found out once. */
const readers = new WeakMap<CgroupLayout, CgroupUsageReader>();

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
    return this.#places().filter(directory => existsSync(directory));
  }

  #places(): string[] {
    const roots = new Set(Object.values(this.layout.controllers));
    if (this.layout.unified) roots.add(this.layout.unified);
    return [...roots].map(root => `${root}${this.path}`);
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

  /**
   * Kills what the unified tree says is in it, and resolves when nothing is left there: of a run that has ended, nearly always nothing was.
   * What somebody moved about in other hierarchies keeps `remove` from removing them. Where there is no such tree: `kill`.
   */
  async empty(): Promise<void> {
    const events = this.#read('unified', 'cgroup.events');
    if (events === '') return await this.kill();
    if (fieldOf(events, 'populated') === 0) return;
    this.signalKill();
    await this.#emptied();
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
    return this.#places().filter(directory => !removeTree(directory)).length === 0;
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
    if (this.layout.version === 'v2') {
      for (const [, file, value] of planUpdateV2(limits, this.limits())) this.#write('unified', file, value);
      return;
    }
    const hasSwap = this.#read('memory', 'memory.memsw.limit_in_bytes') !== '';
    for (const [controller, file, value] of planMemoryV1(limits, this.limits()))
      if (hasSwap || !file.includes('memsw')) this.#write(controller, file, value);
    for (const [controller, file, value] of planUpdateV1(limits)) this.#write(controller, file, value);
  }

  usage(): CgroupUsage {
    const reader = readers.get(this.layout) ?? new CgroupUsageReader(this.layout);
    readers.set(this.layout, reader);
    return reader.read(this.path);
  }

  /**
   * Makes it, with what is above it, where it is not there yet: in v1 in the hierarchies that these limits need, or in all; in v2 with
   * all controllers.
   */
  ensure(limits?: CgroupLimits): void {
    const { unified, controllers, version } = this.layout;
    if (version === 'v2') return void (unified !== undefined && ensureInTree(unified, this.path));
    const needed = limits && [...planMemoryV1(limits, {}), ...planUpdateV1(limits)].map(([name]) => controllers[name]);
    for (const root of new Set(needed ?? Object.values(controllers))) {
      for (const path of root === undefined ? [] : pathsTo(this.path)) {
        mkdirSync(`${root}${path}`, { recursive: true });
        if (root === controllers.cpuset) inheritCpus(`${root}${path}`);
      }
    }
  }

  /** Halts everything in it and below it, or lets it go on; resolves when the kernel says so. */
  async freeze(isFrozen: boolean): Promise<void> {
    const tree = this.#unified('cgroup.freeze');
    if (tree) {
      writeFileSync(tree, isFrozen ? '1' : '0');
      await this.#untilEvents(
        () => fieldOf(this.#read('unified', 'cgroup.events') || `frozen ${Number(isFrozen)}`, 'frozen') === Number(isFrozen),
      );
    } else this.#write('freezer', 'freezer.state', isFrozen ? 'FROZEN' : 'THAWED');
  }

  #limitsV1(): CgroupLimits {
    const quota = numberOf(this.#read('cpu', 'cpu.cfs_quota_us'));
    const memory = numberOf(this.#read('memory', 'memory.limit_in_bytes'));
    const swap = numberOf(this.#read('memory', 'memory.memsw.limit_in_bytes'));
    const limited = (bytes: number | undefined) => (bytes !== undefined && bytes < Number.MAX_SAFE_INTEGER ? bytes : undefined);
    return compact({
      memoryLimitBytes: limited(memory),
      ...(limited(swap) === limited(memory) ? {} : { memorySwapLimitBytes: limited(swap) }),
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
    const memory = numberOf(this.#read('unified', 'memory.max'));
    const swap = numberOf(this.#read('unified', 'memory.swap.max'));
    return compact({
      memoryLimitBytes: memory,
      ...(memory !== undefined && swap ? { memorySwapLimitBytes: memory + swap } : {}),
      cpuQuotaUs: numberOf(quota),
      cpuPeriodUs: numberOf(period),
      cpuShares: weight === undefined ? undefined : toShares(weight),
      cpusetCpus: this.#read('unified', 'cpuset.cpus').trim() || undefined,
      cpusetMems: this.#read('unified', 'cpuset.mems').trim() || undefined,
      pidsLimit: numberOf(this.#read('unified', 'pids.max')),
    });
  }

  #write(controller: string, file: string, value: string): void {
    const root = controller === 'unified' ? this.layout.unified : this.layout.controllers[controller];
    writeFileSync(`${root}${this.path}/${file}`, value);
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
    await this.#untilEvents(() => fieldOf(this.#read('unified', 'cgroup.events') || 'populated 0', 'populated') === 0);
  }

  /** Resolves when what `cgroup.events` says is so, or the group is gone. */
  async #untilEvents(isSo: () => boolean): Promise<void> {
    const events = this.#unified('cgroup.events');
    if (!events || isSo()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watchers: FSWatcher[] = [];
    try {
      // Of a group that goes its files tell nothing: the one above does.
      for (const path of [events, dirname(dirname(events))])
        watchers.push(watch(path, () => isSo() && resolve()).on('error', () => resolve()));
      if (isSo()) resolve();
      await promise;
    } catch (error) {
      if (!isSo()) throw error; // not gone in between
    } finally {
      for (const watcher of watchers) watcher.close();
    }
  }
}

/** `/a`, `/a/b`, `/a/b/c`. */
function pathsTo(path: string): string[] {
  const parts = path.split('/').filter(Boolean);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

/**
 * Each level above hands its controllers on before the next one is made: a group has those that its parent gives it, and one that gives away
 * may have no processes of its own.
 */
function ensureInTree(root: string, path: string): void {
  for (const above of ['', ...pathsTo(path)]) {
    mkdirSync(`${root}${above}`, { recursive: true });
    if (above === path) return;
    const controllers = readFileSync(`${root}${above}/cgroup.controllers`, 'utf8').trim().split(' ').filter(Boolean);
    const given = new Set(readFileSync(`${root}${above}/cgroup.subtree_control`, 'utf8').trim().split(' '));
    // One by one: a controller that can't be given (rdma and the like) keeps no other back.
    for (const name of controllers) if (!given.has(name)) tryWrite(`${root}${above}/cgroup.subtree_control`, `+${name}`);
  }
}

/** A new group of v1's cpuset has neither processors nor memory until it is told. */
function inheritCpus(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (readFileSync(`${directory}/${file}`, 'utf8').trim() === '')
      writeFileSync(`${directory}/${file}`, readFileSync(`${directory}/../${file}`, 'utf8'));
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
  if (removeOne(directory)) return true;
  try {
    for (const child of children(directory)) removeTree(child);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
  return removeOne(directory);
}

function removeOne(directory: string): boolean {
  return rmdir(directory) === 0 || errno() === ENOENT;
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
