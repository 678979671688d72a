import type { FieldCause } from '#base/errors.ts';
import type { AppArmorProfile, Container, PodSpec, SeccompProfile, SecurityContext, WindowsSecurityContextOptions } from './types.gen.ts';
import { checkDnsSubdomain, checkRelativePath, duplicate, forbidden, invalid, required, validateEnum, validateName } from './validation.ts';

const MAX_ID = 2147483647;
/** Sysctls that belong to a namespace which a pod may share with the node. */
const OF_NETWORK = /^net[./]/;
const OF_IPC = /^(kernel[./](sem$|msg|shm)|fs[./]mqueue[./])/;

/** The pod's own security context, and what it shares with its node. */
export function validatePodSecurity(spec: PodSpec, path: string): FieldCause[] {
  const { securityContext = {} } = spec;
  const at = `${path}.securityContext`;
  const causes: FieldCause[] = [];
  for (const key of ['runAsUser', 'runAsGroup', 'fsGroup'] as const) causes.push(...validateId(securityContext[key], `${at}.${key}`));
  securityContext.supplementalGroups?.forEach((id, i) => {
    causes.push(...validateId(id, `${at}.supplementalGroups[${i}]`));
  });
  causes.push(...validateEnum(securityContext.fsGroupChangePolicy, ['Always', 'OnRootMismatch'], `${at}.fsGroupChangePolicy`));
  causes.push(...validateEnum(securityContext.supplementalGroupsPolicy, ['Merge', 'Strict'], `${at}.supplementalGroupsPolicy`));
  causes.push(...validateEnum(securityContext.seLinuxChangePolicy, ['Recursive'], `${at}.seLinuxChangePolicy`));
  if (spec.shareProcessNamespace && spec.hostPID)
    causes.push(invalid(`${at}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'));
  causes.push(...validateProfiles(securityContext, at), ...validateWindowsOptions(securityContext.windowsOptions, at));
  return [
    ...causes,
    ...validateHostProcess(spec, path),
    ...validateSysctls(spec, at),
    ...validateHostUsers(spec, path),
    ...validateOfSystem(spec, path),
  ];
}

/** One container's. */
export function validateSecurityContext(context: SecurityContext, hostUsers: boolean, path: string): FieldCause[] {
  const causes = [...validateId(context.runAsUser, `${path}.runAsUser`), ...validateId(context.runAsGroup, `${path}.runAsGroup`)];
  causes.push(...validateEnum(context.procMount, ['Default', 'Unmasked'], `${path}.procMount`));
  if (context.procMount === 'Unmasked' && hostUsers)
    causes.push(invalid(`${path}.procMount`, context.procMount, '`hostUsers` must be false to use `Unmasked`'));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (context.capabilities?.add?.some(one => one === 'CAP_SYS_ADMIN'))
      causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'));
  }
  return [...causes, ...validateProfiles(context, path), ...validateWindowsOptions(context.windowsOptions, path)];
}

/** A user's or group's number. */
export function validateId(id: number | undefined, field: string): FieldCause[] {
  return id === undefined || (id >= 0 && id <= MAX_ID) ? [] : [invalid(field, id, `must be between 0 and ${MAX_ID}, inclusive`)];
}

function validateProfiles(
  { seccompProfile, appArmorProfile }: { seccompProfile?: SeccompProfile | undefined; appArmorProfile?: AppArmorProfile | undefined },
  at: string,
): FieldCause[] {
  return [
    ...(seccompProfile ? validateSeccomp(seccompProfile, `${at}.seccompProfile`) : []),
    ...(appArmorProfile ? validateAppArmor(appArmorProfile, `${at}.appArmorProfile`) : []),
  ];
}

function validateSeccomp(profile: SeccompProfile, path: string): FieldCause[] {
  const causes = profile.type
    ? validateEnum(profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`)
    : [required(`${path}.type`, 'type is required when seccompProfile is set')];
  const field = `${path}.localhostProfile`;
  if (profile.type === 'Localhost') {
    if (!profile.localhostProfile) causes.push(required(field, 'must be set when seccomp type is Localhost'));
    else causes.push(...validateName(profile.localhostProfile, checkRelativePath, field));
  } else if (profile.localhostProfile !== undefined) causes.push(invalid(field, profile, 'can only be set when seccomp type is Localhost'));
  return causes;
}

const LONGEST_APPARMOR = 4095;

function validateAppArmor({ type, localhostProfile }: AppArmorProfile, path: string): FieldCause[] {
  const field = `${path}.localhostProfile`;
  const causes = type ? [] : [required(`${path}.type`, 'type is required when appArmorProfile is set')];
  if (type) causes.push(...validateEnum(type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`));
  if (type !== 'Localhost') {
    if (localhostProfile !== undefined) causes.push(invalid(field, localhostProfile, 'can only be set when AppArmor type is Localhost'));
    return causes;
  }
  const name = localhostProfile ?? '';
  if (name.trim() === '') return [...causes, required(field, 'must be set when AppArmor type is Localhost')];
  if (name !== name.trim()) causes.push(invalid(field, name, 'must not be padded with whitespace'));
  if (name.length > LONGEST_APPARMOR) causes.push(invalid(field, name, `may not be more than ${LONGEST_APPARMOR} bytes`));
  return causes;
}

const LONGEST_GMSA_KIB = 64;
const LONGEST_DOMAIN = 256;
const LONGEST_USER = 104;
const NETBIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;

/** What is wrong with `user` or `domain\\user`. */
function checkWindowsUser(name: string): string[] {
  if (name === '') return [' cannot be an empty string'];
  if (/\p{Cc}/u.test(name)) return [' cannot contain control characters'];
  const parts = name.split('\\');
  if (parts.length > 2) return [' cannot contain more than one backslash'];
  const user = parts.at(-1) ?? '';
  const domain = parts.length > 1 ? parts[0] : undefined;
  const wrong: string[] = [];
  if (domain !== undefined && domain.length >= LONGEST_DOMAIN) wrong.push(`'s Domain length must be under ${LONGEST_DOMAIN} characters`);
  else if (domain !== undefined && !NETBIOS.test(domain) && !DOMAIN.test(domain))
    wrong.push("'s Domain doesn't match the NetBios nor the DNS format");
  if (user === '') wrong.push("'s User cannot be empty");
  else if (user.length > LONGEST_USER) wrong.push(`'s User length must not be longer than ${LONGEST_USER} characters`);
  if (/^[. ]+$/.test(user)) wrong.push("'s User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) wrong.push('\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]');
  return wrong;
}

/** On Windows a container may be a process of the host: then all of them are, and in the host's network. */
function validateHostProcess(spec: PodSpec, path: string): FieldCause[] {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const all = [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])];
  const own = all.map(({ securityContext }) => securityContext?.windowsOptions?.hostProcess ?? ofPod ?? false);
  if (!own.includes(true)) return [];
  const causes: FieldCause[] = [];
  if (own.includes(false))
    causes.push(invalid(path, '', 'If pod contains any hostProcess containers then all containers must be HostProcess containers'));
  if (!spec.hostNetwork)
    causes.push(invalid(`${path}.hostNetwork`, false, 'hostNetwork must be true if pod contains any hostProcess containers'));
  return causes;
}

function validateWindowsOptions(options: WindowsSecurityContextOptions | undefined, at: string): FieldCause[] {
  if (!options) return [];
  const path = `${at}.windowsOptions`;
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: spec, runAsUserName } = options;
  const causes = name === undefined ? [] : checkDnsSubdomain(name).map(why => invalid(`${path}.gmsaCredentialSpecName`, name, why));
  if (spec === '') causes.push(invalid(`${path}.gmsaCredentialSpec`, spec, 'gmsaCredentialSpec cannot be an empty string'));
  else if (spec !== undefined && spec.length > LONGEST_GMSA_KIB * 1024)
    causes.push(invalid(`${path}.gmsaCredentialSpec`, spec, `gmsaCredentialSpec size must be under ${LONGEST_GMSA_KIB} KiB`));
  if (runAsUserName === undefined) return causes;
  return [...causes, ...checkWindowsUser(runAsUserName).map(why => invalid(`${path}.runAsUserName`, runAsUserName, `runAsUserName${why}`))];
}

function validateSysctls({ securityContext = {}, hostNetwork, hostIPC }: PodSpec, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const seen = new Set<string>();
  securityContext.sysctls?.forEach(({ name }, i) => {
    const field = `${at}.sysctls[${i}].name`;
    if (!name) causes.push(required(field));
    else if (name.length > 253 || !/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/.test(name))
      causes.push(
        invalid(
          field,
          name,
          'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
        ),
      );
    else if (seen.has(name)) causes.push(duplicate(field, name));
    seen.add(name);
    if (hostNetwork && OF_NETWORK.test(name)) causes.push(invalid(field, name, "may not be specified when 'hostNetwork' is true"));
    if (hostIPC && OF_IPC.test(name)) causes.push(invalid(field, name, "may not be specified when 'hostIPC' is true"));
  });
  return causes;
}

function validateHostUsers(spec: PodSpec, path: string): FieldCause[] {
  if (spec.hostUsers !== false) return [];
  const why = 'when `pod.Spec.HostUsers` is false';
  const shared = [spec.hostNetwork && 'hostNetwork', spec.hostPID && 'HostPID', spec.hostIPC && 'HostIPC'].filter(one => one !== false);
  const causes = shared.filter(one => one !== undefined).map(one => forbidden(`${path}.${one}`, why));
  for (const list of ['containers', 'initContainers'] as const)
    for (const [i, { volumeDevices = [] }] of (spec[list] ?? []).entries())
      if (volumeDevices.length > 0) causes.push(forbidden(`${path}.${list}[${i}].volumeDevices`, why));
  return causes;
}

const NOT_ON_WINDOWS = {
  spec: ['hostPID', 'hostIPC', 'shareProcessNamespace'],
  pod: [
    'seLinuxOptions',
    'seccompProfile',
    'appArmorProfile',
    'fsGroup',
    'fsGroupChangePolicy',
    'sysctls',
    'runAsUser',
    'runAsGroup',
    'supplementalGroups',
    'supplementalGroupsPolicy',
  ],
  container: [
    'seLinuxOptions',
    'seccompProfile',
    'capabilities',
    'readOnlyRootFilesystem',
    'privileged',
    'allowPrivilegeEscalation',
    'procMount',
    'runAsUser',
    'runAsGroup',
  ],
} as const;

/** What the named operating system doesn't know. */
function validateOfSystem(spec: PodSpec, path: string): FieldCause[] {
  const containers = (['containers', 'initContainers', 'ephemeralContainers'] as const).flatMap(list =>
    (spec[list] ?? []).map(({ securityContext }: Container, i) => ({
      at: `${path}.${list}[${i}].securityContext`,
      context: securityContext ?? {},
    })),
  );
  const at = `${path}.securityContext`;
  if (spec.os?.name === 'linux') {
    const why = 'windows options cannot be set for a linux pod';
    const all = [{ at, context: spec.securityContext ?? {} }, ...containers];
    return all.filter(one => one.context.windowsOptions).map(one => forbidden(`${one.at}.windowsOptions`, why));
  }
  if (spec.os?.name !== 'windows') return [];
  const refuse = (place: string, object: object, keys: readonly string[]) =>
    keys
      .filter(key => (object as Record<string, unknown>)[key])
      .map(key => forbidden(`${place}.${key}`, 'cannot be set for a windows pod'));
  return [
    ...refuse(path, spec, NOT_ON_WINDOWS.spec),
    ...refuse(at, spec.securityContext ?? {}, NOT_ON_WINDOWS.pod),
    ...containers.flatMap(one => refuse(one.at, one.context, NOT_ON_WINDOWS.container)),
  ];
}
