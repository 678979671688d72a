import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface FoundProcess {
  pid: number;
  command: string;
}

/** Processes that have one of the directories in their command line or as their run directory, or run in one of the control groups. */
export function findProcesses(directories: readonly string[], cgroups: readonly string[]): FoundProcess[] {
  const inside = new Set(cgroups.flatMap(directory => readIfThere(`${directory}/cgroup.procs`).split('\n')).filter(Boolean));
  const runs = new Set(directories.map(directory => `UMIAK_RUN_DIR=${directory}`));
  return readdirSync('/proc')
    .filter(pid => /^\d+$/.test(pid) && pid !== String(process.pid))
    .flatMap(pid => {
      const command = readIfThere(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
      const isOurs =
        inside.has(pid) ||
        directories.some(directory => command.includes(directory)) ||
        readIfThere(`/proc/${pid}/environ`)
          .split('\0')
          .some(variable => runs.has(variable));
      return isOurs ? [{ pid: Number(pid), command }] : [];
    });
}

/**
 * Open descriptors of processes by what they are. Numbers of sockets and pipes differ from time to time, and containers have other ids:
 * what matters is how many there are.
 */
export function descriptorsOf(pids: readonly number[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const what of pids.flatMap(pid => openFilesOf(pid).map(({ path }) => path))) {
    const kind = what.replace(/\[\d+\]$/, '').replace(/[0-9a-f]{64}/g, '<id>');
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** Files and directories below one of the directories that are gone and that the process still holds open. */
export function deletedFilesOf(pid: number, directories: readonly string[]): string[] {
  return openFilesOf(pid)
    .map(({ path }) => path)
    .filter(path => path.endsWith(' (deleted)') && directories.some(directory => path.startsWith(`${directory}/`)));
}

/** Addresses and paths on which a process listens. */
export function socketsOf(pid: number): string[] {
  const inodes = new Set(openFilesOf(pid).flatMap(({ path }) => /^socket:\[(\d+)\]$/.exec(path)?.[1] ?? []));
  if (inodes.size === 0) return [];
  const tcp = ['tcp', 'tcp6'].flatMap(protocol =>
    table(pid, protocol).flatMap(([, local = '', , state, , , , , , inode = '']) =>
      state === '0A' && inodes.has(inode) ? [`${protocol} ${local}`] : [],
    ),
  );
  const udp = ['udp', 'udp6'].flatMap(protocol =>
    table(pid, protocol).flatMap(([, local = '', , state, , , , , , inode = '']) =>
      state === '07' && inodes.has(inode) ? [`${protocol} ${local}`] : [],
    ),
  );
  const unix = table(pid, 'unix').flatMap(([, , , flags, , , inode = '', path]) =>
    flags === '00010000' && inodes.has(inode) ? [`unix ${path ?? ''}`] : [],
  );
  return [...tcp, ...udp, ...unix];
}

/** Files that a process holds locked. */
export function locksOf(pid: number): string[] {
  return openFilesOf(pid).flatMap(({ fd, path }) => (readIfThere(`/proc/${pid}/fdinfo/${fd}`).includes('\nlock:') ? [path] : []));
}

function openFilesOf(pid: number): { fd: string; path: string }[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      const path = readLink(`/proc/${pid}/fd/${fd}`);
      // What lists the directory is no finding.
      return path === undefined || path.startsWith(`/proc/${pid}/fd`) ? [] : [{ fd, path }];
    });
  } catch {
    return []; // it ended
  }
}

function table(pid: number, protocol: string): string[][] {
  return readIfThere(`/proc/${pid}/net/${protocol}`)
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map(line => line.trim().split(/\s+/));
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
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
