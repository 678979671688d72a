import { existsSync, readFileSync } from 'node:fs';
import { type CgroupLayout, readCgroupLayout } from '#linux/cgroup.ts';
import type { HostConfig } from './forms.ts';

/** Which limits this machine's kernel has. */
export interface MachineSupport {
  cgroupVersion: 1 | 2;
  swapLimit: boolean;
  swappiness: boolean;
  oomKillDisable: boolean;
  pidsLimit: boolean;
  blkioWeight: boolean;
  blkioRates: boolean;
  cpuRealtime: boolean;
  selinux: boolean;
  /** Processors and memory nodes as lists: `0-3`. */
  cpuSet: string;
  memorySet: string;
}

export function readMachineSupport({ version, controllers }: CgroupLayout = readCgroupLayout()): MachineSupport {
  const has = (controller: string, file: string) =>
    controllers[controller] !== undefined && existsSync(`${controllers[controller]}/${file}`);
  const onlineOf = (kind: 'cpu' | 'node') => {
    const file = `/sys/devices/system/${kind}/online`;
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : '0';
  };
  const machine = { selinux: existsSync('/sys/fs/selinux/enforce'), cpuSet: onlineOf('cpu'), memorySet: onlineOf('node') };
  if (version === 'v2')
    return {
      cgroupVersion: 2,
      swapLimit: existsSync('/proc/swaps'),
      swappiness: false,
      oomKillDisable: false,
      pidsLimit: true,
      blkioWeight: true,
      blkioRates: true,
      cpuRealtime: false,
      ...machine,
    };
  return {
    cgroupVersion: 1,
    swapLimit: has('memory', 'memory.memsw.limit_in_bytes'),
    swappiness: has('memory', 'memory.swappiness'),
    oomKillDisable: has('memory', 'memory.oom_control'),
    pidsLimit: controllers.pids !== undefined,
    blkioWeight: has('blkio', 'blkio.weight') || has('blkio', 'blkio.bfq.weight'),
    blkioRates: has('blkio', 'blkio.throttle.read_bps_device'),
    cpuRealtime: has('cpu', 'cpu.rt_runtime_us'),
    ...machine,
  };
}

/**
 * What a container is to have as far as the machine can: limits that its kernel does not have are left out, with docker's warnings. Pure.
 */
export function fitToMachine(host: HostConfig, support: MachineSupport): { hostConfig: HostConfig; warnings: string[] } {
  const warnings: string[] = [];
  const fitted = { ...host };
  const drop = (change: Partial<HostConfig>, warning: string) => {
    Object.assign(fitted, change);
    warnings.push(warning);
  };
  if (host.NetworkMode === 'host' && Object.keys(host.PortBindings ?? {}).length > 0)
    warnings.push('Published ports are discarded when using host network mode');
  if (host.MemorySwap !== 0 && host.Memory > 0 && !support.swapLimit)
    drop(
      { MemorySwap: -1 },
      'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
    );
  if (host.MemorySwappiness !== null && !support.swappiness)
    drop(
      { MemorySwappiness: null },
      'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
    );
  if (host.OomKillDisable && !support.oomKillDisable)
    drop({ OomKillDisable: null }, 'Your kernel does not support OomKillDisable. OomKillDisable discarded.');
  else if (host.OomKillDisable && host.Memory === 0)
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
  if (host.PidsLimit && !support.pidsLimit)
    drop({ PidsLimit: null }, 'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.');
  if ((host.BlkioWeight || host.BlkioWeightDevice?.length) && !support.blkioWeight)
    drop(
      { BlkioWeight: 0, BlkioWeightDevice: [] },
      'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
    );
  const rates = ['BlkioDeviceReadBps', 'BlkioDeviceWriteBps', 'BlkioDeviceReadIOps', 'BlkioDeviceWriteIOps'] as const;
  for (const field of rates)
    if (host[field]?.length && !support.blkioRates) drop({ [field]: [] }, `Your kernel does not support ${field}. It is discarded.`);
  if ((host.CpuRealtimePeriod || host.CpuRealtimeRuntime) && !support.cpuRealtime)
    drop(
      { CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0 },
      'Your kernel does not support CPU real-time scheduler. Its limits are discarded.',
    );
  return { hostConfig: fitted, warnings };
}
