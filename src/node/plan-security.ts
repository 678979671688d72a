import { join } from 'node:path';
import type { SecurityConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';

type VolumeMount = NonNullable<ContainerSpec['volumeMounts']>[number];
type SelinuxOptions = NonNullable<NonNullable<ContainerSpec['securityContext']>['seLinuxOptions']>;

export interface SecurityPlaces {
  /** Holds the profiles that pods name. */
  seccompDirectory: string;
  /** Without it options have no effect, which the pod's events say. */
  hasSelinux: boolean;
}

/**
 * The container's security context over the pod's. Without a profile the default one applies, as with the kubelet's `seccompDefault`
 * switched on: containers are confined unless they say otherwise.
 */
export function planSecurity(
  { spec }: Pod,
  { securityContext: own = {} }: ContainerSpec,
  { seccompDirectory, hasSelinux }: SecurityPlaces,
): SecurityConfig {
  const shared = spec.securityContext ?? {};
  const user = own.runAsUser ?? shared.runAsUser;
  const group = own.runAsGroup ?? shared.runAsGroup;
  const profile = own.seccompProfile ?? shared.seccompProfile;
  const groups = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup])];
  const { add, drop } = own.capabilities ?? {};
  return {
    ...(own.privileged ? { privileged: true } : {}),
    capabilities: { ...(add ? { add } : {}), ...(drop ? { drop } : {}) },
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    readOnlyRoot: own.readOnlyRootFilesystem === true,
    seccomp:
      own.privileged || profile?.type === 'Unconfined'
        ? 'unconfined'
        : profile?.type === 'Localhost'
          ? join(seccompDirectory, join('/', profile.localhostProfile ?? ''))
          : 'runtime/default',
    ...(user === undefined ? {} : { user: String(user) }),
    ...(group === undefined ? {} : { runAsGroup: group }),
    supplementalGroups: groups,
    ...(shared.supplementalGroupsPolicy === 'Strict' ? { supplementalGroupsPolicy: 'Strict' as const } : {}),
    ...planAppArmor(own.appArmorProfile ?? shared.appArmorProfile),
    ...(hasSelinux ? planSelinux(own.seLinuxOptions, shared.seLinuxOptions) : {}),
    runAsNonRoot: (own.runAsNonRoot ?? shared.runAsNonRoot) === true,
    ...(own.procMount === 'Unmasked' ? { maskedPaths: [], readonlyPaths: [] } : {}),
  };
}

function planAppArmor(profile: { type: string; localhostProfile?: string | undefined } | undefined): Pick<SecurityConfig, 'apparmor'> {
  if (!profile) return {};
  if (profile.type === 'Localhost') return { apparmor: `localhost/${profile.localhostProfile ?? ''}` };
  return { apparmor: profile.type === 'RuntimeDefault' ? 'runtime/default' : 'unconfined' };
}

function planSelinux(own: SelinuxOptions | undefined, shared: SelinuxOptions | undefined): Pick<SecurityConfig, 'selinux'> {
  const { user, role, type, level } = { ...shared, ...own };
  if (!user && !role && !type && !level) return {};
  return { selinux: { ...(user ? { user } : {}), ...(role ? { role } : {}), ...(type ? { type } : {}), ...(level ? { level } : {}) } };
}

/** `IfPossible` is possible here: the kernel and the runtimes have it. */
export function isRecursiveReadOnly({ recursiveReadOnly }: VolumeMount): boolean {
  return recursiveReadOnly === 'Enabled' || recursiveReadOnly === 'IfPossible';
}
