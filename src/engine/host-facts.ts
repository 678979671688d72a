import { readFileSync } from 'node:fs';
import type { CgroupLayout } from '#linux/cgroup.ts';
import { fromCapabilityMask } from './capabilities.ts';
import type { HostFacts } from './oci-spec.ts';

/** What this machine can give to containers. */
export function readHostFacts(layout: CgroupLayout): HostFacts {
  const capabilities = fromCapabilityMask(/^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0');
  const canExceed = capabilities.has('CAP_SYS_RESOURCE');
  return {
    capabilities,
    cgroupVersion: layout.version,
    rlimitCeilings: canExceed ? {} : parseLimits(readFileSync('/proc/self/limits', 'utf8')),
    ...(canExceed ? {} : { oomScoreAdjFloor: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')) }),
  };
}

const LIMIT_NAMES: Record<string, string> = {
  'Max cpu time': 'RLIMIT_CPU',
  'Max file size': 'RLIMIT_FSIZE',
  'Max data size': 'RLIMIT_DATA',
  'Max stack size': 'RLIMIT_STACK',
  'Max core file size': 'RLIMIT_CORE',
  'Max resident set': 'RLIMIT_RSS',
  'Max processes': 'RLIMIT_NPROC',
  'Max open files': 'RLIMIT_NOFILE',
  'Max locked memory': 'RLIMIT_MEMLOCK',
  'Max address space': 'RLIMIT_AS',
  'Max file locks': 'RLIMIT_LOCKS',
  'Max pending signals': 'RLIMIT_SIGPENDING',
  'Max msgqueue size': 'RLIMIT_MSGQUEUE',
  'Max nice priority': 'RLIMIT_NICE',
  'Max realtime priority': 'RLIMIT_RTPRIO',
  'Max realtime timeout': 'RLIMIT_RTTIME',
};

/** Hard limits of `/proc/<pid>/limits` by OCI name; unlimited ones are absent. */
export function parseLimits(text: string): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const line of text.split('\n').slice(1)) {
    const [, label = '', hard = ''] = /^(.+?) {2,}\S+ +(\S+)/.exec(line) ?? [];
    const name = LIMIT_NAMES[label.trim()];
    if (name !== undefined && hard !== 'unlimited') limits[name] = Number(hard);
  }
  return limits;
}

/** Names this boot: another one means that nothing of ours runs. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
