import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { readMountTable } from '#linux/mount-table.ts';
import { vethPrefix } from '#net/names.ts';

/** Who is counted: what bears the instance's name, or lies in its directories. */
export interface ResourceScope {
  instance: string;
  /** Data and run directories. */
  directories: readonly string[];
}

/** What an instance occupies of the machine, each by name, so that a difference tells what leaked. */
export interface Resources {
  mounts: string[];
  cgroups: string[];
  /** Processes that have one of the directories in their command line, or run in one of the control groups. */
  processes: string[];
  /** The bridge, and the machine's ends of the pods' links. */
  links: string[];
  /** The instance's nftables table. */
  tables: string[];
  /** What it holds of the changes to the machine itself: mounts, sysctls. */
  kernelChanges: string[];
  /** Everything in the directories. */
  files: string[];
  /** Open descriptors of this process, by what they are. */
  descriptors: Record<string, number>;
}

/** Looks at the machine now. */
export function countResources({ instance, directories }: ResourceScope): Resources {
  const isOurs = (path: string) => directories.some(directory => path === directory || path.startsWith(`${directory}/`));
  const cgroups = cgroupRoots().flatMap(root => walkDirectories(`${root}/${instance}`));
  return {
    mounts: readMountTable().flatMap(({ target }) => (isOurs(target) ? [target] : [])),
    cgroups,
    processes: findProcesses(directories, cgroups),
    links: readdirSync('/sys/class/net').filter(name => name === `${instance}0` || name.startsWith(vethPrefix(instance))),
    tables: listTables().filter(name => name === `table ip ${instance}`),
    kernelChanges: new KernelChangeJournal({ holder: instance })
      .changes()
      .flatMap(({ kind, target, holders }) => (holders.includes(instance) ? [`${kind} ${target}`] : [])),
    files: directories.flatMap(directory => walkFiles(directory)),
    descriptors: countDescriptors(),
  };
}

/** What no instance that ended may leave. */
export const OCCUPIED = ['mounts', 'cgroups', 'processes', 'links', 'tables', 'kernelChanges'] as const;

/** Fails with the names of what there is now and was not before. Files are compared too unless they are data that is to stay. */
export function assertNoLeak(before: Resources, after: Resources, { files = true }: { files?: boolean } = {}): void {
  const leaked: Record<string, string[]> = {};
  for (const kind of [...OCCUPIED, ...(files ? (['files'] as const) : [])] as const) {
    const known = new Set(before[kind]);
    const more = after[kind].filter(name => !known.has(name));
    if (more.length > 0) leaked[kind] = more;
  }
  const descriptors = Object.entries(after.descriptors).filter(([what, count]) => count > (before.descriptors[what] ?? 0));
  if (descriptors.length > 0)
    leaked.descriptors = descriptors.map(([what, count]) => `${what} × ${count - (before.descriptors[what] ?? 0)}`);
  assert.deepEqual(leaked, {}, 'something leaked');
}

function listTables(): string[] {
  const { status, stdout, error } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  if (error || status !== 0) return []; // no nftables here: no table either
  return stdout.trim().split('\n');
}

function cgroupRoots(): string[] {
  const { unified, controllers } = readCgroupLayout();
  return [...new Set([...Object.values(controllers), ...(unified ? [unified] : [])])];
}

function walkDirectories(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const below = readdirSync(directory, { withFileTypes: true }).filter(entry => entry.isDirectory());
  return [directory, ...below.flatMap(entry => walkDirectories(`${directory}/${entry.name}`))];
}

function walkFiles(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory, { recursive: true }).map(name => `${directory}/${String(name)}`) : [];
}

function findProcesses(directories: readonly string[], cgroups: readonly string[]): string[] {
  const inside = new Set(cgroups.flatMap(directory => readIfThere(`${directory}/cgroup.procs`).split('\n')).filter(Boolean));
  return readdirSync('/proc')
    .filter(pid => /^\d+$/.test(pid) && pid !== String(process.pid))
    .flatMap(pid => {
      const command = readIfThere(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
      return inside.has(pid) || directories.some(directory => command.includes(directory)) ? [`${pid} ${command}`] : [];
    });
}

function countDescriptors(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const fd of readdirSync('/proc/self/fd')) {
    const what = readLinkOf(fd);
    // Numbers of sockets and pipes differ from time to time; what matters is how many there are.
    if (what !== undefined) counts[what.replace(/\[\d+\]$/, '')] = (counts[what.replace(/\[\d+\]$/, '')] ?? 0) + 1;
  }
  return counts;
}

function readLinkOf(fd: string): string | undefined {
  try {
    const what = readlinkSync(`/proc/self/fd/${fd}`);
    return what.startsWith(`/proc/${process.pid}/fd`) ? undefined : what;
  } catch {
    return undefined;
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
