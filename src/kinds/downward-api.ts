import type { FieldCause } from '#base/errors.ts';
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

/** A field that the downward API gives: one of a list, or one label or annotation. */
export function validateFieldPath(fieldPath: string, supported: readonly string[], field: string): FieldCause[] {
  if (!fieldPath) return [required(field)];
  const [, map, key] = /^metadata\.(labels|annotations)\['(.{1,512})'\]$/.exec(fieldPath) ?? [];
  if (key !== undefined)
    return checkQualifiedName(map === 'annotations' ? key.toLowerCase() : key).map(why => invalid(field, fieldPath, why));
  return supported.includes(fieldPath) ? [] : [notSupported(field, fieldPath, supported)];
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
