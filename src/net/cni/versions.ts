import { UmiakError } from '#base/errors.ts';

/** Versions of the CNI specification that are spoken here, the oldest first. 0.1 and 0.2 had other results, and no lists. */
export const CNI_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** Whether that version is `least` or newer. Both must be of `CNI_VERSIONS`. */
export function isAtLeast(version: string, least: (typeof CNI_VERSIONS)[number]): boolean {
  const known: readonly string[] = CNI_VERSIONS;
  return known.indexOf(version) >= known.indexOf(least);
}

/**
 * The newest version that a configuration allows and that is spoken here: of `cniVersions`, else `cniVersion`.
 * @throws UmiakError `Invalid`
 */
export function chooseVersion(cniVersion: unknown, cniVersions: unknown): string {
  const offered = [cniVersion, ...(Array.isArray(cniVersions) ? cniVersions : [])].filter(each => typeof each === 'string' && each !== '');
  const chosen = [...CNI_VERSIONS].reverse().find(version => offered.includes(version));
  if (chosen !== undefined) return chosen;
  const got = offered.length === 0 ? 'is missing' : `is ${offered.join(', ')}`;
  throw new UmiakError('Invalid', `cniVersion ${got}; it must be one of ${CNI_VERSIONS.join(', ')}`);
}
