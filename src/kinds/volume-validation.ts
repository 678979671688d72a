import type { FieldCause } from '#base/errors.ts';
import { parseQuantity } from '#base/quantity.ts';
import { DOWNWARD_FIELDS, validateFieldPath, validateResourceField } from './downward-api.ts';
import { validateClaimSpec } from './persistent-volume-claim.ts';
import type { DownwardAPIVolumeFile, EphemeralVolumeSource, KeyToPath, ProjectedVolumeSource, Volume } from './types.gen.ts';
import {
  checkDnsLabel,
  checkRelativePath,
  duplicate,
  forbidden,
  invalid,
  required,
  validateAnnotations,
  validateLabels,
  validateName,
} from './validation.ts';
import { validateHostPathType } from './volume-rules.ts';
import { validateRemoteSource } from './volume-source-validation.ts';

/** The order in which upstream looks for a volume's source: the first is judged, the others are one too many. */
const SOURCES = ['emptyDir', 'hostPath', 'gitRepo', 'gcePersistentDisk', 'awsElasticBlockStore', 'secret', 'nfs', 'iscsi', 'glusterfs'];
/** Upstream's spelling in the refusal of a second source. */
const SPELLED: Record<string, string> = { downwardAPI: 'downwarAPI', cephfs: 'cephFS' };

/** A pod's volumes: names that differ, one source each. Gives those that are right too: mounts may refer to no others. */
export function validateVolumes(volumes: Volume[], path: string): { volumes: ReadonlyMap<string, Volume>; causes: FieldCause[] } {
  const right = new Map<string, Volume>();
  const causes: FieldCause[] = [];
  volumes.forEach((volume, i) => {
    const wrong = validateVolume(volume, right, `${path}[${i}]`);
    if (wrong.length === 0) right.set(volume.name, volume);
    else causes.push(...wrong);
  });
  return { volumes: right, causes };
}

function validateVolume(volume: Volume, others: ReadonlyMap<string, Volume>, at: string): FieldCause[] {
  const [first, ...more] = Object.keys(volume)
    .filter(key => key !== 'name' && volume[key as keyof Volume] !== undefined)
    .sort((a, b) => rankOf(a) - rankOf(b));
  const causes = first ? validateSource({ name: volume.name, [first]: volume[first as keyof Volume] }, at) : [];
  if (!first) causes.push(required(at, 'must specify a volume type'));
  for (const source of more) causes.push(forbidden(`${at}.${SPELLED[source] ?? source}`, 'may not specify more than 1 volume type'));
  causes.push(...validateName(volume.name, checkDnsLabel, `${at}.name`));
  if (others.has(volume.name)) causes.push(duplicate(`${at}.name`, volume.name));
  return causes;
}

function rankOf(source: string): number {
  const rank = SOURCES.indexOf(source);
  return rank < 0 ? SOURCES.length : rank;
}

function validateSource(volume: Volume, at: string): FieldCause[] {
  const { hostPath, secret, configMap, emptyDir, persistentVolumeClaim, downwardAPI, projected, nfs, ephemeral } = volume;
  const causes: FieldCause[] = [];
  if (hostPath) {
    if (!hostPath.path) causes.push(required(`${at}.hostPath.path`));
    else if (hostPath.path.split('/').includes('..')) causes.push(invalid(`${at}.hostPath.path`, hostPath.path, "must not contain '..'"));
    causes.push(...validateHostPathType(hostPath.type, `${at}.hostPath.type`));
  }
  if (secret) {
    if (!secret.secretName) causes.push(required(`${at}.secret.secretName`));
    causes.push(...validateMode(secret.defaultMode, `${at}.secret.defaultMode`), ...validateItems(secret.items, `${at}.secret.items`));
  }
  if (configMap) {
    if (!configMap.name) causes.push(required(`${at}.configMap.name`));
    causes.push(...validateMode(configMap.defaultMode, `${at}.configMap.defaultMode`));
    causes.push(...validateItems(configMap.items, `${at}.configMap.items`));
  }
  if (emptyDir?.sizeLimit !== undefined && parseQuantity(emptyDir.sizeLimit).nano < 0n)
    causes.push(forbidden(`${at}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity'));
  if (persistentVolumeClaim && !persistentVolumeClaim.claimName) causes.push(required(`${at}.persistentVolumeClaim.claimName`));
  if (downwardAPI) {
    causes.push(...validateMode(downwardAPI.defaultMode, `${at}.downwardAPI.defaultMode`));
    causes.push(...validateDownwardItems(downwardAPI.items, `${at}.downwardAPI`));
  }
  if (projected) causes.push(...validateProjected(projected, `${at}.projected`));
  if (nfs) {
    if (!nfs.server) causes.push(required(`${at}.nfs.server`));
    if (!nfs.path.startsWith('/')) causes.push(invalid(`${at}.nfs.path`, nfs.path, 'must be an absolute path'));
  }
  if (ephemeral) causes.push(...validateEphemeral(ephemeral, `${at}.ephemeral`));
  return [...causes, ...validateRemoteSource(volume, at)];
}

/** A claim of the pod's own, as its template has it. */
function validateEphemeral({ volumeClaimTemplate: template }: EphemeralVolumeSource, at: string): FieldCause[] {
  const field = `${at}.volumeClaimTemplate`;
  if (!template) return [required(field)];
  const { metadata, spec } = template;
  const causes = [
    ...validateLabels(metadata?.labels, `${field}.metadata.labels`),
    ...validateAnnotations(metadata?.annotations, `${field}.metadata.annotations`),
  ];
  return [...causes, ...validateClaimSpec(spec, `${field}.spec`)];
}

function validateProjected({ defaultMode, sources = [] }: ProjectedVolumeSource, at: string): FieldCause[] {
  const causes = validateMode(defaultMode, `${at}.defaultMode`);
  const paths = new Set<string>();
  sources.forEach((source, i) => {
    const field = `${at}.sources[${i}]`;
    const kinds = Object.keys(source);
    for (const kind of kinds.slice(1)) causes.push(forbidden(`${field}.${kind}`, 'may not specify more than 1 volume type per source'));
    if (kinds.length === 0) causes.push(required(field, 'must specify at least one projected volume source'));
    const { secret, configMap, downwardAPI, clusterTrustBundle, serviceAccountToken: token } = source;
    for (const [key, one] of Object.entries({ secret, configMap })) {
      if (one && !one.name) causes.push(required(`${field}.${key}.name`));
      causes.push(...validateItems(one?.items, `${field}.${key}.items`));
    }
    causes.push(...validateDownwardItems(downwardAPI?.items, `${field}.downwardAPI`));
    if (token) {
      causes.push(...validateName(token.path, checkRelativePath, `${field}.serviceAccountToken.path`));
      if ((token.expirationSeconds ?? 3600) < 600) {
        const why = 'may not specify a duration less than 10 minutes';
        causes.push(invalid(`${field}.serviceAccountToken.expirationSeconds`, token.expirationSeconds, why));
      }
    }
    const files = [
      ...(secret?.items ?? []).map(({ path }) => ({ path, shown: secret?.name })),
      ...(configMap?.items ?? []).map(({ path }) => ({ path, shown: configMap?.name })),
      ...(downwardAPI?.items ?? []).map(({ path }) => ({ path, shown: path })),
      ...(clusterTrustBundle ? [{ path: clusterTrustBundle.path, shown: clusterTrustBundle.path }] : []),
    ];
    for (const { path, shown } of files) {
      if (paths.has(path)) causes.push(invalid(at, shown, 'conflicting duplicate paths'));
      if (path) paths.add(path);
    }
  });
  return causes;
}

function validateItems(items: KeyToPath[] | undefined, field: string): FieldCause[] {
  return (items ?? []).flatMap(({ key, path, mode }, i) => {
    const causes = validateMode(mode, `${field}[${i}].mode`);
    if (!key) causes.push(required(`${field}[${i}].key`));
    causes.push(...validateName(path, checkRelativePath, `${field}[${i}].path`));
    return causes;
  });
}

function validateDownwardItems(items: DownwardAPIVolumeFile[] | undefined, at: string): FieldCause[] {
  return (items ?? []).flatMap(({ path, fieldRef, resourceFieldRef, mode }, i) => {
    const field = `${at}.items[${i}]`;
    const causes = validateMode(mode, `${field}.mode`);
    causes.push(...validateName(path, checkRelativePath, `${field}.path`));
    if (fieldRef) {
      causes.push(...validateFieldPath(fieldRef, DOWNWARD_FIELDS, `${field}.fieldRef`));
      if (resourceFieldRef) causes.push(invalid(field, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
    } else if (resourceFieldRef) {
      if (!resourceFieldRef.containerName) causes.push(required(`${field}.resourceFieldRef.containerName`));
      causes.push(...validateResourceField(resourceFieldRef.resource, `${field}.resourceFieldRef.resource`));
    } else causes.push(required(field, 'one of fieldRef and resourceFieldRef is required'));
    return causes;
  });
}

function validateMode(mode: number | undefined, field: string): FieldCause[] {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return [];
  return [invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')];
}
