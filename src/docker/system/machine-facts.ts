import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, hostname, release, totalmem } from 'node:os';
import { readCgroupLayout } from '#linux/cgroup.ts';

/** What `/info` tells of the machine. */
export interface MachineFacts {
  hostname: string;
  kernel: string;
  operatingSystem: string;
  osVersion: string;
  architecture: string;
  processors: number;
  memoryBytes: number;
  cgroupVersion: '1' | '2';
  /** Limits that the control groups can set. */
  limits: { memory: boolean; swap: boolean; quota: boolean; shares: boolean; cpuset: boolean; pids: boolean; oomKillDisable: boolean };
  forwardsIpv4: boolean;
  /** Of the data directory. */
  fileSystem: string;
  openFiles: number;
  hasAppArmor: boolean;
  hasSeccomp: boolean;
  hasSelinux: boolean;
}

/** Of statfs(2), as docker names them. */
const FILE_SYSTEMS: Record<number, string> = {
  61267: 'extfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  801189825: 'zfs',
  2035054128: 'overlayfs',
  26985: 'nfs',
};

let fixed: Omit<MachineFacts, 'openFiles' | 'forwardsIpv4' | 'fileSystem' | 'hostname'> | undefined;

/** Reads what can change; the rest is read once. */
export function readMachineFacts(dataDir: string): MachineFacts {
  fixed ??= readFixed();
  const isOn = (path: string) => readText(path).trim() === '1';
  return {
    ...fixed,
    hostname: hostname(),
    forwardsIpv4: isOn('/proc/sys/net/ipv4/ip_forward'),
    fileSystem: existsSync(dataDir) ? (FILE_SYSTEMS[statfsSync(dataDir).type] ?? 'unknown') : 'unknown',
    openFiles: Number(/^FDSize:\t(\d+)$/m.exec(readText('/proc/self/status'))?.[1] ?? 0),
  };
}

function readFixed() {
  const { version, unified, controllers } = readCgroupLayout();
  const isV2 = version === 'v2';
  const available = new Set(isV2 ? readText(`${unified}/cgroup.controllers`).split(/\s+/) : Object.keys(controllers));
  const inV1 = (controller: string, file: string) => isV2 || existsSync(`${controllers[controller]}/${file}`);
  const { name, id } = parseRelease(readText('/etc/os-release') || readText('/usr/lib/os-release'));
  return {
    kernel: release(),
    operatingSystem: name,
    osVersion: id,
    architecture: { x64: 'x86_64', arm64: 'aarch64' }[arch() as string] ?? arch(),
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    cgroupVersion: isV2 ? ('2' as const) : ('1' as const),
    limits: {
      memory: available.has('memory'),
      swap: available.has('memory') && (isV2 || inV1('memory', 'memory.memsw.limit_in_bytes')),
      quota: available.has('cpu') && inV1('cpu', 'cpu.cfs_quota_us'),
      shares: available.has('cpu'),
      cpuset: available.has('cpuset'),
      pids: available.has('pids'),
      oomKillDisable: !isV2 && inV1('memory', 'memory.oom_control'),
    },
    hasAppArmor: readText('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
    hasSeccomp: existsSync('/proc/sys/kernel/seccomp'),
    hasSelinux: existsSync('/sys/fs/selinux/enforce'),
  };
}

/** Reads os-release(5). Pure. */
export function parseRelease(text: string): { name: string; id: string } {
  const value = (key: string) => {
    const found = new RegExp(`^${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|(.*))$`, 'm').exec(text);
    return (found?.[1] ?? found?.[2] ?? '').replace(/\\(.)/g, '$1');
  };
  return { name: value('PRETTY_NAME') || value('NAME') || 'Linux', id: value('VERSION_ID') };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
