import type { FieldCause } from '#base/errors.ts';
import { parseQuantity } from '#base/quantity.ts';
import type * as types from './types.gen.ts';
import { checkDnsSubdomain, checkQualifiedName, duplicate, forbidden, invalid, notSupported, required, tooLong } from './validation.ts';

const MOST_PARAMETERS = 512;
const MOST_PARAMETER_BYTES = 256 * 1024;
const MOST_DRIVER_NAME = 63;
const MOST_NODE_ID = 192;
const LEAST_TOKEN_SECONDS = 600;

/** The name of who makes volumes: a qualified name in lower case. */
export function validateProvisioner(provisioner: string, path: string): FieldCause[] {
  if (!provisioner) return [required(path)];
  return checkQualifiedName(provisioner.toLowerCase()).map(why => invalid(path, provisioner, why));
}

/** What a provisioner is told: bounded in number and size, no empty keys; for some at least one. */
export function validateParameters(parameters: Record<string, string> | undefined, path: string, need = false): FieldCause[] {
  const entries = Object.entries(parameters ?? {});
  if (entries.length > MOST_PARAMETERS) return [tooLong(path, MOST_PARAMETERS)];
  const causes = entries.filter(([key]) => key === '').map(([key]) => invalid(path, key, 'field can not be empty.'));
  let bytes = 0;
  for (const [key, value] of entries) bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (bytes > MOST_PARAMETER_BYTES) causes.push(tooLong(path, MOST_PARAMETER_BYTES));
  if (need && entries.length === 0) causes.push(required(path, 'must contain at least one key/value pair'));
  return causes;
}

/** Where volumes of a class may be: keys and values that differ. */
export function validateTopologies(terms: types.TopologySelectorTerm[] | undefined, path: string): FieldCause[] {
  return (terms ?? []).flatMap(({ matchLabelExpressions = [] }, i) => {
    const keys = new Set<string>();
    return matchLabelExpressions.flatMap(({ key, values }, j) => {
      const at = `${path}[${i}].matchLabelExpressions[${j}]`;
      const causes = checkQualifiedName(key).map(why => invalid(`${at}.key`, key, why));
      if (values.length === 0) causes.push(required(`${at}.values`));
      values.forEach((value, k) => {
        if (values.indexOf(value) !== k) causes.push(duplicate(`${at}.values[${k}]`, value));
      });
      if (keys.has(key)) causes.push(duplicate(`${at}.key`, key));
      keys.add(key);
      return causes;
    });
  });
}

/** A CSI driver's name, by which nodes and volumes know it. */
export function validateDriverName(name: string, path: string): FieldCause[] {
  if (!name) return [required(path)];
  const causes = name.length > MOST_DRIVER_NAME ? [tooLong(path, MOST_DRIVER_NAME)] : [];
  return [...causes, ...checkDnsSubdomain(name.toLowerCase()).map(why => invalid(path, name, why))];
}

/** What a CSI driver says of itself. */
export function validateDriver({ metadata, spec }: types.CSIDriver): FieldCause[] {
  const causes = validateDriverName(metadata.name, 'metadata.name');
  const policies = ['File', 'None', 'ReadWriteOnceWithFSType'];
  if (spec.fsGroupPolicy !== undefined && !policies.includes(spec.fsGroupPolicy))
    causes.push(notSupported('spec.fsGroupPolicy', spec.fsGroupPolicy, policies));
  const modes = ['Ephemeral', 'Persistent'];
  for (const mode of spec.volumeLifecycleModes ?? [])
    if (!modes.includes(mode)) causes.push(notSupported('spec.volumeLifecycleModes', mode, modes));
  const { nodeAllocatableUpdatePeriodSeconds: period } = spec;
  if (period !== undefined && period < 10)
    causes.push(invalid('spec.nodeAllocatableUpdatePeriodSeconds', period, 'must be greater than or equal to 10 seconds'));
  const audiences = new Set<string>();
  spec.tokenRequests?.forEach(({ audience, expirationSeconds: seconds }, i) => {
    const at = `spec.tokenRequests[${i}]`;
    if (audiences.has(audience)) causes.push(duplicate(`${at}.audience`, audience));
    audiences.add(audience);
    if (seconds === undefined) return;
    if (seconds < LEAST_TOKEN_SECONDS)
      causes.push(invalid(`${at}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes'));
    if (seconds > 2 ** 32) causes.push(invalid(`${at}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds'));
  });
  return causes;
}

/** The drivers of a node: each once, with the node's name for it. */
export function validateNodeDrivers(drivers: readonly types.CSINodeDriver[]): FieldCause[] {
  const names = new Set<string>();
  return drivers.flatMap(({ name, nodeID, allocatable, topologyKeys = [] }, i) => {
    const at = `spec.drivers[${i}]`;
    const causes = validateDriverName(name, `${at}.name`);
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (!nodeID) causes.push(required(`${at}.nodeID`));
    if (nodeID.length > MOST_NODE_ID) causes.push(invalid(`${at}.nodeID`, nodeID, `must be ${MOST_NODE_ID} characters or less`));
    const count = allocatable?.count;
    if (count !== undefined && count < 0) causes.push(invalid(`${at}.allocatable.count`, count, 'must be greater than or equal to 0'));
    topologyKeys.forEach((key, j) => {
      if (!key) causes.push(required(`${at}.topologyKeys`));
      else causes.push(...checkQualifiedName(key).map(why => invalid(`${at}.topologyKeys`, key, why)));
      if (topologyKeys.indexOf(key) !== j) causes.push(duplicate(`${at}.topologyKeys`, key));
    });
    return causes;
  });
}

/** What is attached, by whom, and where. */
export function validateAttachment({ spec: { attacher, nodeName, source } }: types.VolumeAttachment): FieldCause[] {
  const causes = validateDriverName(attacher, 'spec.attacher');
  causes.push(...checkDnsSubdomain(nodeName).map(why => invalid('spec.nodeName', nodeName, why)));
  const { persistentVolumeName, inlineVolumeSpec } = source;
  const exactlyOne = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (persistentVolumeName === undefined && !inlineVolumeSpec) causes.push(required('spec.source', exactlyOne));
  if (persistentVolumeName !== undefined && inlineVolumeSpec) causes.push(forbidden('spec.source', exactlyOne));
  if (persistentVolumeName === '') causes.push(required('spec.source.persistentVolumeName', 'must specify non empty persistentVolumeName'));
  return causes;
}

/** How much is left of a class. */
export function validateCapacity({ storageClassName, capacity, maximumVolumeSize }: types.CSIStorageCapacity): FieldCause[] {
  const causes = checkDnsSubdomain(storageClassName).map(why => invalid('storageClassName', storageClassName, why));
  for (const [field, amount] of Object.entries({ capacity, maximumVolumeSize }))
    if (amount !== undefined && parseQuantity(amount).nano < 0n)
      causes.push(invalid(field, String(amount), 'must be greater than or equal to 0'));
  return causes;
}
