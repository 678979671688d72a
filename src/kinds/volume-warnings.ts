import { fractionWarnings } from './fraction-warnings.ts';
import type { Volume, VolumeProjection } from './types.gen.ts';

const REMOVED: Record<string, string> = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  gitRepo: 'deprecated in v1.11, and disabled by default in v1.33+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};
/** Upstream's spelling in the warning. */
const SPELLED: Record<string, string> = { storageos: 'storageOS' };

interface Taken {
  path: string;
  source: string;
}

/** Volumes of sorts that are gone, and files that would lie over each other. */
export function volumeWarnings(volumes: Volume[], at: string): string[] {
  const warnings: string[] = [];
  volumes.forEach((volume, i) => {
    for (const type of Object.keys(volume))
      if (Object.hasOwn(REMOVED, type)) warnings.push(`${at}[${i}].${SPELLED[type] ?? type}: ${REMOVED[type]}`);
    const claim = volume.ephemeral?.volumeClaimTemplate?.spec.resources;
    const path = `${at}[${i}].ephemeral.volumeClaimTemplate.spec.resources`;
    if (claim)
      warnings.push(
        ...fractionWarnings(claim.requests, `${path}.requests`, ['storage']),
        ...fractionWarnings(claim.limits, `${path}.limits`, ['storage']),
      );
  });
  for (const volume of volumes) warnings.push(...overlapWarnings(volume));
  return warnings;
}

function overlapWarnings({ name, configMap, secret, downwardAPI, projected }: Volume): string[] {
  const say = (what: string, items: { path: string }[] = []) =>
    overlaps(items.map(({ path }) => ({ path, source: '' }))).map(one => `volume ${quoted(name)} (${what}): overlapping paths: ${one}`);
  const warnings = [
    ...say(`ConfigMap ${quoted(configMap?.name)}`, configMap?.items),
    ...say(`Secret ${quoted(secret?.secretName)}`, secret?.items),
    ...say('DownwardAPI', downwardAPI?.items),
  ];
  for (const source of projected?.sources ?? [])
    if (Object.keys(source).length === 0) warnings.push(`volume ${quoted(name)} (Projected) has no sources provided`);
  const taken = (projected?.sources ?? []).flatMap(pathsOf);
  return [...warnings, ...overlaps(taken).map(one => `volume ${quoted(name)} (Projected): overlapping paths: ${one}`)];
}

function pathsOf({ configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle, podCertificate }: VolumeProjection): Taken[] {
  const all = (source: string, items: { path: string }[]) => items.map(({ path }) => ({ path, source }));
  if (configMap?.items) return all(`ConfigMap ${quoted(configMap.name)}`, configMap.items);
  if (secret?.items) return all(`Secret ${quoted(secret.name)}`, secret.items);
  if (downwardAPI?.items) return all('DownwardAPI', downwardAPI.items);
  if (serviceAccountToken) return [{ path: serviceAccountToken.path, source: 'ServiceAccountToken' }];
  if (clusterTrustBundle) {
    const { name = clusterTrustBundle.signerName, path } = clusterTrustBundle;
    return [{ path, source: `ClusterTrustBundle ${quoted(name)}` }];
  }
  const { certificateChainPath = '', keyPath = '', credentialBundlePath = '' } = podCertificate ?? {};
  return [
    { path: certificateChainPath, source: 'PodCertificate chain' },
    { path: keyPath, source: 'PodCertificate key' },
    { path: credentialBundlePath, source: 'PodCertificate credential bundle' },
  ].filter(({ path }) => path !== '');
}

/** Pairs of which one is the other, or lies below it. */
function overlaps(taken: Taken[]): string[] {
  if (taken.length < 2) return [];
  const trimmed = taken.map(({ path, source }) => ({ path: path.replace(/\/+$/, ''), source }));
  const below = (a: Taken, b: Taken) => `${a.path}/`.startsWith(`${b.path}/`);
  return trimmed.flatMap((one, i) => {
    if (one.path === '') return [];
    const others = trimmed.slice(0, i).filter(other => other.path !== '' && (below(one, other) || below(other, one)));
    return others.map(other => `${shown(one)} with ${shown(other)}`);
  });
}

function shown({ path, source }: Taken): string {
  return source ? `${quoted(path)} (${source})` : quoted(path);
}

function quoted(text = ''): string {
  return JSON.stringify(text);
}
