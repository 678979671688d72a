import type { FieldCause } from '#base/errors.ts';
import type { ObjectFieldSelector } from './types.gen.ts';
import { checkQualifiedName, invalid, notSupported, required } from './validation.ts';

/** The fields of a pod that its environment may show; labels and annotations come one by one. */
export const ENV_FIELDS: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** The fields of a pod that its volumes may show. */
export const DOWNWARD_FIELDS: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];

/** Whatever the downward API knows, here or there. */
const KNOWN_FIELDS = new Set([...ENV_FIELDS, ...DOWNWARD_FIELDS, 'spec.host', 'spec.restartPolicy', 'spec.schedulerName', 'status.phase']);

/** A field that the downward API gives: one of a list, or one label or annotation. */
export function validateFieldPath(
  { apiVersion = 'v1', fieldPath }: ObjectFieldSelector,
  supported: readonly string[],
  at: string,
): FieldCause[] {
  const field = `${at}.fieldPath`;
  if (!apiVersion) return [required(`${at}.apiVersion`)];
  if (!fieldPath) return [required(field)];
  if (apiVersion !== 'v1') return [invalid(field, fieldPath, `error converting fieldPath: unsupported pod version: ${apiVersion}`)];
  const [, map, key] = /^metadata\.(labels|annotations)\['(.{1,512})'\]$/.exec(fieldPath) ?? [];
  if (key !== undefined)
    return checkQualifiedName(map === 'annotations' ? key.toLowerCase() : key).map(why => invalid(field, fieldPath, why));
  if (supported.includes(fieldPath)) return [];
  if (!KNOWN_FIELDS.has(fieldPath))
    return [invalid(field, fieldPath, `error converting fieldPath: field label not supported: ${fieldPath}`)];
  return [notSupported(field, fieldPath, supported)];
}

/** A container's resource that the downward API gives. */
export function validateResourceField(resource: string, field: string): FieldCause[] {
  if (!resource) return [required(field)];
  const supported = [
    'limits.cpu',
    'limits.ephemeral-storage',
    'limits.memory',
    'requests.cpu',
    'requests.ephemeral-storage',
    'requests.memory',
  ];
  const isHuge = /^(?:limits|requests)\.hugepages-/.test(resource);
  return isHuge || supported.includes(resource) ? [] : [notSupported(field, resource, supported)];
}
