import { readdirSync } from 'node:fs';
import { release } from 'node:os';
import { fromCapabilityMask } from '../capabilities.ts';
import { type Finding, findingsOf } from './finding.ts';
import { readNumber, readText } from './read.ts';

export interface KernelFacts {
  /** `uname -r`. */
  release: string;
  /** Effective ones. */
  capabilities: ReadonlySet<string>;
  /** Names in `/proc/self/ns`. */
  namespaces: string[];
  /** `user.max_user_namespaces`; absent: not limited. */
  maxUserNamespaces?: number | undefined;
}

const CAPABILITIES = ['CAP_NET_ADMIN', 'CAP_SYS_CHROOT', 'CAP_SYS_ADMIN', 'CAP_MKNOD'];
const NAMESPACES = ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'];

/** Which capabilities the platform needs and does not have. Pure. */
export function lackingCapabilities({ capabilities }: Pick<KernelFacts, 'capabilities'>): string[] {
  return CAPABILITIES.filter(name => !capabilities.has(name));
}

/** Judges version, privileges and namespaces. Pure. */
export function planKernel(facts: KernelFacts): Finding[] {
  return [planRelease(facts.release), planPrivileges(facts), ...planNamespaces(facts)];
}

const { ok, fallsBack, missing } = findingsOf('kernel');

function planRelease(name: string): Finding {
  const [major = 0, minor = 0] = name.split(/[.-]/).map(Number);
  const isAtLeast = (wanted: [number, number]) => major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
  if (!isAtLeast([5, 3]))
    return missing('version', `Linux ${name} has no pidfd_open, by which processes are watched.`, 'Boot Linux 5.3 or later.');
  if (isAtLeast([5, 14])) return ok('version', `Linux ${name}.`);
  const says = `Linux ${name} has no cgroup.kill: a container's processes are frozen and killed one by one instead.`;
  return fallsBack('version', says, 'Boot Linux 5.14 or later.');
}

function planPrivileges(facts: KernelFacts): Finding {
  const lacking = lackingCapabilities(facts);
  if (lacking.length > 0) {
    const says = `This process lacks ${lacking.join(', ')}; what is tried out needs them too and was left out here.`;
    return missing('privileges', says, 'Run umiak as root, outside of an unprivileged container.');
  }
  if (facts.capabilities.has('CAP_SYS_RESOURCE')) return ok('privileges', 'All capabilities that are needed.');
  const says = 'Without CAP_SYS_RESOURCE hard limits can not be raised, nor OOM scores lowered: containers get what may be had.';
  return fallsBack('privileges', says, 'Run umiak with CAP_SYS_RESOURCE.');
}

function planNamespaces({ namespaces, maxUserNamespaces }: KernelFacts): Finding[] {
  const lacking = NAMESPACES.filter(name => !namespaces.includes(name));
  const findings =
    lacking.length === 0
      ? [ok('namespaces', `The kernel has ${NAMESPACES.join(', ')}.`)]
      : [
          missing(
            'namespaces',
            `The kernel has no namespaces of kind ${lacking.join(', ')}.`,
            'Boot a kernel with CONFIG_NAMESPACES and all kinds.',
          ),
        ];
  const without = 'pods with hostUsers: false can not run here; others are not touched.';
  if (!namespaces.includes('user'))
    findings.push(fallsBack('user namespaces', `The kernel has none: ${without}`, 'Boot a kernel with CONFIG_USER_NS.'));
  else if (maxUserNamespaces === 0)
    findings.push(fallsBack('user namespaces', `None may be made: ${without}`, 'sysctl -w user.max_user_namespaces=28633'));
  else
    findings.push(ok('user namespaces', `The kernel has them${maxUserNamespaces === undefined ? '' : `, ${maxUserNamespaces} at most`}.`));
  return findings;
}

/** Reads `/proc` of this process. */
export function readKernel(): KernelFacts {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status') ?? '')?.[1] ?? '0';
  return {
    release: release(),
    capabilities: fromCapabilityMask(capabilities),
    namespaces: readdirSync('/proc/self/ns'),
    maxUserNamespaces: readNumber('/proc/sys/user/max_user_namespaces'),
  };
}
