import { readFileSync, statSync } from 'node:fs';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { LinuxSeccomp, SeccompArgument } from '#linux/seccomp.ts';

const MAX_PROFILE_BYTES = 4 << 20;
const ACTION = /^SCMP_ACT_(ALLOW|LOG|ERRNO|TRACE|TRAP|KILL|KILL_THREAD|KILL_PROCESS|NOTIFY)$/;
/** How older clients begin the path of a profile. */
export const LOCALHOST = /^localhost\//;
/** Debian's package golang-github-containers-common. */
const DEFAULT_PROFILE = '/usr/share/containers/seccomp.json';

/** A profile as Docker, containerd and podman write it: OCI's form with conditions on architecture and capabilities. */
export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures?: string[] | null }[] | null;
  flags?: string[];
  listenerPath?: string;
  syscalls?: {
    names?: string[];
    name?: string;
    action: string;
    errnoRet?: number;
    args?: SeccompArgument[] | null;
    includes?: SeccompConditions;
    excludes?: SeccompConditions;
  }[];
}

interface SeccompConditions {
  arches?: string[];
  caps?: string[];
  minKernel?: string;
}

const ARCHITECTURES: Record<string, { go: string; seccomp: string }> = {
  x64: { go: 'amd64', seccomp: 'SCMP_ARCH_X86_64' },
  arm64: { go: 'arm64', seccomp: 'SCMP_ARCH_AARCH64' },
  s390x: { go: 's390x', seccomp: 'SCMP_ARCH_S390X' },
  ppc64: { go: 'ppc64le', seccomp: 'SCMP_ARCH_PPC64LE' },
  riscv64: { go: 'riscv64', seccomp: 'SCMP_ARCH_RISCV64' },
};

export interface SeccompContext {
  capabilities: ReadonlySet<string>;
  /** As `process.arch`. */
  arch: string;
  /** As `os.release()`. */
  kernel: string;
}

/** The rules of a profile that hold for these capabilities, this architecture and this kernel. Pure. */
export function planSeccomp(profile: SeccompProfile, { capabilities, arch, kernel }: SeccompContext): LinuxSeccomp {
  const { go = arch, seccomp = '' } = ARCHITECTURES[arch] ?? {};
  const mapped = profile.archMap?.find(entry => entry.architecture === seccomp);
  const architectures = mapped ? [seccomp, ...(mapped.subArchitectures ?? [])] : profile.architectures;
  const holds = ({ arches, caps, minKernel }: SeccompConditions) =>
    (!arches?.length || arches.includes(go)) &&
    (caps ?? []).every(cap => capabilities.has(cap)) &&
    (minKernel === undefined || isAtLeast(kernel, minKernel));
  const isExcluded = ({ arches, caps, minKernel }: SeccompConditions) =>
    (arches ?? []).includes(go) ||
    (caps ?? []).some(cap => capabilities.has(cap)) ||
    (minKernel !== undefined && isAtLeast(kernel, minKernel));
  const syscalls = (profile.syscalls ?? [])
    .filter(rule => holds(rule.includes ?? {}) && !isExcluded(rule.excludes ?? {}))
    .map(({ names, name, action, errnoRet, args }) => ({
      names: names ?? (name !== undefined ? [name] : []),
      action,
      ...(errnoRet !== undefined ? { errnoRet } : {}),
      ...(args?.length ? { args } : {}),
    }));
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined ? { defaultErrnoRet: profile.defaultErrnoRet } : {}),
    ...(architectures?.length ? { architectures } : {}),
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    ...(profile.listenerPath !== undefined ? { listenerPath: profile.listenerPath } : {}),
    syscalls,
  };
}

function isAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number.parseFloat);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number.parseFloat);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** The profile that `name` means (`runtime/default`, a path), or undefined for none. @throws Invalid, ServiceUnavailable */
export function readSeccompProfile(name: string | undefined): SeccompProfile | undefined {
  if (name === 'unconfined') return undefined;
  const isDefault = name === undefined || name === '' || name === 'runtime/default' || name === 'docker/default';
  const path = isDefault ? DEFAULT_PROFILE : name.replace(LOCALHOST, '');
  if (!path.startsWith('/'))
    throw new UmiakError('Invalid', `seccomp profile ${JSON.stringify(name)} must be runtime/default, unconfined or an absolute path`);
  try {
    return parseProfile(path);
  } catch (cause) {
    if (cause instanceof UmiakError) throw cause;
    if (isDefault)
      throw new UmiakError('ServiceUnavailable', 'the default seccomp profile is not installed', {
        cause,
        hint: 'Install the package golang-github-containers-common.',
      });
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing ? 'no such file or directory' : messageOf(cause);
    throw new UmiakError(isMissing ? 'NotFound' : 'Invalid', `cannot load seccomp profile ${JSON.stringify(path)}: open ${path}: ${why}`, {
      cause,
    });
  }
}

/** Whoever writes a profile is root here, but a wrong file must not stop us. */
function parseProfile(path: string): SeccompProfile {
  if (statSync(path).size > MAX_PROFILE_BYTES)
    throw new UmiakError('Invalid', `cannot load seccomp profile ${JSON.stringify(path)}: it has more than ${MAX_PROFILE_BYTES} bytes`);
  try {
    return checkSeccompProfile(JSON.parse(readFileSync(path, 'utf8')), JSON.stringify(path));
  } catch (cause) {
    if (cause instanceof SyntaxError)
      throw new UmiakError('Invalid', `cannot load seccomp profile ${JSON.stringify(path)}: it is no JSON`, { cause });
    throw cause;
  }
}

/** A profile that came from outside; `name` is what messages call it. @throws Invalid */
export function checkSeccompProfile(profile: Partial<SeccompProfile>, name = 'of the container'): SeccompProfile {
  const invalid = (why: string) => new UmiakError('Invalid', `cannot load seccomp profile ${name}: ${why}`);
  if (typeof profile?.defaultAction !== 'string') throw invalid('it has no defaultAction');
  const checkAction = (action: string) => {
    if (!ACTION.test(action)) throw invalid(`action ${JSON.stringify(action)} is not known`);
    if (action === 'SCMP_ACT_NOTIFY' && !profile.listenerPath) throw invalid('action "SCMP_ACT_NOTIFY" needs a listenerPath');
  };
  checkAction(profile.defaultAction);
  const { defaultAction, syscalls = [] } = profile;
  if (!Array.isArray(syscalls)) throw invalid('syscalls must be a list');
  for (const [index, rule] of syscalls.entries()) {
    if (typeof rule?.action !== 'string') throw invalid(`syscalls[${index}] has no action`);
    checkAction(rule.action);
    for (const { value, valueTwo = 0 } of rule.args ?? [])
      if (!Number.isSafeInteger(value) || !Number.isSafeInteger(valueTwo))
        throw invalid(`syscalls[${index}].args: ${value} is no whole number`);
  }
  return { ...profile, defaultAction };
}
