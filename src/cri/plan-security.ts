import type { SecurityConfig } from '#engine/engine.ts';
import { invalidField } from './refuse.ts';
import type { LinuxContainerSecurityContext, SELinuxOption, SecurityProfile } from './types.gen.ts';

const FIELD = 'linux.security_context';

/**
 * A container's security context in the engine's words. Masked and read-only paths are exactly those that are given: an empty list is how
 * the kubelet says `procMount: Unmasked`. Without any context at all the engine's own defaults hold. Pure.
 */
export function planSecurity(context: LinuxContainerSecurityContext | undefined): SecurityConfig {
  if (!context) return {};
  const { capabilities, privileged = false, supplementalGroups = [], supplementalGroupsPolicy } = context;
  const { addCapabilities: add, dropCapabilities: drop, addAmbientCapabilities: addAmbient } = capabilities ?? {};
  return {
    ...(privileged ? { privileged } : {}),
    capabilities: { ...(add?.length ? { add } : {}), ...(drop?.length ? { drop } : {}), ...(addAmbient?.length ? { addAmbient } : {}) },
    noNewPrivileges: context.noNewPrivs ?? false,
    readOnlyRoot: context.readonlyRootfs ?? false,
    seccomp: privileged ? 'unconfined' : planSeccomp(context),
    ...planUser(context),
    supplementalGroups,
    ...(supplementalGroupsPolicy === 'Strict' ? { supplementalGroupsPolicy } : {}),
    ...(privileged ? {} : planApparmor(context)),
    ...planSelinux(context.selinuxOptions),
    ...(privileged ? {} : { maskedPaths: context.maskedPaths ?? [], readonlyPaths: context.readonlyPaths ?? [] }),
  };
}

function planUser({ runAsUser, runAsUsername, runAsGroup }: LinuxContainerSecurityContext): Pick<SecurityConfig, 'user' | 'runAsGroup'> {
  const user = runAsUser ? String(runAsUser.value ?? 0) : runAsUsername || undefined;
  if (runAsGroup && user === undefined) throw invalidField(`${FIELD}.run_as_group`, 'needs run_as_user or run_as_username beside it');
  return { ...(user === undefined ? {} : { user }), ...(runAsGroup ? { runAsGroup: runAsGroup.value ?? 0 } : {}) };
}

/** Without a profile there is no filter: CRI has no default of its own, and the kubelet says which it wants. */
function planSeccomp({ seccomp, seccompProfilePath = '' }: LinuxContainerSecurityContext): string {
  const path = seccomp ? profileOf(seccomp, `${FIELD}.seccomp`) : fromOldProfile(seccompProfilePath);
  if (path === 'runtime/default' || path === 'unconfined' || path.startsWith('/')) return path;
  throw invalidField(`${FIELD}.seccomp.localhost_ref`, `${JSON.stringify(path)} is no absolute path of a profile on this machine`);
}

function planApparmor({ apparmor, apparmorProfile = '' }: LinuxContainerSecurityContext): Pick<SecurityConfig, 'apparmor'> {
  if (!apparmor && apparmorProfile === '') return {};
  return { apparmor: apparmor ? profileOf(apparmor, `${FIELD}.apparmor`) : fromOldProfile(apparmorProfile) };
}

function profileOf({ profileType = 'RuntimeDefault', localhostRef = '' }: SecurityProfile, field: string): string {
  if (profileType === 'RuntimeDefault') return 'runtime/default';
  if (profileType === 'Unconfined') return 'unconfined';
  if (localhostRef === '') throw invalidField(`${field}.localhost_ref`, 'must not be empty for a profile of type Localhost');
  return localhostRef.replace(/^localhost\//, '');
}

/** The form before there were types: `runtime/default`, `docker/default`, `unconfined`, `localhost/<profile>`. */
function fromOldProfile(text: string): string {
  if (text === '' || text === 'unconfined') return 'unconfined';
  return text === 'docker/default' ? 'runtime/default' : text.replace(/^localhost\//, '');
}

function planSelinux(options: SELinuxOption | undefined): Pick<SecurityConfig, 'selinux'> {
  const given = Object.entries(options ?? {}).filter(([, value]) => value);
  return given.length > 0 ? { selinux: Object.fromEntries(given) } : {};
}
