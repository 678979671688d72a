import assert from 'node:assert/strict';
import { type Dirent, existsSync, readdirSync, readFileSync } from 'node:fs';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { readMountTable } from '#linux/mount-table.ts';
import { bridgeAlias, bridgeTableName, endpointPrefix } from '#net/bridges/link-names.ts';
import { vethPrefix } from '#net/names.ts';
import { listElements, listTables } from './nft-census.ts';
import { descriptorsOf, findProcesses, locksOf, socketsOf } from './process-census.ts';
import { ownerOf } from './resource-owners.ts';

/** Who is counted: what bears the instance's name, or lies in its directories. */
export interface ResourceScope {
  instance: string;
  /** Data and run directories. */
  directories: readonly string[];
  /** Whose open descriptors are counted. Default: this process. */
  pids?: readonly number[];
  /** Looks into the nftables table too, which costs a process of its own. */
  rules?: boolean;
}

/** What an instance occupies of the machine, each by name, so that a difference tells what leaked. */
export interface Resources {
  mounts: string[];
  /** Pinned ones. */
  namespaces: string[];
  /** In every hierarchy. */
  cgroups: string[];
  /** Those with one of the directories in their command line or as their run directory, or in one of the control groups. */
  processes: string[];
  /** Bridges, and the machine's ends of pods' and containers' links. */
  links: string[];
  /** The instance's nftables tables. */
  tables: string[];
  /** Its chains, and the elements of its sets and maps, how many each. */
  rules: Record<string, number>;
  /** What it holds of the changes to the machine itself: mounts, sysctls. */
  kernelChanges: string[];
  /** Listening ones of its processes. */
  sockets: string[];
  /** Files that its processes hold locked. */
  locks: string[];
  /** Everything in the directories. */
  files: string[];
  /** Open descriptors, by what they are. */
  descriptors: Record<string, number>;
}

/** Looks at the machine now. */
export function countResources({ instance, directories, pids = [process.pid], rules = false }: ResourceScope): Resources {
  const isOurs = (path: string) => directories.some(directory => path === directory || path.startsWith(`${directory}/`));
  const cgroups = cgroupRoots().flatMap(root => walkDirectories(`${root}/${instance}`));
  const mounts = readMountTable().filter(({ target }) => isOurs(target));
  const processes = findProcesses(directories, cgroups);
  const tables = listTables().filter(name => [instance, bridgeTableName(instance)].includes(/^table \w+ (.*)$/.exec(name)?.[1] ?? ''));
  return {
    mounts: mounts.flatMap(({ type, target }) => (type === 'nsfs' ? [] : [target])),
    namespaces: mounts.flatMap(({ type, target }) => (type === 'nsfs' ? [target] : [])),
    cgroups,
    processes: processes.map(({ pid, command }) => `${pid} ${command}`),
    links: readdirSync('/sys/class/net').filter(name => isLinkOf(instance, name)),
    tables,
    rules: rules && tables.length > 0 ? { ...listElements(instance), ...listElements(bridgeTableName(instance), 'inet') } : {},
    kernelChanges: new KernelChangeJournal({ holder: instance })
      .changes()
      .flatMap(({ kind, target, holders }) => (holders.includes(instance) ? [`${kind} ${target}`] : [])),
    sockets: processes.flatMap(({ pid }) => socketsOf(pid)),
    locks: processes.flatMap(({ pid }) => locksOf(pid)),
    files: directories.flatMap(directory => walkFiles(directory)),
    descriptors: descriptorsOf(pids),
  };
}

/** By its name, or by the note on it. */
function isLinkOf(instance: string, name: string): boolean {
  if (name === `${instance}0` || [vethPrefix, endpointPrefix].some(prefixOf => name.startsWith(prefixOf(instance)))) return true;
  try {
    return readFileSync(`/sys/class/net/${name}/ifalias`, 'utf8').startsWith(bridgeAlias(instance));
  } catch {
    return false; // it went away meanwhile
  }
}

/** What no instance that ended may leave. */
export const OCCUPIED = [
  'mounts',
  'namespaces',
  'cgroups',
  'processes',
  'links',
  'tables',
  'kernelChanges',
  'sockets',
  'locks',
] as const satisfies (keyof Resources)[];

export interface CompareOptions {
  /** Files are compared too unless they are data that is to stay. Default: true. */
  files?: boolean;
  /** Default: true. */
  descriptors?: boolean;
}

/** What there is now and was not before, each line with the part of the house that was to free it. Pure. */
export function planLeaks(before: Resources, after: Resources, { files = true, descriptors = true }: CompareOptions = {}): string[] {
  const names = [...OCCUPIED, ...(files ? (['files'] as const) : [])].flatMap(kind => {
    const known = new Set(before[kind]);
    return after[kind].filter(name => !known.has(name)).map(name => `${kind}: ${name} (${ownerOf(kind, name)})`);
  });
  const counts = (['rules', ...(descriptors ? (['descriptors'] as const) : [])] as const).flatMap(kind =>
    Object.entries(after[kind]).flatMap(([what, count]) => {
      const more = count - (before[kind][what] ?? 0);
      return more > 0 ? [`${kind}: ${more} × ${what} (${ownerOf(kind, what)})`] : [];
    }),
  );
  return [...names, ...counts];
}

/** Fails with the names of what there is now and was not before. */
export function assertNoLeak(before: Resources, after: Resources, options: CompareOptions = {}): void {
  assert.deepEqual(planLeaks(before, after, options), [], 'something leaked');
}

/** What may still be on its way when a test has cleaned up: a process that was killed, a connection that is closing. */
const SETTLE_MS = 10_000;

/**
 * What a scope occupies as a test begins; when disposed it must be so again, at once or within seconds.
 *
 *     await using _census = new Census(scope);
 */
export class Census implements AsyncDisposable {
  readonly before: Resources;
  readonly #scope: ResourceScope;
  readonly #options: CompareOptions;

  constructor(scope: ResourceScope, options: CompareOptions = {}) {
    this.#scope = scope;
    this.#options = options;
    this.before = countResources(scope);
  }

  /** Waits until nothing is there that was not before. @throws with what is, by owner */
  async settle(): Promise<void> {
    const end = performance.now() + SETTLE_MS;
    for (;;) {
      const now = countResources(this.#scope);
      if (planLeaks(this.before, now, this.#options).length === 0) return;
      if (performance.now() > end) assertNoLeak(this.before, now, this.#options);
      await new Promise(resume => setTimeout(resume, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
  }
}

function cgroupRoots(): string[] {
  const { unified, controllers } = readCgroupLayout();
  return [...new Set([...Object.values(controllers), ...(unified ? [unified] : [])])];
}

function walkDirectories(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return [directory, ...walk(directory).flatMap(({ path, isDirectory }) => (isDirectory ? [path] : []))];
}

function walkFiles(directory: string): string[] {
  return walk(directory).map(({ path }) => path);
}

/** All that is below a directory; what goes meanwhile is not there. */
export function walk(directory: string): { path: string; isDirectory: boolean }[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENODEV', 'ENOTDIR'].includes(code)) return [];
    throw error;
  }
  return entries.flatMap(entry => {
    const path = `${directory}/${entry.name}`;
    return [{ path, isDirectory: entry.isDirectory() }, ...(entry.isDirectory() ? walk(path) : [])];
  });
}
