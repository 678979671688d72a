import type { Resources } from '#engine/engine.ts';
import { invalidField } from './refuse.ts';
import type { LinuxContainerResources } from './types.gen.ts';

/** Limits in the engine's words; zero says nothing, but for the score by which the kernel chooses whom to kill. Pure. */
export function planResources(linux: LinuxContainerResources | undefined, field = 'linux.resources'): Resources {
  if (!linux) return {};
  const { memoryLimitInBytes = 0, memorySwapLimitInBytes = 0, unified = {} } = linux;
  if (memorySwapLimitInBytes > 0 && memoryLimitInBytes > memorySwapLimitInBytes)
    throw invalidField(
      `${field}.memory_swap_limit_in_bytes`,
      `${memorySwapLimitInBytes} is memory and swap together, and less than the memory limit ${memoryLimitInBytes}`,
    );
  return {
    ...ifSet('cpuPeriodUs', linux.cpuPeriod),
    ...ifSet('cpuQuotaUs', linux.cpuQuota),
    ...ifSet('cpuShares', linux.cpuShares),
    ...ifSet('memoryLimitBytes', memoryLimitInBytes),
    ...ifSet('memorySwapLimitBytes', memorySwapLimitInBytes),
    ...ifSet('cpusetCpus', linux.cpusetCpus),
    ...ifSet('cpusetMems', linux.cpusetMems),
    ...(linux.hugepageLimits?.length
      ? { hugepageLimits: linux.hugepageLimits.map(({ pageSize = '', limit = 0 }) => ({ pageSize, limitBytes: limit })) }
      : {}),
    ...(Object.keys(unified).length > 0 ? { unified } : {}),
    oomScoreAdj: linux.oomScoreAdj ?? 0,
  };
}

function ifSet<K extends keyof Resources>(key: K, value: Resources[K] | undefined): Partial<Pick<Resources, K>> {
  return value ? ({ [key]: value } as Pick<Resources, K>) : {};
}
