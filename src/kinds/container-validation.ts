import type { FieldCause } from '#base/errors.ts';
import { compareQuantities, parseQuantity } from '#base/quantity.ts';
import { ENV_FIELDS, validateFieldPath, validateResourceField } from './downward-api.ts';
import { isSidecar } from './pod-resources.ts';
import { validateLifecycle, validateProbe } from './probe-validation.ts';
import type {
  Container,
  EnvVar,
  EnvVarSource,
  EphemeralContainer,
  PodSpec,
  ResourceRequirements,
  SecurityContext,
  VolumeMount,
} from './types.gen.ts';
import {
  checkConfigKey,
  checkDnsLabel,
  checkDnsSubdomain,
  checkEnvVarName,
  checkPortName,
  checkPortNumber,
  checkQualifiedName,
  checkRelativePath,
  duplicate,
  forbidden,
  invalid,
  isIp,
  notFound,
  required,
  validateEnum,
  validateName,
} from './validation.ts';

/** All containers of a pod, of every sort, and that their names differ. */
export function validateContainers(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const names = new Set<string>();
  const volumes = new Set((spec.volumes ?? []).map(({ name }) => name));
  if (spec.containers.length === 0) causes.push(required(`${path}.containers`));
  const each = (list: 'containers' | 'initContainers' | 'ephemeralContainers', check: (container: Container, at: string) => FieldCause[]) =>
    (spec[list] ?? []).forEach((container, i) => {
      const at = `${path}.${list}[${i}]`;
      causes.push(...validateContainer(container, volumes, at), ...check(container, at));
      if (container.name && names.has(container.name)) causes.push(duplicate(`${at}.name`, container.name));
      names.add(container.name);
    });
  each('containers', validateMainContainer);
  each('initContainers', validateInitContainer);
  each('ephemeralContainers', validateEphemeralContainer);
  for (const [i, { targetContainerName }] of (spec.ephemeralContainers ?? []).entries())
    if (targetContainerName && !names.has(targetContainerName))
      causes.push(notFound(`${path}.ephemeralContainers[${i}].targetContainerName`, targetContainerName));
  return causes;
}

function validateMainContainer(container: Container, at: string): FieldCause[] {
  return [
    ...validateLifecycle(container.lifecycle, `${at}.lifecycle`),
    ...validateProbe(container.livenessProbe, 'livenessProbe', at),
    ...validateProbe(container.readinessProbe, 'readinessProbe', at),
    ...validateProbe(container.startupProbe, 'startupProbe', at),
    ...validateEnum(container.restartPolicy, ['Always', 'Never', 'OnFailure'], `${at}.restartPolicy`),
  ];
}

function validateInitContainer(container: Container, at: string): FieldCause[] {
  const causes = validateEnum(container.restartPolicy, ['Always', 'Never', 'OnFailure'], `${at}.restartPolicy`);
  if (isSidecar(container)) return [...causes, ...validateMainContainer(container, at)];
  for (const key of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
    if (container[key]) causes.push(forbidden(`${at}.${key}`, 'may not be set for init containers without restartPolicy=Always'));
  return causes;
}

function validateEphemeralContainer(container: EphemeralContainer, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'resizePolicy', 'restartPolicy'] as const)
    if (container[key]) causes.push(forbidden(`${at}.${key}`, 'cannot be set for an Ephemeral Container'));
  if (container.resources && Object.keys(container.resources).length > 0)
    causes.push(forbidden(`${at}.resources`, 'cannot be set for an Ephemeral Container'));
  return causes;
}

function validateContainer(container: Container, volumes: Set<string>, at: string): FieldCause[] {
  const { image = '', securityContext } = container;
  const causes = validateName(container.name, checkDnsLabel, `${at}.name`);
  if (image === '') causes.push(required(`${at}.image`));
  else if (image !== image.trim()) causes.push(invalid(`${at}.image`, image, 'must not have leading or trailing whitespace'));
  causes.push(...validateEnum(container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], `${at}.imagePullPolicy`, true));
  causes.push(
    ...validateEnum(container.terminationMessagePolicy, ['FallbackToLogsOnError', 'File'], `${at}.terminationMessagePolicy`, true),
  );
  if (!container.terminationMessagePath) causes.push(required(`${at}.terminationMessagePath`));
  causes.push(...validatePorts(container, at), ...validateEnv(container.env ?? [], `${at}.env`), ...validateEnvFrom(container, at));
  causes.push(...validateMounts(container, volumes, at), ...validateResources(container.resources, `${at}.resources`));
  if (securityContext) causes.push(...validateSecurityContext(securityContext, `${at}.securityContext`));
  return causes;
}

function validatePorts({ ports = [] }: Container, at: string): FieldCause[] {
  const names = new Set<string>();
  return ports.flatMap(({ name, containerPort, hostPort, hostIP, protocol }, i) => {
    const field = `${at}.ports[${i}]`;
    const causes: FieldCause[] = [];
    if (name) {
      const wrong = checkPortName(name);
      causes.push(...wrong.map(why => invalid(`${field}.name`, name, why)));
      if (wrong.length === 0 && names.has(name)) causes.push(duplicate(`${field}.name`, name));
      names.add(name);
    }
    if (containerPort === 0) causes.push(required(`${field}.containerPort`));
    else causes.push(...checkPortNumber(containerPort).map(why => invalid(`${field}.containerPort`, containerPort, why)));
    if (hostPort) causes.push(...checkPortNumber(hostPort).map(why => invalid(`${field}.hostPort`, hostPort, why)));
    if (hostIP && !isIp(hostIP))
      causes.push(invalid(`${field}.hostIP`, hostIP, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'));
    causes.push(...validateEnum(protocol, ['SCTP', 'TCP', 'UDP'], `${field}.protocol`, true));
    return causes;
  });
}

function validateEnv(env: EnvVar[], path: string): FieldCause[] {
  return env.flatMap(({ name, value, valueFrom }, i) => {
    const causes = validateName(name, checkEnvVarName, `${path}[${i}].name`);
    if (valueFrom) causes.push(...validateEnvSource(valueFrom, value ?? '', `${path}[${i}].valueFrom`));
    return causes;
  });
}

function validateEnvSource(source: EnvVarSource, value: string, path: string): FieldCause[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  const given = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(Boolean);
  const causes: FieldCause[] = [];
  if (given.length === 0)
    causes.push(
      invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'),
    );
  else if (value !== '') causes.push(invalid(path, '', 'may not be specified when `value` is not empty'));
  else if (given.length > 1) causes.push(invalid(path, '', 'may not have more than one field specified at a time'));
  if (fieldRef) causes.push(...validateFieldPath(fieldRef.fieldPath, ENV_FIELDS, `${path}.fieldRef.fieldPath`));
  if (resourceFieldRef) causes.push(...validateResourceField(resourceFieldRef.resource, `${path}.resourceFieldRef.resource`));
  for (const [key, ref] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (!ref) continue;
    if (!ref.name) causes.push(required(`${path}.${key}.name`));
    causes.push(...validateName(ref.key, checkConfigKey, `${path}.${key}.key`));
  }
  return causes;
}

function validateEnvFrom({ envFrom = [] }: Container, at: string): FieldCause[] {
  return envFrom.flatMap(({ prefix, configMapRef, secretRef }, i) => {
    const field = `${at}.envFrom[${i}]`;
    const causes: FieldCause[] = prefix ? checkEnvVarName(prefix).map(why => invalid(`${field}.prefix`, prefix, why)) : [];
    if (!configMapRef && !secretRef) causes.push(invalid(field, '', 'must specify one of: `configMapRef` or `secretRef`'));
    if (configMapRef && secretRef) causes.push(invalid(field, '', 'may not have more than one field specified at a time'));
    for (const [key, ref] of Object.entries({ configMapRef, secretRef }))
      if (ref) causes.push(...validateName(ref.name, checkDnsSubdomain, `${field}.${key}.name`));
    return causes;
  });
}

function validateMounts(container: Container, volumes: Set<string>, at: string): FieldCause[] {
  const paths = new Set<string>();
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const field = `${at}.volumeMounts[${i}]`;
    const causes: FieldCause[] = [];
    if (!mount.name) causes.push(required(`${field}.name`));
    else if (!volumes.has(mount.name)) causes.push(notFound(`${field}.name`, mount.name));
    if (!mount.mountPath) causes.push(required(`${field}.mountPath`));
    else if (paths.has(mount.mountPath)) causes.push(invalid(`${field}.mountPath`, mount.mountPath, 'must be unique'));
    paths.add(mount.mountPath);
    causes.push(...validateSubPath(mount, field), ...validatePropagation(mount, container, field));
    return causes;
  });
}

function validateSubPath({ subPath, subPathExpr }: VolumeMount, field: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (subPath && subPathExpr) causes.push(invalid(`${field}.subPathExpr`, subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
  for (const [key, path] of Object.entries({ subPath, subPathExpr })) {
    if (path) causes.push(...validateName(path, checkRelativePath, `${field}.${key}`));
  }
  return causes;
}

function validatePropagation(mount: VolumeMount, { securityContext }: Container, field: string): FieldCause[] {
  const causes = validateEnum(mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None'], `${field}.mountPropagation`);
  if (mount.mountPropagation === 'Bidirectional' && !securityContext?.privileged)
    causes.push(forbidden(`${field}.mountPropagation`, 'Bidirectional mount propagation is available only to privileged containers'));
  causes.push(...validateEnum(mount.recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible'], `${field}.recursiveReadOnly`));
  if (mount.recursiveReadOnly && mount.recursiveReadOnly !== 'Disabled' && !mount.readOnly)
    causes.push(forbidden(`${field}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
  return causes;
}

const STANDARD_RESOURCES = ['cpu', 'memory', 'ephemeral-storage'];

function isStandard(resource: string): boolean {
  return STANDARD_RESOURCES.includes(resource) || resource.startsWith('hugepages-');
}

/** What a container asks for and may take. */
export function validateResources({ requests = {}, limits = {} }: ResourceRequirements = {}, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [which, list] of Object.entries({ limits, requests })) {
    for (const [resource, quantity] of Object.entries(list)) {
      const field = `${path}.${which}`;
      causes.push(...checkQualifiedName(resource).map(why => invalid(`${field}[${resource}]`, resource, why)));
      if (!resource.includes('/') && !isStandard(resource))
        causes.push(invalid(`${field}[${resource}]`, resource, 'must be a standard resource type or fully qualified'));
      const { nano } = parseQuantity(quantity);
      if (nano < 0n) causes.push(invalid(`${field}[${resource}]`, quantity, 'must be greater than or equal to 0'));
      else if (!isStandard(resource) && nano % 1_000_000_000n !== 0n)
        causes.push(invalid(`${field}[${resource}]`, quantity, 'must be an integer'));
    }
  }
  for (const [resource, request] of Object.entries(requests)) {
    const limit = Object.hasOwn(limits, resource) ? limits[resource] : undefined;
    const overcommits = STANDARD_RESOURCES.includes(resource);
    if (limit === undefined) {
      if (!overcommits) causes.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
      continue;
    }
    const order = compareQuantities(request, limit);
    if (!overcommits && order !== 0) causes.push(invalid(`${path}.requests`, request, `must be equal to ${resource} limit of ${limit}`));
    else if (order > 0) causes.push(invalid(`${path}.requests`, request, `must be less than or equal to ${resource} limit of ${limit}`));
  }
  return causes;
}

function validateSecurityContext(context: SecurityContext, path: string): FieldCause[] {
  const causes = [...validateId(context.runAsUser, `${path}.runAsUser`), ...validateId(context.runAsGroup, `${path}.runAsGroup`)];
  causes.push(...validateEnum(context.procMount, ['Default', 'Unmasked'], `${path}.procMount`));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (context.capabilities?.add?.some(one => one === 'CAP_SYS_ADMIN'))
      causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'));
  }
  const { seccompProfile } = context;
  if (!seccompProfile) return causes;
  causes.push(...validateEnum(seccompProfile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.seccompProfile.type`, true));
  const field = `${path}.seccompProfile.localhostProfile`;
  if (seccompProfile.type === 'Localhost') {
    if (!seccompProfile.localhostProfile) causes.push(required(field, 'must be set when seccomp type is Localhost'));
    else causes.push(...validateName(seccompProfile.localhostProfile, checkRelativePath, field));
  } else if (seccompProfile.localhostProfile !== undefined)
    causes.push(invalid(field, seccompProfile, 'can only be set when seccomp type is Localhost'));
  return causes;
}

const MAX_ID = 2147483647;

/** A user's or group's number. */
export function validateId(id: number | undefined, field: string): FieldCause[] {
  return id === undefined || (id >= 0 && id <= MAX_ID) ? [] : [invalid(field, id, `must be between 0 and ${MAX_ID}, inclusive`)];
}
