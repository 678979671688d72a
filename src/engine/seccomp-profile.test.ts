import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSeccomp, planConditions } from '#linux/seccomp.ts';
import { planSeccomp, readSeccompProfile, type SeccompProfile } from './seccomp-profile.ts';

const profile: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: 38,
  archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
  syscalls: [
    { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [] },
    { names: ['chroot'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_CHROOT'] } },
    { names: ['chroot'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, excludes: { caps: ['CAP_SYS_CHROOT'] } },
    { names: ['arm_fadvise64_64'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
    { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
  ],
};

test('rules hold by capability, architecture and kernel', () => {
  const names = (capabilities: string[], arch: string, kernel: string) => {
    const planned = planSeccomp(profile, { capabilities: new Set(capabilities), arch, kernel });
    return [planned.architectures?.join(), ...(planned.syscalls ?? []).map(rule => `${rule.names} ${rule.action.slice(9)}`)];
  };
  assert.deepEqual(names(['CAP_SYS_CHROOT'], 'x64', '6.18.1'), [
    'SCMP_ARCH_X86_64,SCMP_ARCH_X86',
    'read ALLOW',
    'chroot ALLOW',
    'ptrace ALLOW',
  ]);
  assert.deepEqual(names([], 'x64', '4.4.0'), ['SCMP_ARCH_X86_64,SCMP_ARCH_X86', 'read ALLOW', 'chroot ERRNO']);
  assert.deepEqual(names([], 'arm64', '6.1'), [undefined, 'read ALLOW', 'chroot ERRNO', 'arm_fadvise64_64 ALLOW', 'ptrace ALLOW']);
});

test('conditions on one argument are alternatives, on several must hold together', () => {
  const argument = (index: number, value: number) => ({ index, value, op: 'SCMP_CMP_EQ' });
  assert.equal(planConditions([]).length, 1);
  assert.equal(planConditions([argument(0, 1), argument(1, 2)]).length, 1);
  assert.equal(planConditions([argument(0, 1), argument(0, 2)]).length, 2);
});

test('the default profile compiles to a program of whole instructions', () => {
  const planned = planSeccomp(readSeccompProfile(undefined)!, { capabilities: new Set(), arch: process.arch, kernel: '6.1' });
  const program = compileSeccomp(planned);
  assert.ok(program.length > 1000 && program.length % 8 === 0);
  assert.throws(() => compileSeccomp({ defaultAction: 'SCMP_ACT_DANCE' }), { reason: 'Invalid' });
});
