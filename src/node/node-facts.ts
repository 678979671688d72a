import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { readResourceFacts } from '#engine/resource-checks.ts';
import { readSecurityModules } from '#engine/security-modules.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import type { NodeTraits } from './downward.ts';

/** What this machine has for pods. */
export interface MachineFacts {
  milliCpus: number;
  memoryBytes: number;
  /** Of the file system that images and volumes lie on. */
  storageBytes: number;
  /** Bytes set aside, by page size as resources are called: `2Mi`, `1Gi`. */
  hugepages: Record<string, number>;
}

/**
 * More than the kubelet's 110, which is there for the pause process, the shim and the 8 MB that each pod costs elsewhere; ours costs a
 * record and a network namespace from the pool. Tried with 250 running; pod networks of a /24 have 253 addresses.
 */
const MOST_PODS = 250;

/** Reads what the machine has; where we see but a part of it (in a container), that part. */
export function readMachine(dataDir: string): MachineFacts {
  const { bsize, blocks } = statfsSync(dataDir);
  const limits = readRootLimits();
  return {
    milliCpus: Math.min(cpus().length * 1000, limits.milliCpus),
    memoryBytes: Math.min(totalmem(), limits.memoryBytes),
    storageBytes: bsize * blocks,
    hugepages: readHugepages(),
  };
}

/** Reads what the kernel gives to containers. */
export function readTraits(swapBehavior: NodeTraits['swapBehavior'] = 'NoSwap'): NodeTraits {
  const layout = readCgroupLayout();
  const { hugepageSizes, countsSwap } = readResourceFacts(layout);
  const { appArmorProfiles, hasSelinux } = readSecurityModules();
  return {
    cgroupVersion: layout.version,
    hugepageSizes: canLimitHugepages() ? [...hugepageSizes] : [],
    hasAppArmor: appArmorProfiles !== undefined,
    hasSelinux,
    swapBytes: countsSwap ? readSwapBytes() : 0,
    swapBehavior,
  };
}

/** Without the kernel's controller there is no limit to be had, as with the kubelet. */
function canLimitHugepages(): boolean {
  return /^hugetlb\t.*\t1$/m.test(read('/proc/cgroups'));
}

function readSwapBytes(): number {
  return Number(/^SwapTotal: +(\d+) kB$/m.exec(read('/proc/meminfo'))?.[1] ?? 0) * 1024;
}

/** The limits of the outermost control group that can be seen: of a container around all of us, or none. */
function readRootLimits(): { milliCpus: number; memoryBytes: number } {
  const { unified, controllers } = readCgroupLayout();
  const [cpuRoot, memoryRoot] = [controllers.cpu ?? unified, controllers.memory ?? unified];
  const [quota, period] = (
    read(`${cpuRoot}/cpu.max`) || `${read(`${cpuRoot}/cpu.cfs_quota_us`)} ${read(`${cpuRoot}/cpu.cfs_period_us`)}`
  ).split(' ');
  const memory = Number.parseInt(read(`${memoryRoot}/memory.max`) || read(`${memoryRoot}/memory.limit_in_bytes`), 10);
  const milliCpus = Math.floor((Number(quota) / Number(period)) * 1000);
  return { milliCpus: milliCpus > 0 ? milliCpus : Number.POSITIVE_INFINITY, memoryBytes: memory > 0 ? memory : Number.POSITIVE_INFINITY };
}

const HUGEPAGES = '/sys/kernel/mm/hugepages';

function readHugepages(): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name of namesIn(HUGEPAGES)) {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    if (kib) found[toBinary(kib * 1024)] = kib * 1024 * Number(read(`${HUGEPAGES}/${name}/nr_hugepages`) || 0);
  }
  return found;
}

/** `status.capacity` and `status.allocatable`: memory in huge pages is nobody's who asks for plain memory. Pure. */
export function toCapacity(
  { milliCpus, memoryBytes, storageBytes, hugepages }: MachineFacts,
  overrides: Record<string, string> = {},
): { capacity: Record<string, string>; allocatable: Record<string, string> } {
  const huge = Object.values(hugepages).reduce((sum, bytes) => sum + bytes, 0);
  const capacity = {
    cpu: milliCpus % 1000 === 0 ? String(milliCpus / 1000) : `${milliCpus}m`,
    memory: toKi(memoryBytes),
    pods: String(MOST_PODS),
    'ephemeral-storage': String(storageBytes),
    ...Object.fromEntries(Object.entries(hugepages).map(([size, bytes]) => [`hugepages-${size}`, toBinary(bytes)])),
  };
  return { capacity, allocatable: { ...capacity, memory: toKi(memoryBytes - huge), ...overrides } };
}

function toKi(bytes: number): string {
  return `${Math.floor(bytes / 1024)}Ki`;
}

/** In the largest unit that leaves no rest. */
function toBinary(bytes: number): string {
  const unit = (
    [
      ['Gi', 1 << 30],
      ['Mi', 1 << 20],
      ['Ki', 1 << 10],
    ] as const
  ).find(([, size]) => bytes > 0 && bytes % size === 0);
  return unit ? `${bytes / unit[1]}${unit[0]}` : String(bytes);
}

/** `status.nodeInfo`. */
export function nodeInfo(version: string) {
  const swapBytes = readSwapBytes();
  return {
    architecture: goArch(),
    bootID: read('/proc/sys/kernel/random/boot_id'),
    containerRuntimeVersion: `umiak://${version}`,
    kernelVersion: release(),
    kubeletVersion: `v1.36.3+umiak-${version}`,
    kubeProxyVersion: '',
    machineID: read('/etc/machine-id'),
    operatingSystem: 'linux',
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(read('/etc/os-release'))?.[1] ?? 'Linux',
    ...(swapBytes > 0 ? { swap: { capacity: swapBytes } } : {}),
    systemUUID: read('/sys/class/dmi/id/product_uuid') || read('/etc/machine-id'),
  };
}

/** The labels that every node has. Pure. */
export function nodeLabels(nodeName: string): Record<string, string> {
  return {
    'kubernetes.io/hostname': nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': goArch(),
    'beta.kubernetes.io/os': 'linux',
    'beta.kubernetes.io/arch': goArch(),
  };
}

function goArch(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}

/** A small file's text; empty where it can't be read. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
