import { existsSync } from 'node:fs';
import { type Finding, findingsOf } from './finding.ts';
import { readText, readWords } from './read.ts';

export interface SecurityFacts {
  /** Names of `/sys/kernel/security/lsm`; without securityfs: those that show elsewhere. */
  modules: string[];
  /** Actions that seccomp filters may take; none: no seccomp. */
  seccompActions: string[];
  /** SELinux refuses what its policy does not allow. */
  isSelinuxEnforcing: boolean;
}

const { ok, fallsBack, missing } = findingsOf('security');

/** Judges seccomp and the security modules. Pure. */
export function planSecurity({ modules, seccompActions, isSelinuxEnforcing }: SecurityFacts): Finding[] {
  return [
    seccompActions.length > 0
      ? ok('seccomp', `Filters work${seccompActions.includes('user_notif') ? ', notifications too' : ''}.`)
      : missing(
          'seccomp',
          'The kernel has no seccomp filters, which containers get by default.',
          'Boot a kernel with CONFIG_SECCOMP_FILTER.',
        ),
    modules.includes('apparmor')
      ? ok('AppArmor', 'The kernel has it.')
      : fallsBack(
          'AppArmor',
          'The kernel does not use it: pods that ask for a profile are refused.',
          'Boot with `apparmor=1 security=apparmor`, where the kernel has it.',
        ),
    planSelinux(modules, isSelinuxEnforcing),
  ];
}

function planSelinux(modules: string[], isEnforcing: boolean): Finding {
  if (!modules.includes('selinux')) return ok('SELinux', 'The kernel does not use it; labels of pods have no effect.');
  if (!isEnforcing) return ok('SELinux', 'It is permissive: it writes down what it would refuse.');
  const says = 'It enforces its policy, which may refuse containers their files below the data directory.';
  return fallsBack('SELinux', says, 'Look for refusals with `ausearch -m avc -ts recent`; `setenforce 0` tells whether it is the cause.');
}

/** Reads `/sys` and `/proc`. */
export function readSecurity(): SecurityFacts {
  const shown = [
    ...(readText('/sys/module/apparmor/parameters/enabled')?.startsWith('Y') ? ['apparmor'] : []),
    ...(existsSync('/sys/fs/selinux/enforce') ? ['selinux'] : []),
  ];
  return {
    modules: readWords('/sys/kernel/security/lsm') ?? shown,
    seccompActions: readWords('/proc/sys/kernel/seccomp/actions_avail') ?? [],
    isSelinuxEnforcing: readText('/sys/fs/selinux/enforce')?.trim() === '1',
  };
}
