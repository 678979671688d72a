import type { FieldCause } from '#base/errors.ts';
import { ENV_FIELDS, validateFieldPath, validateResourceField } from './downward-api.ts';
import { isSidecar } from './pod-resources.ts';
import { validateLifecycle, validateProbe } from './probe-validation.ts';
import { validateResources } from './resources-validation.ts';
import { validateSecurityContext } from './security-validation.ts';
import type { Container, EnvVar, EnvVarSource, EphemeralContainer, FileKeySelector, PodSpec, Volume, VolumeMount } from './types.gen.ts';
import {
  checkConfigKey,
  checkDnsLabel,
  checkDnsSubdomain,
  checkEnvVarName,
  checkPortName,
  checkPortNumber,
  checkRelativePath,
  duplicate,
  forbidden,
  invalid,
  isIp,
  notFound,
  notSupported,
  required,
  tooMany,
  validateEnum,
  validateName,
} from './validation.ts';

/** All containers of a pod, of every sort, and that their names differ. */
export function validateContainers(spec: PodSpec, volumes: ReadonlyMap<string, Volume>, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const names = new Set<string>();
  const grace = spec.terminationGracePeriodSeconds;
  const claims = new Set((spec.resourceClaims ?? []).map(({ name }) => name));
  if (spec.containers.length === 0) causes.push(required(`${path}.containers`));
  const each = (list: 'containers' | 'initContainers' | 'ephemeralContainers', check: (container: Container, at: string) => FieldCause[]) =>
    (spec[list] ?? []).forEach((container, i) => {
      const at = `${path}.${list}[${i}]`;
      causes.push(
        ...validateContainer(container, { volumes, claims, os: spec.os?.name, hostUsers: spec.hostUsers ?? true }, at),
        ...check(container, at),
      );
      if (container.name && names.has(container.name)) causes.push(duplicate(`${at}.name`, container.name));
      names.add(container.name);
    });
  each('containers', (container, at) => validateMainContainer(container, grace, at));
  each('initContainers', (container, at) => validateInitContainer(container, grace, at));
  const lasting = new Set(names);
  each('ephemeralContainers', validateEphemeralContainer);
  for (const [i, { targetContainerName }] of (spec.ephemeralContainers ?? []).entries())
    if (targetContainerName && !lasting.has(targetContainerName))
      causes.push(notFound(`${path}.ephemeralContainers[${i}].targetContainerName`, targetContainerName));
  return causes;
}

function validateMainContainer(container: Container, grace: number | undefined, at: string): FieldCause[] {
  return [
    ...validateLifecycle(container.lifecycle, grace, `${at}.lifecycle`),
    ...validateProbe(container.livenessProbe, 'livenessProbe', at),
    ...validateProbe(container.readinessProbe, 'readinessProbe', at),
    ...validateProbe(container.startupProbe, 'startupProbe', at),
    ...validateEnum(container.restartPolicy, ['Always', 'Never', 'OnFailure'], `${at}.restartPolicy`),
    ...validateRestartRules(container, at),
  ];
}

function validateInitContainer(container: Container, grace: number | undefined, at: string): FieldCause[] {
  const causes = validateEnum(container.restartPolicy, ['Always', 'Never', 'OnFailure'], `${at}.restartPolicy`);
  if (isSidecar(container)) return [...causes, ...validateMainContainer(container, grace, at)];
  causes.push(...validateRestartRules(container, at));
  for (const key of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
    if (container[key]) causes.push(forbidden(`${at}.${key}`, 'may not be set for init containers without restartPolicy=Always'));
  return causes;
}

function validateEphemeralContainer(container: EphemeralContainer, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of [
    'ports',
    'livenessProbe',
    'readinessProbe',
    'startupProbe',
    'lifecycle',
    'resizePolicy',
    'restartPolicy',
    'restartPolicyRules',
  ] as const)
    if (container[key] !== undefined) causes.push(forbidden(`${at}.${key}`, 'cannot be set for an Ephemeral Container'));
  if (container.resources && Object.keys(container.resources).length > 0)
    causes.push(forbidden(`${at}.resources`, 'cannot be set for an Ephemeral Container'));
  container.volumeMounts?.forEach((mount, i) => {
    for (const key of ['subPath', 'subPathExpr'] as const)
      if (mount[key]) causes.push(forbidden(`${at}.volumeMounts[${i}].${key}`, 'cannot be set for an Ephemeral Container'));
  });
  return causes;
}

/** What a container may refer to. */
interface Surroundings {
  volumes: ReadonlyMap<string, Volume>;
  claims: ReadonlySet<string>;
  os: string | undefined;
  hostUsers: boolean;
}

function validateContainer(container: Container, { volumes, claims, os, hostUsers }: Surroundings, at: string): FieldCause[] {
  const { image = '', securityContext, lifecycle } = container;
  const causes = validateName(container.name, checkDnsLabel, `${at}.name`);
  if (image === '') causes.push(required(`${at}.image`));
  else if (image !== image.trim()) causes.push(invalid(`${at}.image`, image, 'must not have leading or trailing whitespace'));
  causes.push(...validateEnum(container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], `${at}.imagePullPolicy`, true));
  causes.push(
    ...validateEnum(container.terminationMessagePolicy, ['File', 'FallbackToLogsOnError'], `${at}.terminationMessagePolicy`, true),
  );
  if (!container.terminationMessagePath) causes.push(required(`${at}.terminationMessagePath`));
  causes.push(
    ...validatePorts(container, at),
    ...validateEnv(container.env ?? [], volumes, `${at}.env`),
    ...validateEnvFrom(container, at),
  );
  causes.push(...validateMounts(container, volumes, at), ...validateDevices(container, volumes, at));
  causes.push(...validateResources(container.resources, `${at}.resources`, claims), ...validateResizePolicy(container, at));
  if (lifecycle?.stopSignal && !os)
    causes.push(forbidden(`${at}.lifecycle.stopSignal`, 'may not be set for containers with empty `spec.os.name`'));
  if (securityContext) causes.push(...validateSecurityContext(securityContext, hostUsers, `${at}.securityContext`));
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

function validateEnv(env: EnvVar[], volumes: ReadonlyMap<string, Volume>, path: string): FieldCause[] {
  return env.flatMap(({ name, value, valueFrom }, i) => {
    const causes = validateName(name, checkEnvVarName, `${path}[${i}].name`);
    if (valueFrom) causes.push(...validateEnvSource(valueFrom, value ?? '', volumes, `${path}[${i}].valueFrom`));
    return causes;
  });
}

function validateEnvSource(source: EnvVarSource, value: string, volumes: ReadonlyMap<string, Volume>, path: string): FieldCause[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  const given = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(Boolean);
  const causes: FieldCause[] = [];
  if (given.length === 0)
    causes.push(
      invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'),
    );
  else if (value !== '') causes.push(invalid(path, '', 'may not be specified when `value` is not empty'));
  else if (given.length > 1) causes.push(invalid(path, '', 'may not have more than one field specified at a time'));
  if (fieldRef) causes.push(...validateFieldPath(fieldRef, ENV_FIELDS, `${path}.fieldRef`));
  if (resourceFieldRef) causes.push(...validateResourceField(resourceFieldRef.resource, `${path}.resourceFieldRef.resource`));
  for (const [key, ref] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (!ref) continue;
    causes.push(...checkDnsSubdomain(ref.name ?? '').map(why => invalid(`${path}.${key}.name`, ref.name ?? '', why)));
    causes.push(...validateName(ref.key, checkConfigKey, `${path}.${key}.key`));
  }
  if (fileKeyRef) causes.push(...validateFileKey(fileKeyRef, volumes, `${path}.fileKeyRef`));
  return causes;
}

/** A value that a file in one of the pod's own empty volumes will have. */
function validateFileKey({ key, volumeName, path }: FileKeySelector, volumes: ReadonlyMap<string, Volume>, at: string): FieldCause[] {
  const causes = [
    ...validateName(key, checkEnvVarName, `${at}.key`),
    ...validateName(volumeName, checkDnsLabel, `${at}.volumeName`),
    ...(path ? [] : [required(`${at}.path`)]),
  ];
  if (path.split('/').includes('..')) causes.push(invalid(`${at}.path`, path, "must not contain '..'"));
  const volume = volumes.get(volumeName);
  if (!volume) causes.push(notFound(`${at}.volumeName`, volumeName));
  else if (!volume.emptyDir) causes.push(invalid(`${at}.volumeName`, volumeName, 'volume must be of type emptyDir'));
  return causes;
}

function validateEnvFrom({ envFrom = [] }: Container, at: string): FieldCause[] {
  return envFrom.flatMap(({ prefix, configMapRef, secretRef }, i) => {
    const field = `${at}.envFrom[${i}]`;
    const causes: FieldCause[] = prefix ? checkEnvVarName(prefix).map(why => invalid(`${field}.prefix`, prefix, why)) : [];
    if (!configMapRef && !secretRef) causes.push(invalid(`${at}.envFrom`, '', 'must specify one of: `configMapRef` or `secretRef`'));
    if (configMapRef && secretRef) causes.push(invalid(`${at}.envFrom`, '', 'may not have more than one field specified at a time'));
    for (const [key, ref] of Object.entries({ configMapRef, secretRef }))
      if (ref) causes.push(...validateName(ref.name, checkDnsSubdomain, `${field}.${key}.name`));
    return causes;
  });
}

function validateMounts(container: Container, volumes: ReadonlyMap<string, Volume>, at: string): FieldCause[] {
  const paths = new Set<string>();
  const devices = new Set(container.volumeDevices?.map(({ name }) => name));
  const devicePaths = new Set(container.volumeDevices?.map(({ devicePath }) => devicePath));
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const field = `${at}.volumeMounts[${i}]`;
    const causes: FieldCause[] = [];
    if (!mount.name) causes.push(required(`${field}.name`));
    if (!volumes.has(mount.name)) causes.push(notFound(`${field}.name`, mount.name));
    if (!mount.mountPath) causes.push(required(`${field}.mountPath`));
    else if (paths.has(mount.mountPath)) causes.push(invalid(`${field}.mountPath`, mount.mountPath, 'must be unique'));
    if (devices.has(mount.name)) causes.push(invalid(`${field}.name`, mount.name, 'must not already exist in volumeDevices'));
    if (devicePaths.has(mount.mountPath))
      causes.push(invalid(`${field}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices'));
    paths.add(mount.mountPath);
    causes.push(...validateSubPath(mount, field, `${at}.volumeMounts`), ...validatePropagation(mount, container, `${at}.volumeMounts`));
    return causes;
  });
}

/** Upstream names the list, without the index, where a path or a propagation is wrong. */
function validateSubPath({ subPath, subPathExpr }: VolumeMount, field: string, list: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (subPath && subPathExpr) causes.push(invalid(`${field}.subPathExpr`, subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
  for (const [key, path] of Object.entries({ subPath, subPathExpr })) {
    if (path) causes.push(...validateName(path, checkRelativePath, `${list}.${key}`));
  }
  return causes;
}

function validatePropagation(mount: VolumeMount, { securityContext }: Container, field: string): FieldCause[] {
  const causes = validateEnum(mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None'], `${field}.mountPropagation`);
  if (mount.mountPropagation === 'Bidirectional' && !securityContext?.privileged)
    causes.push(forbidden(`${field}.mountPropagation`, 'Bidirectional mount propagation is available only to privileged containers'));
  causes.push(...validateEnum(mount.recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible'], `${field}.recursiveReadOnly`));
  if (['Enabled', 'IfPossible'].includes(mount.recursiveReadOnly ?? '') && !mount.readOnly)
    causes.push(forbidden(`${field}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
  return causes;
}

/** Volumes that come as block devices. */
function validateDevices(
  { volumeDevices = [], volumeMounts = [] }: Container,
  volumes: ReadonlyMap<string, Volume>,
  at: string,
): FieldCause[] {
  const names = new Set<string>();
  const paths = new Set<string>();
  return volumeDevices.flatMap(({ name, devicePath }, i) => {
    const field = `${at}.volumeDevices[${i}]`;
    const volume = volumes.get(name);
    const causes: FieldCause[] = name ? [] : [required(`${field}.name`)];
    if (names.has(name)) causes.push(invalid(`${field}.name`, name, 'must be unique'));
    if (!volume) causes.push(notFound(`${field}.name`, name));
    else if (!volume.persistentVolumeClaim && !volume.ephemeral)
      causes.push(invalid(`${field}.name`, name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'));
    if (!devicePath) causes.push(required(`${field}.devicePath`));
    else if (paths.has(devicePath)) causes.push(invalid(`${field}.devicePath`, devicePath, 'must be unique'));
    if (devicePath.split('/').includes('..')) causes.push(invalid(`${field}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    else if (volumeMounts.some(({ mountPath }) => devicePath && mountPath === devicePath))
      causes.push(invalid(`${field}.devicePath`, devicePath, 'must not already exist as a path in volumeMounts'));
    if (volumeMounts.some(mount => name && mount.name === name))
      causes.push(invalid(`${field}.name`, name, 'must not already exist in volumeMounts'));
    names.add(name);
    paths.add(devicePath);
    return causes;
  });
}

function validateResizePolicy({ resizePolicy = [], restartPolicy }: Container, at: string): FieldCause[] {
  const seen = new Set<string>();
  return resizePolicy.flatMap(({ resourceName, restartPolicy: policy }, i) => {
    const field = `${at}.resizePolicy`;
    const causes: FieldCause[] = seen.has(resourceName) ? [duplicate(`${field}[${i}]`, resourceName)] : [];
    seen.add(resourceName);
    causes.push(...validateEnum(resourceName, ['cpu', 'memory'], field, true));
    causes.push(...validateEnum(policy, ['NotRequired', 'RestartContainer'], field, true));
    if (restartPolicy === 'Never' && policy === 'RestartContainer') causes.push(notSupported(field, policy, ['NotRequired']));
    return causes;
  });
}

const RESTART_ACTIONS = ['Restart', 'RestartAllContainers'];
const EXIT_OPERATORS = ['In', 'NotIn'];
const MOST_RESTART_RULES = 20;
const MOST_EXIT_CODES = 255;

function validateRestartRules({ restartPolicy, restartPolicyRules = [] }: Container, at: string): FieldCause[] {
  const path = `${at}.restartPolicyRules`;
  if (restartPolicyRules.length === 0) return [];
  const causes =
    restartPolicy === undefined ? [required(`${at}.restartPolicy`, 'must specify restartPolicy when restart rules are used')] : [];
  if (restartPolicyRules.length > MOST_RESTART_RULES) return [...causes, tooMany(path, restartPolicyRules.length, MOST_RESTART_RULES)];
  restartPolicyRules.forEach(({ action, exitCodes }, i) => {
    if (!RESTART_ACTIONS.includes(action)) causes.push(notSupported(`${path}[${i}].action`, action, RESTART_ACTIONS));
    if (!exitCodes) causes.push(required(`${path}[${i}].exitCodes`, 'must be specified'));
    else if (!EXIT_OPERATORS.includes(exitCodes.operator))
      causes.push(notSupported(`${path}[${i}].exitCodes.operator`, exitCodes.operator, EXIT_OPERATORS));
    const { values = [] } = exitCodes ?? {};
    if (values.length > MOST_EXIT_CODES) causes.push(tooMany(`${path}[${i}].exitCodes.values`, values.length, MOST_EXIT_CODES));
  });
  return causes;
}
