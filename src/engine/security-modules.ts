import { existsSync, readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { SecurityConfig } from './engine.ts';

/** What the kernel has of security modules. */
export interface SecurityModules {
  /** Profiles that are loaded; undefined where AppArmor is not on. */
  appArmorProfiles?: ReadonlySet<string>;
  hasSelinux: boolean;
}

export interface ModuleLabels {
  apparmorProfile?: string;
  selinuxLabel?: string;
  mountLabel?: string;
}

/** Where the machine's engines have loaded a profile for containers already, it is the default one. */
const DEFAULT_PROFILES = ['umiak-default', 'containers-default', 'cri-containerd.apparmor.d', 'docker-default', 'crio-default'];
const LOCALHOST = /^localhost\//;

/**
 * What a container's processes and mounts are labelled with. What is asked for and can't be had is refused; what is not asked for stays as
 * the kernel has it. Pure.
 * @throws Invalid
 */
export function planSecurityModules(
  { apparmor, selinux, privileged }: Pick<SecurityConfig, 'apparmor' | 'selinux' | 'privileged'>,
  modules: SecurityModules,
): ModuleLabels {
  return { ...planAppArmor(apparmor, modules, privileged ?? false), ...planSelinux(selinux, modules) };
}

function planAppArmor(wanted: string | undefined, { appArmorProfiles }: SecurityModules, privileged: boolean): ModuleLabels {
  if (!wanted || wanted === 'unconfined') return {};
  // A privileged container is confined only by what it names itself.
  if (wanted === 'runtime/default' && privileged) return {};
  if (!appArmorProfiles)
    throw new UmiakError('Invalid', `security.apparmor: profile ${JSON.stringify(wanted)}: AppArmor is not enabled on the host`, {
      hint: 'Leave the profile out, say unconfined, or boot a kernel with AppArmor.',
    });
  const name = wanted === 'runtime/default' ? DEFAULT_PROFILES.find(each => appArmorProfiles.has(each)) : wanted.replace(LOCALHOST, '');
  if (name !== undefined && appArmorProfiles.has(name)) return { apparmorProfile: name };
  throw new UmiakError('Invalid', `security.apparmor: profile ${JSON.stringify(name ?? wanted)} is not loaded`, {
    hint: `Load it with apparmor_parser${name === undefined ? `, as one of ${DEFAULT_PROFILES.join(', ')}` : ''}.`,
  });
}

function planSelinux(wanted: SecurityConfig['selinux'], { hasSelinux }: SecurityModules): ModuleLabels {
  const { user, role, type, level } = wanted ?? {};
  if (!user && !role && !type && !level) return {};
  if (!hasSelinux)
    throw new UmiakError('Invalid', 'security.selinux: SELinux is not enabled on the host', {
      hint: 'Leave the options out, or boot a kernel with SELinux.',
    });
  for (const [name, value] of Object.entries({ user, role, type }))
    if (value && !/^[A-Za-z0-9_.-]+$/.test(value))
      throw new UmiakError('Invalid', `security.selinux.${name}: ${JSON.stringify(value)} is no label`);
  if (level && !/^[a-z0-9:,.-]+$/.test(level))
    throw new UmiakError('Invalid', `security.selinux.level: ${JSON.stringify(level)} is no level`);
  const range = level || 's0';
  return {
    selinuxLabel: `${user || 'system_u'}:${role || 'system_r'}:${type || 'container_t'}:${range}`,
    mountLabel: `system_u:object_r:container_file_t:${range}`,
  };
}

/** Read when a container asks for labels, since profiles come and go. */
export function readSecurityModules(): SecurityModules {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  };
  const hasAppArmor = read('/sys/module/apparmor/parameters/enabled').startsWith('Y');
  const profiles = read('/sys/kernel/security/apparmor/profiles');
  return {
    ...(hasAppArmor ? { appArmorProfiles: new Set(profiles.split('\n').flatMap(line => /^(.+) \(\w+\)$/.exec(line)?.[1] ?? [])) } : {}),
    hasSelinux: existsSync('/sys/fs/selinux/enforce'),
  };
}
