import { parseLimits } from '../host-facts.ts';
import { type Finding, findingsOf } from './finding.ts';
import { readNumber, readText } from './read.ts';

export interface LimitFacts {
  /** Hard limit of this process; absent: none. */
  openFiles?: number | undefined;
  /** Per user; absent: the kernel has no inotify. */
  inotifyInstances?: number | undefined;
  inotifyWatches?: number | undefined;
  /** The smaller of `pid_max` and `threads-max`. */
  tasks: number;
  /** Absent: nothing is tracked yet. */
  conntrack?: { most: number; used: number } | undefined;
  memoryBytes: number;
  memoryAvailableBytes: number;
}

const NEEDED_OPEN_FILES = 1024;
const COMFORT = { openFiles: 16_384, inotifyInstances: 512, inotifyWatches: 65_536, tasks: 16_384, conntrack: 65_536 };
const MUCH_OF_CONNTRACK = 0.8;
const NEEDED_MEMORY_BYTES = 100 << 20;
const COMFORT_MEMORY_BYTES = 512 << 20;

const { ok, fallsBack, missing } = findingsOf('limits');

/** Judges what the machine lets programs have. Pure. */
export function planLimits(facts: LimitFacts): Finding[] {
  return [planOpenFiles(facts), ...planInotify(facts), planTasks(facts), planConntrack(facts), planMemory(facts)];
}

function planOpenFiles({ openFiles }: LimitFacts): Finding {
  if (openFiles === undefined) return ok('open files', 'Not limited.');
  const remedy = 'Start umiak with more: `ulimit -Hn 1048576`, or LimitNOFILE= of its service.';
  if (openFiles < NEEDED_OPEN_FILES) return missing('open files', `${openFiles} at most: too few for the agent and the server.`, remedy);
  if (openFiles < COMFORT.openFiles) return fallsBack('open files', `${openFiles} at most, for a container's processes too.`, remedy);
  return ok('open files', `${openFiles} at most.`);
}

function planInotify({ inotifyInstances, inotifyWatches }: LimitFacts): Finding[] {
  if (inotifyInstances === undefined || inotifyWatches === undefined)
    return [
      missing('inotify', 'The kernel does not have it; logs and manifests are followed by it.', 'Boot a kernel with CONFIG_INOTIFY_USER.'),
    ];
  return [
    inotifyInstances < COMFORT.inotifyInstances
      ? fallsBack(
          'inotify instances',
          `${inotifyInstances} for all of root's programs, in containers too: those that follow files soon fail with "too many open files".`,
          `sysctl -w fs.inotify.max_user_instances=${COMFORT.inotifyInstances}`,
        )
      : ok('inotify instances', `${inotifyInstances} a user.`),
    inotifyWatches < COMFORT.inotifyWatches
      ? fallsBack(
          'inotify watches',
          `${inotifyWatches} a user: programs that watch large trees fail.`,
          'sysctl -w fs.inotify.max_user_watches=524288',
        )
      : ok('inotify watches', `${inotifyWatches} a user.`),
  ];
}

function planTasks({ tasks }: LimitFacts): Finding {
  if (tasks >= COMFORT.tasks) return ok('processes', `${tasks} with their threads.`);
  return fallsBack(
    'processes',
    `${tasks} with their threads: the node soon tells of PID pressure.`,
    'sysctl -w kernel.pid_max=4194304 kernel.threads-max=131072',
  );
}

function planConntrack({ conntrack }: LimitFacts): Finding {
  if (conntrack === undefined) return ok('connections', 'Tracking begins with the first rule that needs it.');
  const says = `${conntrack.used} of ${conntrack.most} are tracked`;
  if (conntrack.most >= COMFORT.conntrack && conntrack.used < conntrack.most * MUCH_OF_CONNTRACK) return ok('connections', `${says}.`);
  return fallsBack(
    'connections',
    `${says}: packets of new ones are dropped when the table is full.`,
    'sysctl -w net.netfilter.nf_conntrack_max=262144',
  );
}

function planMemory({ memoryBytes, memoryAvailableBytes }: LimitFacts): Finding {
  const says = `${mib(memoryAvailableBytes)} of ${mib(memoryBytes)} MiB are available`;
  if (memoryAvailableBytes < NEEDED_MEMORY_BYTES)
    return missing(
      'memory',
      `${says}: the node tells of memory pressure and takes no pods.`,
      'End other programs, or give the machine more.',
    );
  if (memoryAvailableBytes < COMFORT_MEMORY_BYTES)
    return fallsBack('memory', `${says}: the platform takes 150 to 200 of them.`, 'End other programs, or give the machine more.');
  return ok('memory', `${says}.`);
}

/** Reads `/proc`. */
export function readLimits(): LimitFacts {
  const meminfo = readText('/proc/meminfo') ?? '';
  const bytesOf = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
  const most = readNumber('/proc/sys/net/netfilter/nf_conntrack_max');
  return {
    openFiles: parseLimits(readText('/proc/self/limits') ?? '').RLIMIT_NOFILE,
    inotifyInstances: readNumber('/proc/sys/fs/inotify/max_user_instances'),
    inotifyWatches: readNumber('/proc/sys/fs/inotify/max_user_watches'),
    tasks: Math.min(...['pid_max', 'threads-max'].flatMap(name => readNumber(`/proc/sys/kernel/${name}`) ?? [])),
    conntrack: most === undefined ? undefined : { most, used: readNumber('/proc/sys/net/netfilter/nf_conntrack_count') ?? 0 },
    memoryBytes: bytesOf('MemTotal'),
    memoryAvailableBytes: bytesOf('MemAvailable'),
  };
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
