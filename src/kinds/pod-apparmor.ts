import type { AppArmorProfile, Container, Pod } from './types.gen.ts';

/** Before the key of a container's name: how profiles were chosen before they had a field. */
export const APPARMOR_ANNOTATION = 'container.apparmor.security.beta.kubernetes.io/';

/** Brings profiles that only annotations name into the containers' fields, as long as both ways are understood. */
export function adoptAppArmorAnnotations({ metadata: { annotations }, spec }: Pod): void {
  if (!annotations || spec.os?.name === 'windows') return;
  const containers: Container[] = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  for (const container of containers) {
    const text = annotations[APPARMOR_ANNOTATION + container.name];
    const profile = text === undefined || container.securityContext?.appArmorProfile ? undefined : profileOf(text);
    if (!profile || isSame(profile, spec.securityContext?.appArmorProfile)) continue;
    container.securityContext ??= {};
    container.securityContext.appArmorProfile = profile;
  }
}

function profileOf(text: string): AppArmorProfile | undefined {
  if (text === 'unconfined') return { type: 'Unconfined' };
  if (text === 'runtime/default') return { type: 'RuntimeDefault' };
  const localhostProfile = text.startsWith('localhost/') ? text.slice('localhost/'.length) : '';
  return localhostProfile && localhostProfile === localhostProfile.trim() ? { type: 'Localhost', localhostProfile } : undefined;
}

function isSame(profile: AppArmorProfile, other: AppArmorProfile | undefined): boolean {
  return profile.type === other?.type && profile.localhostProfile === other.localhostProfile;
}
