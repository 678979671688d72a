import { readFileSync, statfsSync } from 'node:fs';
import { toTime } from '#base/index.ts';
import type { Node } from '#kinds/node.ts';

/** One of `status.conditions`. */
export type Condition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

/** What the machine has left. */
export interface MachineLeft {
  memoryAvailableBytes: number;
  storageBytes: number;
  storageAvailableBytes: number;
  /** 0 where the file system does not count them. */
  inodes: number;
  inodesFree: number;
  tasks: number;
  mostTasks: number;
}

export type Pressure = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

const MIN_MEMORY_BYTES = 100 << 20;
const MIN_STORAGE_BYTES = 1 << 30;
const MIN_SHARE = 0.05;
/** A pressure that has passed is still told for so long, so that pods do not go to and fro. */
export const PRESSURE_MS = 300_000;

/** Reads what is left. */
export function readLeft(dataDir: string): MachineLeft {
  const { bsize, blocks, bavail, files, ffree } = statfsSync(dataDir);
  const [, tasks = 0] = (/(\d+)\/(\d+)/.exec(readFileSync('/proc/loadavg', 'utf8')) ?? []).slice(1).map(Number);
  const most = ['pid_max', 'threads-max'].map(name => Number(readFileSync(`/proc/sys/kernel/${name}`, 'utf8')));
  const memory = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return {
    memoryAvailableBytes: memory === undefined ? Number.POSITIVE_INFINITY : Number(memory) * 1024,
    storageBytes: bsize * blocks,
    storageAvailableBytes: bsize * bavail,
    inodes: files,
    inodesFree: ffree,
    tasks,
    mostTasks: Math.min(...most),
  };
}

/**
 * What runs short. Memory as the kubelet has it; disks later than there (its 10 % are a warning that comes before it evicts and collects
 * images: on a large disk that is much, and nothing is evicted here). Pure.
 */
export function planPressures(left: MachineLeft): Pressure[] {
  const found: Pressure[] = [];
  if (left.memoryAvailableBytes < MIN_MEMORY_BYTES) found.push('MemoryPressure');
  const leastStorage = Math.min(MIN_STORAGE_BYTES, left.storageBytes * MIN_SHARE);
  if (left.storageAvailableBytes < leastStorage || left.inodesFree < left.inodes * MIN_SHARE) found.push('DiskPressure');
  if (left.mostTasks - left.tasks < left.mostTasks * MIN_SHARE) found.push('PIDPressure');
  return found;
}

const PRESSURES: [Pressure, fine: [reason: string, message: string], pressed: [reason: string, message: string]][] = [
  [
    'MemoryPressure',
    ['KubeletHasSufficientMemory', 'umiak has sufficient memory available'],
    ['KubeletHasInsufficientMemory', 'umiak has insufficient memory available'],
  ],
  ['DiskPressure', ['KubeletHasNoDiskPressure', 'umiak has no disk pressure'], ['KubeletHasDiskPressure', 'umiak has disk pressure']],
  [
    'PIDPressure',
    ['KubeletHasSufficientPID', 'umiak has sufficient PID available'],
    ['KubeletHasInsufficientPID', 'umiak has insufficient PID available'],
  ],
];

/** Said only of a machine that lacks something, and of one that no longer does. */
const MACHINE_PROBLEM = 'MachineProblem';

export interface ConditionFacts {
  isReady: boolean;
  pressures: ReadonlySet<Pressure>;
  /** What the machine lacks that pods need; absent: nobody has looked. */
  problems?: readonly string[];
  /** As the API has them. */
  before: readonly Condition[];
  nowMs: number;
}

/** The conditions that the kubelet tells, in its words; a transition's time moves only when the status does. Pure. */
export function planConditions({ isReady, pressures, problems, before, nowMs }: ConditionFacts): Condition[] {
  const now = toTime(nowMs);
  const say = (type: string, status: 'True' | 'False', [reason, message]: [string, string]): Condition => {
    const known = before.find(condition => condition.type === type);
    const lastTransitionTime = known?.status === status ? known.lastTransitionTime : now;
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime };
  };
  const hasTold = before.some(({ type }) => type === MACHINE_PROBLEM);
  return [
    ...PRESSURES.map(([type, fine, pressed]) => (pressures.has(type) ? say(type, 'True', pressed) : say(type, 'False', fine))),
    ...(problems === undefined || (problems.length === 0 && !hasTold)
      ? before.filter(({ type }) => type === MACHINE_PROBLEM && problems === undefined)
      : [
          problems.length > 0
            ? say(MACHINE_PROBLEM, 'True', ['MachineLacks', `${problems.join('; ')}. \`umiak doctor\` says what to do`])
            : say(MACHINE_PROBLEM, 'False', ['MachineFit', 'umiak doctor finds nothing missing']),
        ]),
    isReady
      ? say('Ready', 'True', ['KubeletReady', 'umiak is posting ready status'])
      : say('Ready', 'False', ['KubeletNotReady', 'runtime, network or DNS have not answered yet']),
  ];
}
