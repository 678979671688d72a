import { type FieldCause, UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { validateStatusUpdate, validateUpdate } from '#kinds/validate-object.ts';
import { setManagedFields } from './apply/managed-fields.ts';
import { type DeleteOptions, isHeldNamespace } from './deletion.ts';
import { countGeneration, prepareMetadataForUpdate } from './object-metadata.ts';
import { fromStored, type Stored } from './resources.ts';
import { conflict, invalid } from './status.ts';
import { prepareSubresource } from './subresources.ts';
import type { Target, Write } from './write.ts';

/* The steps of a write that look at nothing but the write and what is there, in the order in which `Writer` takes them. */

/** Completes the name that the client only began; whether it did. Those who may still change the object do not see the name. */
export function nameObject(write: Write): boolean {
  const { metadata } = write.object;
  const generated = !metadata.name && metadata.generateName;
  metadata.name = generated ? generated.slice(0, 58) + newNameSuffix() : (metadata.name ?? ''); // validation says that it is required
  write.name = metadata.name || write.name;
  return Boolean(generated);
}

/** Nothing holds an object any more that was to be deleted: the update that let go of it takes it away. */
export function isReadyToGo({ storedKind }: Stored, object: KubeObject, old: KubeObject): boolean {
  if (!old.metadata.deletionTimestamp || (object.metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  return (object.metadata.finalizers?.length ?? 0) === 0 && !isHeldNamespace(storedKind, object);
}

/** @throws `Invalid` when there are causes */
export function refuse({ served, object }: Write, causes: FieldCause[]): void {
  if (causes.length > 0) throw invalid(served.resource, object.metadata.name ?? '', causes);
}

/** What is written through them is a new generation of the object. */
const CHANGE_SPEC: ReadonlySet<string> = new Set(['ephemeralcontainers', 'resize']);

/** Brings into the object what the update may not change, and counts its generation. May give the write another object. */
export function prepareUpdate(write: Write, old: KubeObject): void {
  const { served, subresource, object } = write;
  if (subresource) {
    write.object = prepareSubresource(subresource, served, object, old);
    setManagedFields(write.object, object.metadata.managedFields);
    if (CHANGE_SPEC.has(subresource)) countGeneration(served, write.object, old);
    return;
  }
  prepareMetadataForUpdate(served, object, old);
  served.storedKind.prepareForUpdate?.(object, old);
  countGeneration(served, object, old);
}

/** Adds the sentences that the kind has to say. */
export function warn({ served, object, old, warnings, subresource }: Write): void {
  if (subresource) return;
  const { unattended, warnings: warningsOf } = served.storedKind;
  if (unattended) warnings.push(unattended);
  if (warningsOf) warnings.push(...warningsOf(object, old));
}

/** Judged in the version the client wrote, so that the fields are named as it knows them. */
export function updateCauses({ served, subresource, object }: Write, old: KubeObject, missing: FieldCause[]): FieldCause[] {
  const [now, before] = [fromStored(served, object), fromStored(served, old)];
  if (subresource === 'status') return validateStatusUpdate(served.kind, now, before);
  if (subresource === 'binding') return [];
  return validateUpdate(served.kind, now, before, subresource ? [] : missing, subresource);
}

/** The object that a client sent is for the one that is there. Fills in its place. @throws `Conflict` */
export function checkIdentity(target: Target, { metadata }: KubeObject, old: KubeObject): void {
  const { name, namespace } = target;
  if (metadata.uid && metadata.uid !== old.metadata.uid) throw unmet(target, 'UID', metadata.uid, old.metadata.uid);
  metadata.name ||= name;
  if (namespace) metadata.namespace ||= namespace;
}

/** @throws `Conflict` */
export function checkPreconditions(target: Target, { preconditions = {} }: DeleteOptions, { metadata }: KubeObject): void {
  const { uid, resourceVersion } = preconditions;
  if (uid !== undefined && uid !== metadata.uid) throw unmet(target, 'UID', uid, metadata.uid);
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw unmet(target, 'ResourceVersion', resourceVersion, metadata.resourceVersion);
}

function unmet({ served, name }: Target, what: string, asked: string, found: string | undefined): UmiakError {
  return conflict(served.resource, name, `Precondition failed: ${what} in precondition: ${asked}, ${what} in object meta: ${found}`);
}

/** Others change the object faster than this write can be made. */
export function busy({ resource }: Stored, name: string): UmiakError {
  return new UmiakError(
    'Conflict',
    `Operation cannot be fulfilled on ${resource.plural} "${name}": too many others change it at the same time; try again`,
  );
}
